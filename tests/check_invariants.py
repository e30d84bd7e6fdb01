#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_invariants.py ROOT: what the last column of docs/invariants.md names exists: files, and tests in the guest."""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1])
PROVIDED = {name for path in ROOT.glob("cells/*/test/*.c")
            for name in re.findall(r"CELL_PROVIDE\(test_ops,\s*(\w+)\)", path.read_text())}
rows = [line for line in (ROOT / "docs/invariants.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith("| invariant")]
wrong = []
for row in rows:
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    named = re.findall(r"`([^`]+)`", cells[-1])
    if len(cells) != 3:
        wrong.append(f"{len(cells)} columns: {row}")
    elif not named and not cells[1].startswith("nothing"):
        wrong.append(f"nothing tries it: {row}")
    wrong += [f"does not exist: {name}" for name in named if not (ROOT / name).is_file() and name not in PROVIDED]
print("\n".join(wrong) or f"{len(rows)} invariants")
sys.exit(1 if wrong or not rows else 0)
