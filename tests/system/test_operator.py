#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What an operator stumbles over: VMs that do not answer or end in the middle, and places that take no output."""
import os
import signal
import subprocess

import harness
from harness import expect


def run(vm, *args, shell=None, **kwargs):
    """theseusctl with streams of the caller's choice; `shell` redirects them: '>&-'."""
    argv = [str(harness.CTL), *vm.target, *map(str, args)]
    if shell:
        argv = ["sh", "-c", f'exec "$@" {shell}', "sh", *argv]
    return subprocess.run(argv, env=vm.sandbox.env, text=True, timeout=harness.LIMIT, check=False, **kwargs)


def silent(vm):
    """A theseus-vmm that does not run on is listed, and whoever asks it is told what helps."""
    with vm.standing_still():
        rows = {row["name"]: row for row in vm.sandbox.ctl("--json", "ls").json["vms"]}
        expect(vm.name in rows and rows[vm.name]["state"] == "no answer", f"ls: {rows}")
        expect(any(vm.name in line and "no answer" in line for line in vm.sandbox.ctl("ls").out.splitlines()), "ls")
        error = vm.error("metrics", status=3)
        expect("theseus-vmm does not answer" in error["message"] and "kill" in error["message"], f"metrics: {error}")
    expect(vm.json("status")["health"] == "ok", "it goes on")


def no_room(vm):
    """Each command says that its output got lost, streams as well."""
    with open("/dev/full", "w") as full:
        for args in (["ls"], ["status"], ["--json", "status"], ["cells"], ["log"], ["--json", "log"], ["log", "-f"],
                     ["exec", "greet"], ["tasks"], ["--json", "tasks"], ["--version"]):
            done = run(vm, *args, stdout=full, stderr=subprocess.PIPE)
            expect(done.returncode == 1 and "cannot write" in done.stderr, f"{args}: {done}")


def closed_streams(vm):
    """What is closed is not mistaken for the socket that would get its number."""
    for args in (["cells"], ["log", "-f"], ["exec", "greet"]):
        done = run(vm, *args, shell=">&-", stderr=subprocess.PIPE)
        expect(done.returncode == 1 and "cannot write" in done.stderr, f"{args}: {done}")
    done = run(vm, "console", shell="<&-", capture_output=True)
    expect(done.returncode == 1 and "stdin" in done.stderr, f"console: {done}")
    expect(run(vm, "cells", shell="<&- >&- 2>&-").returncode == 1, "all closed")
    expect(run(vm, "cells", shell="<&-", stdout=subprocess.DEVNULL).returncode == 0, "no input is needed")


def names(vm):
    for args, status, words in ((["cell", "show", "nothing"], 1, '"nothing"'),
                                (["cell", "deps", "nothing"], 1, '"nothing"'),
                                (["task", "show", "nothing"], 1, "theseusctl tasks"),
                                (["task", "show", ""], 2, "the id or the name")):
        error = vm.error(*args, status=status)
        expect(words in error["message"], f"{args}: {error}")
    dot = vm.ctl("cell", "deps", "nothing", "--dot", status=1)
    expect(dot.out == "" and '"nothing"' in dot.err, f"no half of a graph: {dot}")


def ends_meanwhile(vm, end, words):
    """A log that is followed says how the VM ended."""
    with subprocess.Popen([str(harness.CTL), *vm.target, "log", "-f"], env=vm.sandbox.env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        expect(process.stdout.readline(), "the log has no line")
        end()
        error = process.communicate(timeout=harness.LIMIT)[1]
    expect(process.returncode == 6 and words in error, f"{process.returncode}: {error}")
    vm.sandbox.ctl(*vm.target, "status", status=3)


def test(vm, sandbox):
    names(vm)
    no_room(vm)
    closed_streams(vm)
    silent(vm)
    other = harness.Vm(vm.backend, vm.cpus, sandbox, word="stopped")
    error = sandbox.ctl("--json", "status", status=2).json
    expect(error["code"] == "which-vm" and vm.name in error["message"] and other.name in error["message"], f"{error}")
    ends_meanwhile(other, lambda: other.ctl("stop"), "the VM has ended: the guest powered off")
    other = harness.Vm(vm.backend, vm.cpus, sandbox, word="killed")
    ends_meanwhile(other, lambda: os.kill(other.started["pid"], signal.SIGKILL), "the VM has ended: theseus-vmm is gone")
    expect(not any(row["name"] == other.name for row in sandbox.ctl("--json", "ls").json["vms"]), "it is gone")
    vm.still_serving()


harness.main(test)
