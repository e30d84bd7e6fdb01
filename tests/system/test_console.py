#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The console with pipes (a script, whose answers all come before the end) and on a terminal, which is
given back as it was however the command ends.
"""
import contextlib
import fcntl
import os
import pathlib
import pty
import select
import signal
import subprocess
import termios
import time

import harness
from harness import expect

LINES = 500  # of a script whose answers are more than theseus-vmm keeps for one client


class Terminal:
    """`theseusctl console` on a terminal of its own; stdout may be a descriptor instead."""

    def __init__(self, vm, stdout=None):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.process = subprocess.Popen([str(harness.CTL), *vm.target, "console"], env=vm.sandbox.env,
                                        stdin=self.slave, stdout=self.slave if stdout is None else stdout,
                                        stderr=self.slave, preexec_fn=own_terminal)

    def wait_for(self, text):
        """Reads until `text` has come; what came up to there is forgotten."""
        deadline = time.monotonic() + harness.LIMIT
        while text not in self.seen:
            ready = select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]
            expect(ready, f"{text!r} does not come: {self.seen!r}")
            self.seen += os.read(self.master, 65536)
        self.seen = self.seen.partition(text)[2]

    def type(self, keys):
        os.write(self.master, keys)

    def attached(self):
        self.wait_for(b"detaches")
        deadline = time.monotonic() + harness.LIMIT
        while termios.tcgetattr(self.slave)[3] & termios.ICANON:
            expect(time.monotonic() < deadline, "the terminal does not become raw")
        self.type(b"greet\r")
        self.wait_for(b"hello from greeter")

    def ended(self, status):
        """It ends with `status`, and the terminal is as it was. What it said last."""
        expect(self.process.wait(harness.LIMIT) == status, f"exit status {self.process.returncode}: {self.seen!r}")
        expect(termios.tcgetattr(self.slave) == self.before, f"status {status}: the terminal is not as before")
        os.close(self.slave)
        with contextlib.suppress(OSError):  # EIO: nobody holds the other end any more
            while chunk := os.read(self.master, 65536):
                self.seen += chunk
        os.close(self.master)
        return self.seen.decode(errors="replace")


def start(vm, *args, **kwargs):
    """With pipes; the caller ends it."""
    return subprocess.Popen([str(harness.CTL), *vm.target, "console", *args], env=vm.sandbox.env, text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)


def greet(process):
    """A line of a script, and its answer."""
    process.stdin.write("greet\n")
    process.stdin.flush()
    while "hello from greeter" not in process.stdout.readline():
        expect(process.poll() is None, "the script ended too soon")


def scripts(vm):
    answer = vm.ctl("console", input="ps\nexit-ish\n")
    expect(answer.err == "", f"nothing is said about a script: {answer}")
    for text in ("theseus> ps\n", "agent_exec", "theseus> exit-ish\nno such command"):
        expect(text in answer.out, f"{text!r}: {answer}")
    expect(answer.out.endswith("theseus> \n") and "\r" not in answer.out and "\x04" not in answer.out,
           f"plain lines: {answer.out!r}")
    # A last line that does not end, and what was meant for a terminal.
    expect("hello from greeter" in vm.ctl("console", input="greet\nps\x1dgreet\n").out, "^] ends a script")
    expect("hello from greeter" in vm.ctl("console", input="greet").out, "no newline at the end")
    expect("hello from greeter" in vm.ctl("console", input="gree\x7fet\r\n").out, "keys, and the newline of others")
    vm.ctl("console", input="")


def long_script(vm):
    """More than theseus-vmm keeps for a client, to a reader that does not read at first."""
    script = vm.sandbox.root / "script"
    script.write_text("ps\n" * LINES)
    with script.open() as lines, subprocess.Popen([str(harness.CTL), *vm.target, "console"], env=vm.sandbox.env,
                                                  text=True, stdin=lines, stdout=subprocess.PIPE) as process:
        select.select([process.stdout], [], [], harness.LIMIT)
        before = None
        while (now := vm.json("metrics")["counters"]["console_bytes_out"]) != before:
            before = now
        out = process.stdout.read()
    expect(process.returncode == 0, f"exit status {process.returncode}")
    expect(out.count("agent_exec") == LINES, f"{out.count('agent_exec')} answers to {LINES} lines")
    expect(len(out) > 256 << 10, f"only {len(out)} bytes: nothing could have been lost")


def slow_typist(vm):
    """A script that is made while it runs, by what the answers say."""
    with start(vm, bufsize=0) as process:
        for _ in range(3):
            greet(process)
        process.stdin.close()
        expect(process.wait(harness.LIMIT) == 0, f"exit status {process.returncode}")


def no_answer(vm):
    """A line that is never answered; the limit is long enough for one that is."""
    with start(vm, "--timeout", "5s", bufsize=0) as process:
        greet(process)
        with vm.standing_still():
            process.stdin.write("greet\n")
            expect(process.wait(harness.LIMIT) == 5, f"exit status {process.returncode}")
        error = process.stderr.read()
    expect("not answered within 5.00 s" in error, error)


def closed_output(vm):
    with start(vm) as process:
        process.stdout.close()
        process.communicate("greet\n", harness.LIMIT)
    expect(process.returncode == -signal.SIGPIPE, f"stdout is closed: {process.returncode}")
    with open("/dev/full", "w") as full:
        done = subprocess.run([str(harness.CTL), *vm.target, "console"], env=vm.sandbox.env, input="greet\n", text=True,
                              stdout=full, stderr=subprocess.PIPE, timeout=harness.LIMIT, check=False)
    expect(done.returncode == 1 and "stdout: No space left" in done.stderr, f"full disk: {done}")


def terminals(vm):
    terminal = Terminal(vm)
    terminal.attached()
    terminal.type(b"\x1d")
    expect("detached from" in terminal.ended(0), "it says that it detached")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        terminal = Terminal(vm)
        terminal.attached()
        terminal.process.send_signal(number)
        terminal.ended(-number)
    reader, writer = os.pipe()
    terminal = Terminal(vm, stdout=writer)
    os.close(writer)
    terminal.wait_for(b"detaches")
    os.close(reader)
    terminal.type(b"greet\r")
    terminal.ended(-signal.SIGPIPE)


def vm_ends(vm, end, words):
    """What is attached says so, whether it waits for keys or for lines; exit status 6."""
    terminal = Terminal(vm)
    terminal.attached()
    with start(vm) as process:
        greet(process)
        end()
        expect(process.wait(harness.LIMIT) == 6, f"exit status {process.returncode}")
        error = process.stderr.read()
    said = terminal.ended(6)
    for text in (said, error):
        expect("the VM has ended" in text and words in text, f"{words!r} is not said: {text!r}")


def test(vm, sandbox):
    scripts(vm)
    slow_typist(vm)
    no_answer(vm)
    if vm.backend == "libvirt":
        return
    long_script(vm)
    closed_output(vm)
    terminals(vm)
    other = harness.Vm(vm.backend, vm.cpus, sandbox, word="stopped")
    vm_ends(other, lambda: other.ctl("stop"), "powered off")
    other = harness.Vm(vm.backend, vm.cpus, sandbox, word="killed")
    pid = int((pathlib.Path(sandbox.runtime) / other.name / "pid").read_text().split()[0])
    vm_ends(other, lambda: os.kill(pid, signal.SIGKILL), "theseus-vmm is gone")
    vm.still_serving()


harness.main(test)
