#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Tasks compute in code that is replaced under them, for longer than a swap waits: it stays mapped, and
what it calls too. They go on in it, return from it, fault in it; then its memory is given back.
"""
import time

import harness
from harness import expect

LIMIT = 60  # seconds at most for what the guest does by itself
ORIGINAL = "-checked" if harness.CHECKED else ""
# Another edition of the same state. In a checked system all is checked: locks know their class there.
OTHER = "-checked"


def linger(vm, *words):
    """The answer of `exec linger`, as {word: value}."""
    return dict(word.split("=", 1) for word in vm.exec("linger", *words).split())


def swap(vm, cell, bundle):
    report = vm.json("swap-cell", f"{cell}={harness.CELLS / bundle}.cells")
    expect(report["result"] == "committed", f"{bundle}: {report}")
    return report


def until(what, condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        expect(time.monotonic() < deadline, f"not in {LIMIT} s: {what}")


def quarantined(vm):
    """What `cells` lists as replaced and in use: {name: versions}."""
    found = {}
    for cell in vm.json("cells")["quarantined"]:
        found.setdefault(cell["name"], []).append(cell["version"])
    return found


def still_computing(vm):
    turns = linger(vm)["turns"].split(",")
    until("both compute on",
          lambda: all(int(now) > int(then) for now, then in zip(linger(vm)["turns"].split(","), turns)))


def round_trip(vm, cells):
    """Each of `cells` is replaced, and then by what it was, while tasks linger in version 1.0.0."""
    expect(linger(vm)["version"] == "1", "1.0.0 runs at first")
    expect(quarantined(vm) == {}, "nothing is replaced and in use at first")
    vm.exec("linger", "start")
    until("both compute", lambda: "0" not in linger(vm)["turns"].split(","))
    until("a restart is refused for them", lambda: restart_names_task(vm))

    report = swap(vm, "linger", f"linger-v2{ORIGINAL}")
    expect(report["quarantined_bytes"] > 0 and report["bytes_freed"] == 0, f"tasks are in it: {report}")
    expect(linger(vm)["version"] == "2", "calls go to 2.0.0")
    expect(quarantined(vm) == {"linger": ["1.0.0"]}, f"in use: {quarantined(vm)}")
    expect("replaced, in use" in vm.ctl("cells").out and "still in use" in vm.ctl("status").out, "shown")
    expect(vm.json("status")["quarantined_bytes"] == report["quarantined_bytes"], "counted")
    error = vm.json("exec", "restart", "linger", status=None)
    expect(error["status"] == 1 and "still inside a version" in error["output"], f"restart: {error}")
    still_computing(vm)

    # all that they come back to, and then what that calls
    for cell in cells:
        for edition in (OTHER, ORIGINAL):
            bundle = f"{cell}{ORIGINAL if cell == 'heap' else edition}"
            swap(vm, cell, bundle)
            still_computing(vm)
    found = quarantined(vm)
    for cell in ("linger", "task", "heap"):
        expect(cell in found, f"{cell} is not kept for who will come back to it: {found}")
    # nobody lingers in 2.0.0
    report = swap(vm, "linger", f"linger-v1{ORIGINAL}")
    expect(report["quarantined_bytes"] == 0 and report["bytes_freed"] > 0, f"2.0.0 is left: {report}")
    still_computing(vm)

    answer = linger(vm, "stop")
    expect(answer == {"returned": "1", "version": "1", "faulted": "1", "cleaned": "2"}, f"they ended: {answer}")
    until("what they left is given back", lambda: vm.json("status")["quarantined_bytes"] == 0)
    expect(quarantined(vm) == {}, "none is listed")


def restart_names_task(vm):
    """Not where the host let a CPU wait so long that it did not come to be looked at."""
    answer = vm.json("exec", "restart", "linger", status=None)
    expect(answer["status"] == 1, f"restart: {answer}")
    return "is inside linger: " in answer["output"]


def restart_after_litter(vm):
    """A command that restarts a cell is not taken for one inside it by what that left on the stack."""
    vm.exec("linger", "litter")
    vm.exec("restart", "linger")


def test(vm, sandbox):
    vm.ctl("swap-cell", harness.CELLS / f"linger-v1{ORIGINAL}.cells")
    restart_after_litter(vm)
    vm.callers(True)
    cells = ["task", "heap", "upcall", "sched_rr", "swap", "loader"]
    round_trip(vm, cells)
    vm.callers(False)
    before = vm.held()
    round_trip(vm, cells)
    until("the memory is what it was", lambda: all(now <= was for now, was in zip(vm.held(), before)))
    vm.still_serving()
    expect(vm.json("status")["health"] == "ok", "healthy")


harness.main(test)
