#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Very many cells: they are loaded, each is listed once, one among them is swapped, and when they have gone the memory of
before is there again. 1,000 of them, or as many as the command line says.
"""
import subprocess
import sys

import harness
from harness import expect

COUNT = next((int(word) for word in sys.argv[3:] if word.isdigit()), 1000)


def names(vm):
    """Of all cells, in link order; none is listed twice."""
    found = [row["name"] for row in vm.json("cells")["cells"]]
    expect(len(set(found)) == len(found), "a cell is listed twice")
    return found


def bundles(sandbox):
    """What brings them, and what takes them out."""
    subprocess.run([harness.BUILD / "tests" / "bundles" / "mkmany", harness.CELLS / "bench-filler.cells", sandbox.root,
                    str(COUNT)], check=True)
    return [sorted(sandbox.root.glob(f"{what}-*.cells")) for what in ("many", "gone")]


def swap_all(vm, files):
    for file in files:
        result = vm.json("swap-cell", file)["result"]
        expect(result == "committed", f"{file}: {result}")


def check_among(vm, before):
    """All that there are is listed, and found; a swap of one goes as it does among few."""
    fillers = [f"bench_filler_{i:05}" for i in range(COUNT)]
    expect(names(vm) == before + fillers, "cells that are not those that were loaded, or not in order")
    expect(vm.json("status")["cells"] == len(before) + COUNT, "their number")
    last = vm.json("cell", "show", fillers[-1])
    expect(last["exports"][0]["name"] == fillers[-1], f"shown as {last}")
    users = [dep["cell"] for dep in vm.json("cell", "deps", "loader", "--reverse")["deps"]]
    expect(set(fillers) <= set(users), f"{len(users)} cells use the loader")
    vm.still_serving()
    for version in ("2.0.0", "1.0.0"):
        vm.json("swap-cell", f"greeter={harness.CELLS / f'greeter-v{version[0]}.cells'}")
        expect(vm.exec("greet").find(version) >= 0, f"greeter is not {version}")
    vm.still_serving()


def test(vm, sandbox):
    before = names(vm)
    many, gone = bundles(sandbox)
    held = []
    for _ in range(2):
        swap_all(vm, many)
        if not held:
            check_among(vm, before)
        swap_all(vm, gone)
        expect(names(vm) == before, f"afterwards: {names(vm)}")
        # the first time something stays for the next: pages of slots, records of regions, page tables
        held.append(vm.held())
    expect(held[0] == held[1], f"what is held after each time: {held}")
    error = vm.error("swap-cell", gone[0], status=4)
    expect("is not there" in error["message"], f"what has gone cannot go: {error}")
    vm.still_serving()


harness.main(test, mem=128 if COUNT <= 1000 else 512)
