#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Files that must not compile. Each says what it does wrong and which diagnostic each compiler
must give for it:

  /*
   * what: a region dropped twice
   * gcc: regular expression, or: none (why)
   * clang: regular expression, or: none (why)
   */

It is compiled twice by each compiler: as it is, which must be clean, and with -DWRONG, which
must be refused with that diagnostic. A compiler of which the file says `none` does not see the
mistake, and is not asked. Files in ownership/ go through the compilers' static analysis,
with the headers of model/ before the SDK's.

usage: run.py gcc|clang COMPILER FLAGS...
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
KIND, COMPILER, FLAGS = sys.argv[1], sys.argv[2], sys.argv[3:]
ANALYSIS = {"gcc": ["-O1", "-fanalyzer", "-fno-exceptions", "-fno-non-call-exceptions"],
            "clang": ["--analyze", "--analyzer-output", "text"]}
MODEL = ["-I", str(HERE / "model"), "-include", str(HERE / "model/ownership.h")]


def expected(text):
    found = re.search(rf"^ \* {KIND}: (.*)$", text, re.M)
    if not found:
        raise ValueError(f"no line for {KIND}")
    return found.group(1)


def compiled(path, wrong):
    """Compiles; result: the diagnostics, empty when there are none."""
    flags = list(FLAGS) + ["-Werror", "-fno-diagnostics-color"] + (["-DWRONG"] if wrong else [])
    base = [COMPILER]
    if path.parent.name == "ownership":
        base += MODEL
        flags += ANALYSIS[KIND]
    done = subprocess.run(base + flags + ["-c", "-o", os.devnull, str(path)],
                          capture_output=True, text=True, env=os.environ | {"LC_ALL": "C"})
    if done.returncode != 0 and not done.stderr:
        return f"exit status {done.returncode}"
    return "\n".join(line for line in done.stderr.splitlines() if re.search(r"(error|warning):", line))


def judge(path):
    want = expected(path.read_text())
    right, wrong = compiled(path, False), compiled(path, True)
    if right:
        return f"does not compile without its mistake: {right}"
    if not wrong:
        return "compiles with its mistake"
    return None if re.search(want, wrong) else f"refused for another reason than /{want}/: {wrong}"


def main():
    files = sorted(HERE.glob("*/*.c"))
    seen = [p for p in files if not expected(p.read_text()).startswith("none")]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for path, verdict in zip(seen, pool.map(judge, seen)):
            failed += verdict is not None
            print(f"{'not ok' if verdict else 'ok'} {path.relative_to(HERE)}" + (f": {verdict}" if verdict else ""))
    print(f"{KIND}: {len(seen) - failed} of {len(files)} mistakes refused as they must be, {failed} not, "
          f"{len(files) - len(seen)} that it does not see")
    sys.exit(1 if failed or not seen else 0)


main()
