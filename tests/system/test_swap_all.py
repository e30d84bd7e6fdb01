#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Every cell of the boot bundle is replaced while it is in use: by its checked edition, which is other
code over the same state, and by itself again. Meanwhile callers run on every CPU, and tasks start,
share, fault and kill one another (cells/soak). `switch`, on which every stack stands, is refused.
"""
import harness
from harness import expect

PINNED = ["switch"]
# what has another state, or other blocks, when checked: replaced by itself
SAME = ["heap", "sync"]


def swap(vm, cell, edition):
    bundle = harness.CELLS / f"{cell}{edition}.cells"
    result = vm.ctl("--json", "swap-cell", "--timeout", "20s", f"{cell}={bundle}", status=None)
    report = result.json if result.status == 0 else {}
    expect(report.get("result") == "committed", f"{bundle.name} does not go live: {result}")
    pause = report["pause_ns"] / 1e6
    print(f"{bundle.name:28} stage {report['stage_ns'] / 1e6:7.2f} ms, quiesce {report['quiesce_ns'] / 1e6:7.2f} ms, "
          f"pause {pause:7.2f} ms", flush=True)


def test(vm, sandbox):
    generation = vm.json("status")["generation"]
    cells = [cell["name"] for cell in vm.json("cells")["cells"]]
    vm.callers(True)
    vm.ctl("swap-cell", harness.bundle("soak"))
    vm.ctl("exec", "soak", "start", 1, 3 * vm.cpus)
    swaps = 1
    for cell in cells:
        if cell in PINNED:
            error = vm.error("swap-cell", f"{cell}={harness.CELLS / cell}.cells", status=5)
            expect(cell in error["message"], f"{cell}: {error}")
            continue
        for edition in [""] if cell in SAME else ["-checked", ""]:
            swap(vm, cell, edition)
            swaps += 1
    answer = vm.json("exec", "--timeout", "60s", "soak", "stop", status=None, limit=70)
    print(answer["output"].strip())
    expect(answer["status"] == 0, answer["output"])
    counts = vm.still_serving()
    expect(counts["total"] > 0, f"nobody called: {counts}")
    status = vm.json("status")
    expect(status["generation"] == generation + swaps and status["health"] == "ok", f"after {swaps} swaps: {status}")


harness.main(test)
