#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Boots a test payload under QEMU or theseus-vmm, passes its TAP lines on, judges exit code
and output.

Exit status: 0 passed, 1 failed, 77 skipped (no usable /dev/kvm).
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

# of PLATFORM_PORT_EXIT: as QEMU's isa-debug-exit, and as theseus-vmm, report them
VMM_STATUS = {'poweroff': 0, 'reset': 10, 'gate-crash': 11, 'cell-crash': 12, 'ok': 32, 'fail': 33}
EXIT = {'poweroff': 0x10, 'reset': 0x11, 'gate-crash': 0x12, 'cell-crash': 0x13, 'ok': 0x20, 'fail': 0x21}


# KVM on some hosts offers IA32_ARCH_CAPABILITIES and refuses it when QEMU passes it on.
HOST_CPU = 'host,arch-capabilities=off'


def kvm_usable():
    try:
        os.close(os.open('/dev/kvm', os.O_RDWR))
    except OSError:
        return False
    return True


def qemu_command(args):
    cmd = [shutil.which('qemu-system-x86_64') or 'qemu-system-x86_64', '-M', args.machine,
           '-accel', args.accel, '-cpu', args.cpu or (HOST_CPU if args.accel == 'kvm' else 'max'),
           '-m', str(args.mem), '-smp', str(args.smp), '-nodefaults', '-no-user-config', '-display', 'none',
           '-no-reboot', '-serial', 'stdio', '-device', 'isa-debug-exit,iobase=0xf4', '-kernel', args.elf]
    append = args.append or ('cpus=%d' % args.smp if args.smp > 1 else '')
    if append:
        cmd += ['-append', append]
    if args.initrd:
        cmd += ['-initrd', args.initrd]
    return cmd


def run(args, command, env=None):
    """Exit status (a text if it had to be killed) and standard output."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=env)
    try:
        out, _ = process.communicate(timeout=args.timeout)
        status = process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
        status = 'none, killed after %d s' % args.timeout
    return status, out.decode('ascii', 'replace').replace('\r\n', '\n')


def run_vmm(args):
    """The same under theseus-vmm, which logs what comes out of COM1."""
    with tempfile.TemporaryDirectory() as directory:
        log = os.path.join(directory, 'log')
        cmd = [args.vmm, '--name', 'gate-test-%d' % os.getpid(), '--guest', args.elf, '--accel', args.accel,
               '--cpus', str(args.smp), '--mem', str(args.mem), '--log', log]
        if args.initrd:
            cmd += ['--bundle', args.initrd]
        if args.append:
            cmd += ['--cmdline', args.append]
        status, _ = run(args, cmd, {**os.environ, 'XDG_RUNTIME_DIR': directory, 'XDG_STATE_HOME': directory})
        with open(log, encoding='utf-8', errors='replace') as file:
            lines = [line.partition(' com1: ') for line in file]
    return status, ''.join(after for _, found, after in lines if found)


def judge(args, status, output):
    """Complaints; none means passed."""
    wrong = []
    want = VMM_STATUS[args.exit] if args.vmm else EXIT[args.exit] << 1 | 1
    if status != want:
        wrong.append('exit status %s, not %d (%s)' % (status, want, args.exit))
    lines = output.splitlines()
    wrong += [line for line in lines if line.startswith(('not ok', 'Bail out'))]
    if args.exit == 'ok':
        plan = [int(line[3:]) for line in lines if re.fullmatch(r'1\.\.\d+', line)]
        done = sum(line.startswith('ok ') for line in lines)
        if plan != [done] or not done:
            wrong.append('plan %s but %d results' % (plan, done))
    for pattern in args.output:
        if not re.search(pattern, output):
            wrong.append('no match for %r' % pattern)
    for pattern in args.no_output:
        if re.search(pattern, output):
            wrong.append('unwanted match for %r' % pattern)
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('elf')
    parser.add_argument('--vmm', help='theseus-vmm to use instead of QEMU')
    parser.add_argument('--machine', default='q35')
    parser.add_argument('--accel', default='tcg')
    parser.add_argument('--cpu')
    parser.add_argument('--smp', type=int, default=1)
    parser.add_argument('--mem', type=int, default=128)
    parser.add_argument('--append')
    parser.add_argument('--initrd')
    parser.add_argument('--exit', choices=EXIT, default='ok')
    parser.add_argument('--output', action='append', default=[], help='regular expression that must match')
    parser.add_argument('--no-output', action='append', default=[], help='regular expression that must not')
    parser.add_argument('--timeout', type=int, default=100)
    args = parser.parse_args()

    if args.accel == 'kvm' and not kvm_usable():
        print('1..0 # SKIP /dev/kvm is not usable here')
        return 77
    status, output = run_vmm(args) if args.vmm else run(args, qemu_command(args))
    sys.stdout.write(output)
    wrong = judge(args, status, output)
    for line in wrong:
        print('# FAILED: ' + line)
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
