#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Boots, says truthfully what runs, lists its cells and their dependencies, stops cleanly."""
import harness
from harness import expect

CELLS = {"libc", "unwind", "frames", "mapped", "heap", "loader", "switch", "task", "sched_rr", "service", "pci",
         "virtio", "virtio_console", "log", "agent", "command", "swap", "greeter", "caller"}


def test(vm, sandbox):
    status = vm.json("status")
    expect(status["schema"] == "theseus.status/1", f"schema: {status}")
    expect(status["state"] in ("ready", "running"), f"state: {status}")
    expect(status["cpus"] == vm.cpus, f"cpus: {status}")
    expect(status["generation"] == 0, f"generation: {status}")
    expect(status["health"] == "ok", f"health: {status}")
    if vm.backend != "libvirt":
        expect(status["accel"] == vm.backend, f"accel: {status}")
        expect(vm.started["accel"] == vm.backend and vm.started["ready_ns"] > 0, f"run: {vm.started}")
        names = [row["name"] for row in sandbox.ctl("ls", "--json").json["vms"]]
        expect(vm.name in names, f"ls: {names}")

    cells = {cell["name"]: cell for cell in vm.json("cells")["cells"]}
    expect(CELLS <= cells.keys(), f"cells missing: {CELLS - cells.keys()}")
    starts = []
    for cell in cells.values():
        for key in ("version", "hash", "generation", "state_schema", "text_addr", "text_bytes", "data_bytes",
                    "heap_bytes", "refs", "safety", "health"):
            expect(key in cell, f"{cell['name']} lacks {key}")
        expect(len(cell["hash"]) == 64 and cell["text_bytes"] > 0, f"cell: {cell}")
        expect(0x600000000000 <= cell["text_addr"] < 0x600080000000, f"text of {cell}")
        starts.append((cell["text_addr"], cell["text_bytes"]))
    starts.sort()
    for (a, size), (b, _) in zip(starts, starts[1:]):
        expect(a + size <= b, "texts of two cells overlap")

    users = {dep["cell"] for dep in vm.json("cell", "deps", "greeter", "--reverse")["deps"]}
    expect({"caller", "command"} <= users, f"who uses greeter: {users}")
    uses = {dep["cell"] for dep in vm.json("cell", "deps", "caller")["deps"]}
    expect("greeter" in uses, f"what caller uses: {uses}")
    dot = vm.ctl("cell", "deps", "greeter", "--dot").out
    expect(dot.startswith("digraph"), f"dot: {dot}")
    shown = vm.json("cell", "show", "greeter")
    expect(any(e["name"] == "greeter_greet" for e in shown["exports"]), f"exports: {shown}")
    error = vm.error("cell", "show", "no-such-cell", status=1)
    expect("no-such-cell" in error["message"], f"error: {error}")

    expect("hello" in vm.exec("greet").lower(), "greet")
    expect("task:task_event_wait+" in vm.exec("bt", "swap"), "bt of a service that waits")
    expect(vm.json("exec", "bt", "no-such-task", status=None)["status"] == 1, "bt of a task that is not there")
    expect(vm.ctl("exec", "no-such-command", status=None).status != 0, "unknown command")
    expect(vm.json("log")["records"], "the log is empty")
    vm.still_serving()


harness.main(test)
