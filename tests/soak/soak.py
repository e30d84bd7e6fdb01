#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Soaks the core: tasks start, block, sleep, share, fault and kill one another for a while, and what
they held is counted. Afterwards no frame, page, object, lock or task may be left over; page tables
and the records of regions, which stay for use again, are counted apart.

    THESEUS_BUILD=build tests/soak/soak.py BACKEND CPUS [checked] [SECONDS [SEED]]
"""
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))
import harness  # noqa: E402
from harness import expect  # noqa: E402

NUMBERS = [word for word in sys.argv[3:] if word.isdecimal()]
SECONDS = int(NUMBERS[0]) if NUMBERS else 60
SEED = int(NUMBERS[1]) if NUMBERS[1:] else 1
WARM_UP = 3  # seconds: what is kept for speed gets there
SETTLE = 20  # seconds at most for what goes on by itself to come to rest


def held(vm):
    """What the system holds, once it does not change any more."""
    last, deadline = None, time.monotonic() + SETTLE
    while time.monotonic() < deadline:
        now = vm.exec("soak", "held").splitlines()
        if now[0] == last:
            break
        last = now[0]
    return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", " ".join(now))}


def bother(vm):
    """An operator looks at the tasks while they come and go."""
    lines = vm.exec("ps").splitlines()[1:]
    for line in lines[:: max(1, len(lines) // 4)]:
        vm.ctl("exec", "bt", line.split()[0], status=None)  # it may have ended by now


def soak(vm, seed, seconds):
    drivers = min(16, 6 * vm.cpus)
    answer = vm.json("exec", "soak", "start", seed, drivers, status=None)
    expect(answer["status"] == 0, f"start: {answer}")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        bother(vm)
        state = vm.exec("soak")
        if "wrong=0" not in state:
            break
    answer = vm.json("exec", "--timeout", "120s", "soak", "stop", status=None, limit=140)
    print(f"seed {seed}, {seconds} s: {answer['output'].strip()}", flush=True)
    expect(answer["status"] == 0, answer["output"])


def test(vm, sandbox):
    vm.ctl("swap-cell", harness.bundle("soak"))
    soak(vm, SEED + 1, WARM_UP)
    before = held(vm)
    soak(vm, SEED, SECONDS)
    after = held(vm)
    for key, value in after.items():
        print(f"{key:16} {before[key]:12} {value:12}")
    # An arena of the heap may be kept by a block that lies in it now; memory that is lost is lost each time.
    for again in range(3):
        if after["heap_pages"] <= before["heap_pages"]:
            break
        print(f"heap pages: {before['heap_pages']}, then {after['heap_pages']}: once more")
        before["heap_pages"] = after["heap_pages"]
        soak(vm, SEED + 2 + again, min(SECONDS, 20))
        after = held(vm)
    expect(after["heap_pages"] <= before["heap_pages"], "the heap grows with each soak")
    for key in ("tasks", "pages", "objects", "bytes", "frames"):
        expect(after[key] <= before[key], f"left over: {key} was {before[key]}, is {after[key]}")
    expect(after["unwind_failures"] == before["unwind_failures"], "stacks could not be unwound")
    vm.still_serving()


harness.main(test)
