#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tests that cells bring along (tests.cells) pass inside the guest, and leave nothing behind."""
import re

import harness
from harness import expect

LIMIT = 540  # seconds for all of them


def last_words(vm):
    """What the runner last named in the log: the test that hung or took the guest along."""
    lines = vm.ctl("log", status=None).out.splitlines()
    return "\n".join([line for line in lines if " test " in line][-3:])


def run(vm, *prefixes):
    """Runs the tests in `vm`: (exit status, lines)."""
    try:
        answer = vm.json("exec", "--timeout", f"{LIMIT}s", "test", *prefixes, status=None, limit=LIMIT + 10)
    except ValueError:
        answer = {}
    if "output" not in answer:
        raise harness.Refused(f"the tests gave no answer: {answer.get('message')}\n{last_words(vm)}")
    expect(not answer.get("truncated"), "the lines of all tests do not fit an answer")
    return answer["status"], answer["output"].splitlines()


# What the runner has to find out about the tests of cells/test/bad.
BAD = [
    r"not ok bad_checks: bad\.c:[0-9]+: bad\.never\.count == 1",
    r"not ok bad_returns_error: returned -5",
    r"skip bad_skips: not on a day like this",
    r"not ok bad_faults: trap: planted in bad_test:faults\+0x[0-9a-f]+",
    r"not ok bad_is_killed: (killed|returned -125)",
    r"not ok bad_loses_block: left over: 0 tasks, 0 pages, 1 heap objects of 100 bytes",
    r"not ok bad_loses_region: left over: 0 tasks, 3 pages, 0 heap objects of 0 bytes",
    r"not ok bad_loses_task: left over: 1 tasks, .*",
]
# What the checked build stops on top of that: cells/test/bad/undefined.c.
UNDEFINED = ["writes_out_of_bounds", "overflows", "shifts_too_far", "divides_by_zero", "is_not_bool", "misaligned"]


def test_runner(vm):
    """A run that goes wrong is reported as such, test by test."""
    vm.ctl("swap-cell", harness.bundle("bad-tests"))
    status, lines = run(vm, "bad_")
    patterns = BAD
    if harness.CHECKED:
        patterns = BAD + [rf"not ok bad_{name}: undefined behaviour in bad_test:{name}(\.cold)?\+0x[0-9a-f]+" for name in UNDEFINED]
    expect(status == 1 and lines[-1] == f"0 passed, {len(patterns) - 1} failed, 1 skipped", f"status {status}, {lines}")
    for pattern in patterns:
        expect(any(re.fullmatch(pattern, line) for line in lines), f"no line is {pattern}:\n" + "\n".join(lines))
    status, lines = run(vm, "no-such-test")
    expect(status == 1 and "no test has a name that begins so" in lines[0], f"unknown prefix: {status} {lines}")


def test(vm, sandbox):
    status, lines = run(vm)
    expect(status == 1 and "no tests are loaded" in lines[0], f"without tests: {status} {lines}")
    report = vm.json("swap-cell", harness.bundle("tests"))
    expect(report["result"] == "committed", f"the tests did not come in: {report}")
    names = vm.exec("test", "--list").split()
    status, lines = run(vm)
    print("\n".join(lines))
    bad = [line for line in lines[:-1] if not line.startswith(("ok ", "skip "))]
    expect(not bad, "\n".join(bad))
    expect(status == 0 and len(lines) == len(names) + 1, f"status {status} of {len(names)} tests")
    if vm.backend == "kvm":
        test_runner(vm)


harness.main(test)
