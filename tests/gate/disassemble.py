#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Bans instructions from ring 0 that a host without VT-x cannot emulate at CPL 0.

usage: disassemble.py ELF START-SYMBOL END-SYMBOL [--must-fail]

--must-fail: the test of this test; passes when every banned kind is found.
"""
import re
import subprocess
import sys

KINDS = {
    'vector or x87 register': re.compile(r'%([xyz]mm\d|mm\d|st\b|k[0-7]\b)'),
    'x87 or SSE without register': re.compile(
        r'\b(ldmxcsr|stmxcsr|emms|finit|fninit|fwait|fld\w*|fst\w*|fnst\w*|movnt\w*|prefetch\w*)\b'),
    'state save': re.compile(r'\b(xsave\w*|xrstor\w*|xgetbv)\b'),
    'SMAP': re.compile(r'\b(clac|stac)\b'),
    'FS or GS base': re.compile(r'\b(rd|wr)(fs|gs)base\b'),
    'not emulated': re.compile(r'\b(rdtscp|cmpxchg16b|invpcid|int3|syscall|sysret\w*|rdrand|rdseed|rdpid|monitor|mwait)\b'),
    'bit manipulation': re.compile(
        r'\b(popcnt|lzcnt|tzcnt|andn|bextr|bls\w+|bzhi|pdep|pext|rorx|sarx|shlx|shrx|mulx|adcx|adox)\b'),
    'CET': re.compile(r'\b(endbr(32|64)|rdssp\w*|incssp\w*)\b'),
}


def symbol(elf, name):
    for line in subprocess.run(['nm', elf], check=True, capture_output=True, text=True).stdout.splitlines():
        fields = line.split()
        if fields[-1] == name:
            return int(fields[0], 16)
    sys.exit('%s has no symbol %s' % (elf, name))


def instructions(elf, start, end):
    out = subprocess.run(['objdump', '-d', '--no-show-raw-insn', '--start-address=%#x' % start,
                          '--stop-address=%#x' % end, elf], check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        match = re.match(r'\s*([0-9a-f]+):\s+(\S.*)', line)
        if match:
            yield int(match[1], 16), re.sub(r'<.*>|#.*', '', match[2]).strip()


def main():
    elf, first, last = sys.argv[1:4]
    must_fail = sys.argv[4:] == ['--must-fail']
    count, found = 0, {}
    for address, text in instructions(elf, symbol(elf, first), symbol(elf, last)):
        count += 1
        for kind, pattern in KINDS.items():
            if pattern.search(text):
                found.setdefault(kind, []).append('%#x: %s' % (address, text))
    for kind, places in found.items():
        for place in places:
            print('# %s: %s' % (kind, place))
    print('# %d instructions looked at' % count)
    if must_fail:
        missed = set(KINDS) - set(found)
        ok = not missed
        print('# kinds not found in the planted code: %s' % (', '.join(sorted(missed)) or 'none'))
    else:
        ok = not found and count > 1000
    print('%s 1 - ring-0 instructions\n1..1' % ('ok' if ok else 'not ok'))
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
