#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""G6: sabotages the gate from a debugger and expects the crash record and the exit code.

No cell can make the gate trap, so registers are changed through QEMU's gdb stub while it
serves a call.
"""
import os
import re
import socket
import subprocess
import sys
import tempfile

RIP, RSP = 16, 7
EXIT_GATE_CRASH = 0x12 << 1 | 1


class Stub:
    """The few packets of the gdb remote protocol that are needed."""

    def __init__(self, connection):
        self.socket = connection
        self.socket.settimeout(60)
        self.buffer = b''
        self.ask('qXfer:features:read:target.xml:0,fff')  # else QEMU refuses single registers

    def send(self, text):
        self.socket.sendall(b'$%s#%02x' % (text.encode(), sum(text.encode()) & 255))

    def receive(self):
        while True:
            match = re.search(rb'\$([^#]*)#..', self.buffer)
            if match:
                self.buffer = self.buffer[match.end():]
                self.socket.sendall(b'+')
                return match[1].decode()
            data = self.socket.recv(4096)
            if not data:
                raise EOFError('QEMU closed the connection')
            self.buffer += data

    def ask(self, text):
        self.send(text)
        return self.receive()

    def write_register(self, number, value):
        assert self.ask('P%x=%s' % (number, value.to_bytes(8, 'little').hex())) == 'OK'


def address_of(elf, name):
    for line in subprocess.run(['nm', elf], check=True, capture_output=True, text=True).stdout.splitlines():
        if line.split()[-1] == name:
            return int(line.split()[0], 16)
    sys.exit('no symbol ' + name)


def sabotage(elf, register, value):
    """Runs until call_frame_state, sets the register, lets go. Returns exit status and COM1."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'gdb')
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(60)
        process = subprocess.Popen(
            ['qemu-system-x86_64', '-M', 'microvm', '-accel', 'tcg', '-cpu', 'max', '-m', '128', '-nodefaults',
             '-no-user-config', '-display', 'none', '-no-reboot', '-serial', 'stdio',
             '-device', 'isa-debug-exit,iobase=0xf4', '-kernel', elf, '-S',
             '-chardev', 'socket,id=gdb,path=%s' % path, '-gdb', 'chardev:gdb'],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            stub = Stub(listener.accept()[0])
            assert stub.ask('Z1,%x,1' % address_of(elf, 'call_frame_state')) == 'OK'
            stop = stub.ask('c')
            assert stop.startswith('T05'), stop
            assert stub.ask('z1,%x,1' % address_of(elf, 'call_frame_state')) == 'OK'
            stub.write_register(register, value)
            stub.send('c')
            out, _ = process.communicate(timeout=60)
        finally:
            listener.close()
            process.kill()
            process.wait()
    return process.returncode, out.decode('ascii', 'replace').replace('\r\n', '\n')


def main():
    elf = sys.argv[1]
    table = address_of(elf, 'pml4')
    cases = [
        ('a jump to unmapped memory', RIP, 0x5000, r'vector: 0xe error 0x10 cr2 0x5000\nrip: 0x5000 cs 0x10 '),
        ('a jump into data', RIP, table, r'vector: 0xe error 0x11 cr2 %#x\n' % table),
        ('a jump to a cell', RIP, 0x610000000000, r'vector: 0xe error 0x11 cr2 0x610000000000\n'),
        ('a bad address', RIP, 1 << 63, r'vector: 0xd '),
        ('a lost stack', RSP, 0x1000, r'vector: 0x8 error 0x0 '),
    ]
    failed = 0
    for number, (what, register, value, pattern) in enumerate(cases, 1):
        status, out = sabotage(elf, register, value)
        record = re.search(r'--- theseus crash record v1 ---\nbuild: [0-9a-f]{40}\ncpu: 0x0\n'
                           r'reason: trap inside the gate\n(.*)--- end ---\n', out, re.S)
        ok = status == EXIT_GATE_CRASH and record and re.search(pattern, record[1]) and len(record[0]) < 2000
        print('%s %d - %s' % ('ok' if ok else 'not ok', number, what))
        if not ok:
            failed += 1
            print('# exit status %s\n# %s' % (status, out.replace('\n', '\n# ')))
    print('1..%d' % len(cases))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
