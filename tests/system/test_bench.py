#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`theseusctl bench` measures in a running guest and leaves nothing behind; what cannot be measured is said."""
import harness
from harness import expect

QUICK = ["--rounds", 1, "--time", "2ms"]


def cells(vm):
    return sorted(row["name"] for row in vm.json("cells")["cells"])


def memory(vm):
    """Frames in use, but for the heap's, whose arenas differ in number, and for what is never given back; its contents."""
    vm.json("status")  # gives back what is kept for speed: heap caches, spare stacks
    free = {key: int(value) for key, value in (line.split("=", 1) for line in vm.exec("free").splitlines() if "=" in line)}
    frames = free["frames_used"] - free["page_tables"] - free["mapped_own_pages"] - free["heap_pages"]
    return frames, free["heap_bytes"], free["heap_objects"]


def complete(report, names):
    found = {row["name"] for row in report["rows"]}
    expect(found == names, f"rows of {found}, not {names}")
    for row in report["rows"]:
        expect(0 < row["guest_ns"] <= row["guest_p99_ns"], f"figures of {row}")
        expect(row["what"], f"{row['name']}: what is compared is not said")
        if "linux_ns" in row:
            ratio = row["guest_ns"] / row["linux_ns"]
            expect(abs(row["ratio"] - ratio) <= ratio / 100, f"ratio of {row}")


def test(vm, sandbox):
    before = cells(vm)
    complete(vm.json("bench", "call", *QUICK), {"call"})
    used = memory(vm)  # after the first swap: what the loader keeps for the next one is there
    complete(vm.json("bench", "switch", *QUICK), {"yield"})
    complete(vm.json("bench", "map", *QUICK), {"map"})
    expect(cells(vm) == before, f"cells before {before}, after {cells(vm)}")
    expect(memory(vm) == used, f"frames, heap bytes and objects before {used}, after {memory(vm)}")
    vm.still_serving()
    # a hundred thousand regions are more than 128 MiB: absent, with the reason, and no row made up
    report = vm.json("bench", "mappings", *QUICK, limit=300)
    absent = [row for row in report["absent"] if row["param"] == 100000]
    expect(len(absent) == 1 and "no room" in absent[0]["why"], f"absent: {report['absent']}")
    expect(not [row for row in report["rows"] if row["param"] == 100000], "a row for what was not measured")
    expect(memory(vm) == used, f"frames, heap bytes and objects before {used}, after {memory(vm)}")
    error = vm.error("bench", "nonsense", status=2)
    expect("call" in error["reasons"] and "map" in error["reasons"], f"names are missing: {error}")
    vm.error("bench", "scheduler", status=2)  # would need another boot
    vm.still_serving()
    if vm.backend != "libvirt":
        run = sandbox.ctl("bench", "switch", "--json", "--accel", vm.backend, *QUICK)
        own = run.json
        expect(own["accel"] == vm.backend, f"measured on {own['accel']}")
        complete(own, {"yield"})
        names = [row["name"] for row in sandbox.ctl("ls", "--json").json["vms"]]
        expect(f"bench-{run.pid}" not in names, f"left running: {names}")


harness.main(test)
