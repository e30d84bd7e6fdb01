#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A VM that cannot start says which thing is at fault and how to get past it."""
import json
import os
import shutil
import subprocess

import harness
from harness import expect


def fails(sandbox, name, *args, status, words, prefix=()):
    argv = [*prefix, str(harness.CTL), "-n", name, "run", "--detach", "--json", *map(str, args)]
    done = subprocess.run(argv, env=sandbox.env, capture_output=True, text=True, timeout=harness.LIMIT, check=False)
    expect(done.returncode == status, f"{args}: exit {done.returncode}: {done.stdout} {done.stderr}")
    error = json.loads((done.stdout or done.stderr).strip().splitlines()[-1])
    for word in words:
        expect(word in error["message"], f"{args}: {word!r} not in {error}")
    expect(not (sandbox.runtime / name / "sock").exists(), f"{args}: left a socket")
    print(f"ok: {args}: {error['message']}")


def main():
    sandbox = harness.Sandbox()
    try:
        name = sandbox.name("a")
        cells = harness.CELLS / "boot.cells"
        fails(sandbox, name, "--guest", cells, "--accel", "tcg", status=1, words=["boot.cells"])
        fails(sandbox, name, "--guest", "/nonexistent/guest", "--accel", "tcg", status=1, words=["/nonexistent/guest"])
        fails(sandbox, name, "--bundle", harness.GUEST, "--accel", "tcg", status=1, words=["theseus.elf"])
        fails(sandbox, name, "--mem", "8", "--accel", "tcg", status=1, words=["8", "MiB"])
        fails(sandbox, name, "--cpus", "1000", "--accel", "tcg", status=2, words=["1000"])
        fails(sandbox, "../evil", "--accel", "tcg", status=2, words=["name"])
        usable, _ = harness.kvm_usable()
        if usable:
            fails(sandbox, name, "--guest", cells, "--accel", "kvm", status=1, words=["boot.cells"])
            fails(sandbox, name, "--mem", "8", "--accel", "kvm", status=1, words=["8", "MiB"])
        if os.getuid() == 0 and shutil.which("unshare"):
            hide = ["unshare", "-m", "sh", "-c",
                    "mount --bind /dev/null /dev/kvm 2>/dev/null || mount -t tmpfs none /dev/kvm 2>/dev/null || exit 77;"
                    'exec "$@"', "sh"]
            if os.path.exists("/dev/kvm"):
                fails(sandbox, name, "--accel", "kvm", status=1, words=["/dev/kvm"], prefix=hide)
        sandbox.ctl("-n", "nobody", "status", status=3)
        sandbox.ctl("stop", status=2)
        sandbox.ctl("no-such-verb", status=2)
    finally:
        sandbox.close()


main()
