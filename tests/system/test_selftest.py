#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A cell of the running system tries to break the gate's rules G1 to G5; every try is refused."""
import harness
from harness import expect


def test(vm, sandbox):
    report = vm.json("swap-cell", harness.CELLS / "selftest.cells")
    expect(report["result"] == "committed", f"the cell did not come in: {report}")
    answer = vm.json("exec", "selftest")
    lines = answer["output"].splitlines()
    expect(lines.pop() == f"checks={len(lines)} failed=0", f"last line:\n{answer['output']}")
    expect(answer["status"] == 0 and not [line for line in lines if not line.startswith("ok ")],
           f"status {answer['status']}:\n{answer['output']}")
    expect(len(lines) >= 30, f"only {len(lines)} tries:\n{answer['output']}")
    vm.still_serving()


harness.main(test)
