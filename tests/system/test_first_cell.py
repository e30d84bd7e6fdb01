#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs/first-cell.md holds: its commands run as they stand there, with an installed tree and nothing else."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import harness
from harness import expect

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "first-cell.md"
COMMANDS_MAX = 8


class Installed:
    """The tree as `meson install` leaves it, moved as a whole, and an environment that knows no other."""

    def __init__(self, sandbox):
        root = sandbox.root / "installed"
        subprocess.run(["meson", "install", "-C", harness.BUILD, "--no-rebuild", "--quiet", "--destdir", root],
                       check=True, stdout=subprocess.DEVNULL)
        self.prefix = next(root.rglob("bin/theseusctl")).parents[1]
        self.work = sandbox.root / "work"
        self.work.mkdir()
        self.env = {name: value for name, value in sandbox.env.items() if not name.startswith("THESEUS_")}
        self.env["PATH"] = f"{self.prefix}/bin:{os.environ['PATH']}"
        self.env["PKG_CONFIG_PATH"] = str(self.prefix / "share/pkgconfig")

    def sh(self, script, status=0, cwd=None):
        done = subprocess.run(["bash", "-ec", script], cwd=cwd or self.work, env=self.env, capture_output=True,
                              text=True, timeout=harness.LIMIT * 4, check=False)
        if status is not None and done.returncode != status:
            raise harness.Refused(f"expected exit status {status}, not {done.returncode}: {script}\n"
                                  f"{done.stdout}\n{done.stderr}")
        return done


def commands():
    lines = re.search(r"```sh\n(.*?)```", PAGE.read_text(), re.S).group(1).splitlines()
    expect(0 < len(lines) <= COMMANDS_MAX, f"{len(lines)} commands")
    return lines


def refusals(tree):
    for name in ("Hello", "2nd", "with-dash", "a" * 17, ""):
        done = tree.sh(f"theseusctl cell new '{name}'", status=2)
        expect("a cell's name is" in done.stderr, f"{name!r}: {done.stderr}")
    (tree.work / "taken").mkdir()
    (tree.work / "taken" / "keep").write_text("mine")
    done = tree.sh("theseusctl cell new taken", status=1)
    expect("taken" in done.stderr and os.listdir(tree.work / "taken") == ["keep"], f"taken: {done.stderr}")
    done = tree.sh("theseusctl cell new lost --sdk /nonexistent/sdk.conf", status=1)
    expect("/nonexistent/sdk.conf" in done.stderr and not (tree.work / "lost").exists(), f"no SDK: {done.stderr}")


def what_the_page_says(tree, hello):
    """The things it tells the reader to try are refused as it says."""
    source = hello / "v2/hello.c"
    text = source.read_text()
    build = "theseusctl cell build v2/hello.c . -o bad.cells"
    source.write_text(text.replace("uint64_t count;", "uint64_t count, more;"))
    tree.sh(build, cwd=hello)
    done = tree.sh("theseusctl -n $VM swap-cell bad.cells", status=4, cwd=hello)
    expect("hello" in done.stderr and "state" in done.stderr, f"another state: {done.stderr}")
    source.write_text(text.replace("CELL_STATE(", "static int calls;\nint *calls_at(void);\n"
                                   "int *calls_at(void)\n{\n\treturn &calls;\n}\nCELL_STATE("))
    done = tree.sh(build, status=4, cwd=hello)
    expect("calls" in done.stderr, f"data beside the state: {done.stderr}")

    header = hello / "include/theseus/hello.h"
    contract = header.read_text()
    tree.sh("theseusctl -n $VM swap-cell hello_test=hello-test.cells", cwd=hello)
    header.write_text(contract.replace("hello_add(uint64_t n)", "hello_add(uint32_t n)"))
    source.write_text(text.replace("hello_add(uint64_t n)", "hello_add(uint32_t n)"))
    tree.sh(build, cwd=hello)
    done = tree.sh("theseusctl -n $VM swap-cell bad.cells", status=4, cwd=hello)
    expect("hello_add" in done.stderr and "hello_test" in done.stderr, f"another type: {done.stderr}")
    header.write_text(contract)
    source.write_text(text)


def pkg_config(tree, hello):
    if not shutil.which("pkg-config"):
        return
    tree.sh("gcc -fsyntax-only -Werror -I include $(pkg-config --define-prefix --cflags theseus-sdk) v1/hello.c", cwd=hello)
    done = tree.sh("ls $(pkg-config --define-prefix --variable=sdkdir theseus-sdk)", cwd=hello)
    expect({"sdk.abi", "sdk.conf", "include"} <= set(done.stdout.split()), done.stdout)


def main():
    sandbox = harness.Sandbox()
    failed = True
    try:
        tree = Installed(sandbox)
        tree.env["VM"] = vm = sandbox.name("first")
        script = "\n".join(commands()).replace("-n first", f"-n {vm}")
        out = tree.sh(script).stdout
        expect("version 1 counts 1\n" in out and "version 2 has counted 2, one way or the other\n" in out, out)
        hello = tree.work / "hello"
        what_the_page_says(tree, hello)
        pkg_config(tree, hello)
        refusals(tree)
        out = tree.sh(f"theseusctl -n {vm} exec test hello", cwd=hello).stdout
        expect("ok hello_adds_what_it_is_told" in out.replace("-", "_"), out)
        tree.sh(f"theseusctl -n {vm} stop")
        out = tree.sh(f"make test VM={sandbox.name('make')}", cwd=hello).stdout
        expect(out.count("1 passed, 0 failed") == 2, out)
        failed = False
    finally:
        sandbox.close(failed)


main()
sys.exit(0)
