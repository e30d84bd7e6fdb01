#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
GCC's static analysis (-fanalyzer) over the project's C: guest, cells, lib, vmm, ctl; each file
once, as the build compiles it. Not the tests, and not the checked editions, whose sanitizers
change nothing that is written there. tests/mustnot/ownership shows what it finds.

usage: analyze.py BUILD [PATH-PATTERN]
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

BUILD = pathlib.Path(sys.argv[1])
PATTERN = re.compile(sys.argv[2] if len(sys.argv) > 2 else "")
ROOT = pathlib.Path(__file__).resolve().parent.parent
TEST = re.compile(r"(-test|-fake)\.c$|/(test|tests|tasktest|testing|testguest)/|^(tests|examples)/")
# GCC 12 follows no edge of an exception, so with those, cleanups seem not to run.
FLAGS = ["-fanalyzer", "-Werror", "-O1", "-g0", "-fno-exceptions", "-fno-non-call-exceptions",
         # It forgets a pointer stored in what is itself reached by a pointer: `r->names = alloc()`
         # in a constructor leaks, it says, 40 times of 40 wrongly. The sanitizers' pass, the
         # accounts of each test in the guest and the failing allocations look for leaks.
         "-Wno-analyzer-malloc-leak",
         "-Wno-maybe-uninitialized",  # -O1 inlines too little for it; the build itself has it on
         "-fdiagnostics-color=never", "-S", "-o", os.devnull]


def sources():
    """(path below the root, directory, arguments), each source once."""
    seen = set()
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        path = os.path.relpath(os.path.join(entry["directory"], entry["file"]), ROOT)
        if not path.endswith(".c") or path in seen or path.startswith("..") or TEST.search(path) or \
           "-checked.a.p" in entry["output"] or not PATTERN.search(path):
            continue
        seen.add(path)
        args = shlex.split(entry["command"])
        drop = {i + 1 for i, a in enumerate(args) if a in ("-o", "-MF", "-MQ", "-MT")}
        yield path, entry["directory"], [a for i, a in enumerate(args) if i not in drop and
                                         a not in ("-o", "-c", "-MD", "-MF", "-MQ", "-MT")]


def analyse(job):
    path, directory, args = job
    done = subprocess.run(args + FLAGS, cwd=directory, capture_output=True, text=True,
                          env=os.environ | {"LC_ALL": "C"})
    return path, done.returncode, done.stderr


def main():
    jobs = list(sources())
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for path, status, said in pool.map(analyse, jobs):
            failed += status != 0
            if status:
                print(f"{path}:\n{said}", file=sys.stderr)
    print(f"analysis: {len(jobs)} files, {failed} with findings")
    sys.exit(1 if failed or not jobs else 0)


main()
