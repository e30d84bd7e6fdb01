#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The unsafe report of the whole system: docs/safety.md from the manifests of boot.cells.

safety_table.py THESEUSCTL BUNDLE docs/safety.md          writes the page
safety_table.py --check THESEUSCTL BUNDLE docs/safety.md  is it of these cells, and is the limit kept?

The check compares everything but the numbers of lines, which every change of a cell moves.
"""
import json
import re
import subprocess
import sys

LIMIT = 5.0  # percent of all code lines

HEAD = """# Unsafe operations, cell by cell

Generated from the manifests of `boot.cells`; CONTRIBUTING.md says how. What counts as an unsafe
operation, and what nobody sees, is in theseus-cell(5). A cell that is safe holds none, or it is not
packed. The SDK's own inline code (`guest/include/theseus`) is the audited base and counts for no cell.

"Depends on" names the unsafe cells that a cell calls by link, directly; those in brackets are
reached only through others. A mistake in one of them can break the cell, safe or not.

| cell | class | unsafe lines | code lines | % | kinds | why | depends on |
|---|---|--:|--:|--:|---|---|---|
"""


def load(ctl, bundle):
    text = subprocess.run([ctl, "--json", "cell", "inspect", bundle], check=True, capture_output=True, text=True).stdout
    return json.loads(text)["cells"]


def direct(cells):
    """For each cell the cells whose exports it imports."""
    owner = {e["name"]: c["name"] for c in cells for e in c["exports"]}
    return {c["name"]: {owner[i["name"]] for i in c["imports"] if i["name"] in owner} - {c["name"]} for c in cells}


def closure(deps, name):
    seen, todo = set(), [name]
    while todo:
        new = deps[todo.pop()] - seen
        seen |= new
        todo += new
    return seen - {name}


def row(cell, deps, unsafe):
    r = cell["safety_report"]
    near = deps[cell["name"]] & unsafe
    far = (closure(deps, cell["name"]) & unsafe) - near
    text = ", ".join(sorted(near)) + (f" ({', '.join(sorted(far))})" if far else "")
    kinds = ", ".join(f"{n} {kind}" for kind, n in r["operations"].items())
    share = 100 * r["unsafe_lines"] / r["code_lines"] if r["code_lines"] else 0
    return (f"| {cell['name']} | {cell['safety']} | {r['unsafe_lines']} | {r['code_lines']} | {share:.1f} | "
            f"{kinds} | {cell['unsafe_reason'] or ''} | {text} |\n")


def page(cells):
    deps = direct(cells)
    unsafe = {c["name"] for c in cells if c["safety"] != "safe"}
    lines = sum(c["safety_report"]["unsafe_lines"] for c in cells)
    code = sum(c["safety_report"]["code_lines"] for c in cells)
    share = 100 * lines / code
    text = HEAD + "".join(row(c, deps, unsafe) for c in cells)
    text += f"| **all** | | {lines} | {code} | {share:.1f} | | | |\n\n## Who depends on an unsafe cell\n\n"
    text += "| unsafe cell | called by, directly | reached by, in all |\n|---|---|--:|\n"
    for name in sorted(unsafe):
        users = sorted(c for c in deps if name in deps[c])
        text += f"| {name} | {', '.join(users)} | {sum(name in closure(deps, c) for c in deps)} |\n"
    return text, share


def without_numbers(text):
    return re.sub(r"[0-9.]+", "N", text[text.index("| cell |"):])


def main():
    args = sys.argv[1:]
    check = args[:1] == ["--check"]
    ctl, bundle, path = args[check:]
    text, share = page(load(ctl, bundle))
    if share > LIMIT:
        sys.exit(f"{share:.1f} % of the cells' lines are unsafe, more than {LIMIT} %")
    if not check:
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return
    with open(path, encoding="utf-8") as f:
        old = f.read()
    new_rows, old_rows = without_numbers(text).splitlines(), without_numbers(old).splitlines()
    for line in sorted(set(new_rows) ^ set(old_rows)):
        print(("missing: " if line in new_rows else "outdated: ") + line)
    if new_rows != old_rows:
        sys.exit(f"{path} is not of these cells: write it again as CONTRIBUTING.md says")


main()
