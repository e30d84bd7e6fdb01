#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
`channel` and `sync`, and `task` below them, are replaced while calls wait in them: first one wait of
every kind, each of which must end as it would have; then under load, which must lose nothing.
"""
import time

import harness
from harness import expect

LIMIT = 60  # seconds at most for what the guest does by itself
ORIGINAL = "-checked" if harness.CHECKED else ""
OTHER = "-checked"  # in a checked system all is checked: locks know their class there
# `sync` keeps more when checked: replaced by itself
EDITIONS = [("channel", OTHER), ("sync", ORIGINAL), ("channel", ORIGINAL), ("sync", ORIGINAL), ("task", OTHER),
            ("channel", OTHER), ("task", ORIGINAL), ("channel", ORIGINAL)]
ROUNDS = 3


def waits(vm, *words):
    """The answer of `exec waits`, as {word: number}."""
    answer = vm.json("exec", "--timeout", f"{LIMIT}s", "waits", *words, status=None, limit=LIMIT + 10)
    expect(answer["status"] == 0, f"waits {' '.join(words)}: {answer}")
    return {word: int(value) for word, value in (pair.split("=") for pair in answer["output"].split() if "=" in pair)}


def swap(vm, cell, edition):
    report = vm.json("swap-cell", "--timeout", "20s", f"{cell}={harness.CELLS / cell}{edition}.cells")
    expect(report["result"] == "committed", f"{cell}{edition}: {report}")


def progress(vm):
    before, deadline = waits(vm)["rounds"], time.monotonic() + LIMIT
    while waits(vm)["rounds"] < before + 100:
        expect(time.monotonic() < deadline, f"no progress in {LIMIT} s")


def test(vm, sandbox):
    vm.ctl("swap-cell", harness.bundle("waits"))
    for _ in range(2):
        waits(vm, "block")
        counts = waits(vm)
        expect(counts["waiting"] >= counts["tasks"] - 5, f"they wait, but for five that gave up: {counts}")
        for cell, edition in EDITIONS:
            swap(vm, cell, edition)
        counts = waits(vm)
        expect(counts["tasks"] - 5 <= counts["waiting"], f"they still wait: {counts}")
        waits(vm, "finish")
    waits(vm, "load")
    progress(vm)
    for _ in range(ROUNDS):
        for cell, edition in EDITIONS:
            swap(vm, cell, edition)
            progress(vm)
    print(waits(vm, "finish"))


harness.main(test)
