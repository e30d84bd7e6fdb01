#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Swaps greeter back and forth while callers run on every CPU: no answer is wrong or lost, the
memory of many swaps is the memory of two, and what must not go live is refused with reasons.
"""
import os

import harness
from harness import expect

SWAPS = int(os.environ.get("THESEUS_SWAPS", "200"))
ROUNDS_MORE = 20
ARENA = 65536  # bytes by which the heap grows
V1 = harness.CELLS / "greeter-v1.cells"
V2 = harness.CELLS / "greeter-v2.cells"


def swap(vm, bundle):
    report = vm.json("swap-cell", f"greeter={bundle}")
    expect(report["result"] == "committed", f"swap: {report}")
    for key in ("generation", "stage_ns", "quiesce_ns", "pause_ns", "bytes_freed"):
        expect(key in report, f"swap lacks {key}: {report}")
    return report


def many_swaps(vm, swaps, more):
    """
    After `swaps`, `more` of them and perhaps some; how many there were then, and what memory grew by.
    The same blocks may lie in other arenas of the heap, one of which is left with a single block in
    it: until a later swap makes that block elsewhere, or, if none makes that block, for good. Growth
    neither gets back to where it was, nor ends.
    """
    baseline, before = vm.memory_used(), vm.held()
    end = swaps + more
    while swaps < end:
        swap(vm, V2 if swaps % 2 == 0 else V1)
        swaps += 1
    after = vm.held()
    expect(after == before, f"heap bytes, heap blocks, other frames: {before} at first, {after} after {swaps} swaps")
    while (grown := vm.memory_used() - baseline) > 4096 and swaps < end + ROUNDS_MORE:
        swap(vm, V2 if swaps % 2 == 0 else V1)
        swaps += 1
    return swaps, grown


def test(vm, sandbox):
    vm.callers(True)
    vm.still_serving()
    expect("2.0.0" not in vm.exec("greet"), "v1 runs at first")
    first = swap(vm, V2)
    expect(first["generation"] == 1, f"generation: {first}")
    change = first["cells"][0]
    expect(change["old"] != change["new"], f"cells: {first}")
    expect("2.0.0" in vm.exec("greet"), "v2 runs after the swap")

    dry = vm.json("swap-cell", f"greeter={V1}", "--dry-run")
    expect(vm.json("status")["generation"] == 1 and "2.0.0" in vm.exec("greet"), f"dry run changed: {dry}")
    vm.error("swap-cell", f"greeter={V1}", "--expect-generation", "7", status=4)

    for bundle, word in (("greeter-badabi.cells", "abi-mismatch"), ("greeter-badstate.cells", "schema-mismatch")):
        error = vm.error("swap-cell", f"greeter={harness.CELLS / bundle}", status=4)
        expect(error["code"] == word and error["reasons"] and "greeter" in " ".join(error["reasons"]),
               f"{bundle}: {error}")
        expect("2.0.0" in vm.exec("greet"), f"{bundle} changed what runs")
    vm.still_serving()

    swap(vm, V1)
    swaps, grown = many_swaps(vm, 2, SWAPS - 2)
    if abs(grown - ARENA) <= 4096:
        print(f"{grown} bytes more after {swaps} swaps")
        swaps, grown = many_swaps(vm, swaps, SWAPS)
    expect(grown <= 4096, f"memory grows with swaps: {grown} bytes more after {swaps}")
    counts = vm.still_serving()
    expect(len([n for n in counts["versions"].values() if n]) >= 2, f"both versions were called: {counts}")
    status = vm.json("status")
    expect(status["generation"] == swaps and status["health"] == "ok", f"status: {status}")


harness.main(test)
