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


def all_wait(vm):
    """All do, but for five that give up after a while; who was broken off is on its way to it."""
    deadline, counts = time.monotonic() + LIMIT, waits(vm)
    while counts["waiting"] < counts["tasks"] - 5:
        expect(time.monotonic() < deadline, f"they do not wait after {LIMIT} s: {counts}")
        counts = waits(vm)


def test(vm, sandbox):
    vm.ctl("swap-cell", harness.bundle("waits"))
    for _ in range(2):
        waits(vm, "block")
        for cell, edition in EDITIONS:
            all_wait(vm)
            swap(vm, cell, edition)
        all_wait(vm)
        waits(vm, "finish")
    waits(vm, "load")
    progress(vm)
    for _ in range(ROUNDS):
        for cell, edition in EDITIONS:
            swap(vm, cell, edition)
            progress(vm)
    print(waits(vm, "finish"))


harness.main(test)
