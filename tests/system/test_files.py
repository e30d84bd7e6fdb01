#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Files through commands; vfs and memfs restarted with a thousand files open that are read and written meanwhile."""
import os
import pty
import select
import subprocess
import time

import harness
from harness import expect

LIMIT = 60  # seconds for something to be seen


def run(vm, *command, status=0, output=None):
    answer = vm.json("exec", *command, status=status)
    expect(answer["status"] == status, f"{command}: status {answer['status']}, not {status}: {answer['output']}")
    if output is not None:
        expect(answer["output"] == output, f"{command}: {answer['output']!r}")
    return answer["output"]


def test_commands(vm):
    run(vm, "ls", output="")
    run(vm, "mkdir", "/docs", "/docs/old", output="")
    run(vm, "write", "/docs/a", "hello", "world", output="")
    run(vm, "write", "-a", "/docs/a", "again", output="")
    run(vm, "cat", "/docs/a", output="hello world\nagain\n")
    run(vm, "mv", "/docs/a", "/docs/old/b", output="")
    run(vm, "ls", "/docs/old", output="        18 b\n")
    run(vm, "ls", "/", output="         1 docs/\n")
    expect("kind=file\nsize=18\n" in run(vm, "stat", "/docs/old/b"), "stat")
    run(vm, "cat", "/docs/a", status=1, output="cat: /docs/a: no such file or directory\n")
    run(vm, "cat", "/docs", status=1, output="cat: /docs: is a directory\n")
    run(vm, "ls", "docs", status=1, output="ls: docs: not an absolute path, or a directory into itself\n")
    run(vm, "mkdir", "/docs", status=1, output="mkdir: /docs: is there already\n")
    run(vm, "rm", "/docs", status=1, output="rm: /docs: the directory is not empty\n")
    run(vm, "mv", "/docs", "/docs/old/x", status=1)
    run(vm, "write", "/docs/old/b/c", "x", status=1, output="write: /docs/old/b/c: not a directory\n")
    run(vm, "write", "/" + 256 * "n", "x", status=1)
    run(vm, "ls", "/a", "/b", status=2, output="usage: ls [PATH]\n")
    # partly done is failed, and the rest is done
    run(vm, "rm", "/none", "/docs/old/b", status=1, output="rm: /none: no such file or directory\n")
    run(vm, "rm", "/docs/old", "/docs", output="")
    run(vm, "ls", output="")
    expect(vm.ctl("exec", "cat", "/none", status=None).status == 1, "the status is the exit status")
    for name in ("ls", "cat", "write", "mkdir", "rm", "mv", "stat", "restart"):
        expect(name in run(vm, "help", name), f"help {name}")


class Console:
    """The guest's console as a person has it, through `theseusctl console` on a terminal."""

    def __init__(self, vm):
        self.keys, terminal = pty.openpty()
        self.process = subprocess.Popen([harness.CTL, *vm.target, "console"], env=vm.sandbox.env, stdin=terminal,
                                        stdout=terminal, stderr=terminal)
        os.close(terminal)
        self.read_until("detaches\n")
        os.write(self.keys, b"zz-sync\r")  # behind whatever prompts there are
        self.read_until("try help\ntheseus> ")

    def read_until(self, end):
        text, limit = "", time.monotonic() + LIMIT
        while not text.endswith(end):
            left = limit - time.monotonic()
            expect(left > 0 and select.select([self.keys], [], [], left)[0], f"no {end!r} after {text!r}")
            text += os.read(self.keys, 4096).decode().replace("\r", "")
        return text

    def type(self, keys):
        """What is shown until the next prompt, one line a row."""
        os.write(self.keys, keys.encode())
        return self.read_until("theseus> ").split("\n")[1:-1]

    def close(self):
        os.write(self.keys, b"\x1d")
        status = self.process.wait(LIMIT)
        os.close(self.keys)
        expect(status == 0, f"console ended with {status}")


def test_console(vm):
    console = Console(vm)
    try:
        expect(console.type("wrte /f one\x01\x1b[C\x1b[Ci\r") == [], "a line that was edited")
        expect(console.type("cat /f\r") == ["one"], "cat")
        expect(console.type("\x1b[A\x1b[A\x1b[D\x1b[D\x1b[DO\x1b[3~\r") == [], "an older line, changed")
        expect(console.type("\x1b[A\x1b[A\r") == ["One"], "an older line, as it was")
        expect(console.type("xx\x15sta\t/f\r")[:2] == ["kind=file", "size=4"], "the name of a command is completed")
        expect(console.type("cat /none\r") == ["cat: /none: no such file or directory", "status 1"], "an error")
        expect(console.type("rm /f\x1b[9999999999;;;;\x80\xff\x1b\x1b[\x1bO\x03") == [], "hostile keys")
        expect(console.type("ls\r") == ["         4 f"], "ls")
    finally:
        console.close()
    run(vm, "rm", "/f", output="")


def counts(vm):
    return {key: int(value) for key, value in (line.split("=") for line in run(vm, "file-clients").splitlines())}


def wait_for(vm, what, condition):
    limit = time.monotonic() + LIMIT
    while True:
        now = counts(vm)
        expect(now["wrong"] == 0 and now["errors"] == 0, f"a client saw it: {now}")
        if condition(now):
            return now
        expect(time.monotonic() < limit, f"{what}: {now}")


def held(vm):
    """Bytes that the cells have allocated, open files by their client included."""
    cells = {cell["name"]: cell["heap_bytes"] for cell in vm.json("cells")["cells"]}
    return {name: cells[name] for name in ("vfs", "memfs", "file_clients")}


def test_restart(vm):
    vm.ctl("swap-cell", harness.CELLS / "file-clients.cells")
    before = held(vm)
    under_restarts(vm)
    after = held(vm)
    expect(after == before, f"bytes allocated: {before} before, {after} after")


def under_restarts(vm):
    run(vm, "file-clients", "start")
    now = wait_for(vm, "a thousand files are open", lambda c: c["open"] == 1000)
    for cell in ("vfs", "memfs", "vfs", "memfs"):
        run(vm, "restart", cell, output="")
        slowest = now["slowest"]
        now = wait_for(vm, f"every client goes on after {cell}", lambda c: c["slowest"] > slowest)
    expect("size=1000\n" in run(vm, "stat", "/clients"), "a thousand files are there")
    run(vm, "file-clients", "stop")
    run(vm, "ls", output="")


def test_refusals(vm):
    for name in ("heap", "loader", "task", "upcall", "swap", "agent", "caller"):
        out = run(vm, "restart", name, status=1)
        expect("never restarted" in out, out)
    run(vm, "restart", "nothing", status=1, output="restart: nothing: no such cell\n")
    run(vm, "restart", status=2, output="usage: restart CELL\n")


def test(vm, sandbox):
    test_commands(vm)
    test_console(vm)
    test_refusals(vm)
    test_restart(vm)
    vm.still_serving()


harness.main(test)
