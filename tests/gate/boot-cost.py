#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts the instructions that the gate executes from its entry to CPL 3.

QEMU executes and logs single instructions (TCG). Calibrating the TSC is left out: a host
that names the frequency in CPUID, as theseus-vmm does, spares it; it is reported apart.
"""
import re
import subprocess
import sys
import tempfile

LIMIT = 4000
GATE = range(0x200000, 0x206000)


def symbols(elf):
    table = []
    for line in subprocess.run(['nm', '-n', elf], check=True, capture_output=True, text=True).stdout.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[1] in 'tT' and int(fields[0], 16) in GATE:
            table.append((int(fields[0], 16), fields[2]))
    return table


def function(table, pc):
    name = '?'
    for start, symbol in table:
        if start > pc:
            break
        name = symbol
    return re.sub(r'\.(part|constprop|isra|cold).*', '', name)


def trace(elf, cpus):
    """Addresses executed in the gate, in order."""
    with tempfile.NamedTemporaryFile() as log:
        subprocess.run(['qemu-system-x86_64', '-M', 'microvm', '-accel', 'tcg', '-cpu', 'max', '-m', '128',
                        '-smp', str(cpus), '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot',
                        '-serial', 'null', '-device', 'isa-debug-exit,iobase=0xf4', '-kernel', elf,
                        '-append', 'cpus=%d log=info console=a dev-cells=0' % cpus,
                        '-singlestep', '-d', 'exec,nochain', '-D', log.name,
                        '-dfilter', '%#x..%#x' % (GATE[0], GATE[-1])], timeout=100, check=False)
        for line in log:
            match = re.search(rb'Trace \d+: \S+ \[[0-9a-f]+/([0-9a-f]+)/', line)
            if match:
                yield int(match[1], 16)


def main():
    elf, cpus = sys.argv[1], int(sys.argv[2])
    table = symbols(elf)
    counts = {}
    calibrating = 0
    for pc in trace(elf, cpus):
        name = function(table, pc)
        if name in ('calibrate', 'sample'):
            calibrating += 1
        elif name in ('call_entry', 'stubs'):
            break  # the first entry from CPL 3
        else:
            counts[name] = counts.get(name, 0) + 1
    total = sum(counts.values())
    for name, count in sorted(counts.items(), key=lambda item: -item[1]):
        print('# %6d %s' % (count, name))
    print('# %d instructions from entry to CPL 3 (limit %d), and %d for calibrating' % (total, LIMIT, calibrating))
    ok = 100 < total <= LIMIT and 'enter_user' in counts
    print('%s 1 - boot cost\n1..1' % ('ok' if ok else 'not ok'))
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
