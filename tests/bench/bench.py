#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
All benchmarks, each beside what it is compared with, in one run of alternating rounds: the
operations of `theseusctl bench` on KVM and TCG, then start, call and swap.

  bench.py BUILD [--rounds 5] [--seed N] [--accels kvm,tcg] [--json FILE]

Prints tables, and keeps the raw figures in FILE (default: BUILD/tests/benchmarks.json), out of
which report.py writes docs/benchmarks.md. Nothing here fails for being slow.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import time

import report

HERE = pathlib.Path(__file__).resolve().parent
NOW = time.monotonic_ns
OPERATIONS_LIMIT = 900  # seconds for one `theseusctl bench`


def start_theseus(harness, sandbox, accel):
    """exec of theseus-vmm to `ready` (the agent answered Hello), in ns; the VM is ended again."""
    read, write = os.pipe()
    begin = NOW()
    vmm = subprocess.Popen([harness.BUILD / "vmm" / "theseus-vmm", "--name", sandbox.name("start"), "--guest",
                            harness.GUEST, "--bundle", harness.CELLS / "boot.cells", "--accel", accel, "--cpus", "2",
                            "--mem", "128", "--ready-fd", str(write)],
                           pass_fds=[write], env=sandbox.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    line = os.read(read, 4096)
    end = NOW()
    os.close(read)
    if b"ready_ns" not in line:
        raise RuntimeError(f"theseus-vmm did not get ready: {line!r}")
    vmm.terminate()
    vmm.wait(timeout=60)
    return end - begin


def start_microvm(harness, accel):
    """exec of QEMU microvm to the first byte of a trivial PVH kernel, in ns."""
    begin = NOW()
    qemu = subprocess.Popen(["qemu-system-x86_64", "-M", "microvm", "-accel", accel, "-smp", "2", "-m", "128",
                             "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-kernel",
                             harness.BUILD / "tests" / "onebyte"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    byte = qemu.stdout.read(1)
    end = NOW()
    qemu.kill()
    qemu.wait()
    if byte != b"!":
        raise RuntimeError("microvm wrote nothing")
    return end - begin


def boots(harness, sandbox, accel, rounds, rng):
    ours, theirs = [], []
    for _ in range(rounds):
        pair = [(ours, lambda: start_theseus(harness, sandbox, accel)), (theirs, lambda: start_microvm(harness, accel))]
        rng.shuffle(pair)
        for _ in range(4):
            for values, start in pair:
                values.append(start())
    return {"name": "start, ns", "theseus": ours, "qemu_microvm_first_byte": theirs,
            "ratio": report.median(ours) / report.median(theirs)}


def swaps(harness, vm, rounds):
    """Swaps of greeter under two callers: push to done as the operator sees it, and the pause within."""
    rows = {"wall_ns": [], "guest_total_ns": [], "stage_ns": [], "quiesce_ns": [], "pause_ns": []}
    vm.callers(True)
    for i in range(rounds * 20):
        bundle = harness.CELLS / f"greeter-v{2 - i % 2}.cells"
        begin = NOW()
        answer = vm.json("swap-cell", f"greeter={bundle}")
        rows["wall_ns"].append(NOW() - begin)
        rows["guest_total_ns"].append(answer["total_ns"])
        for key in ("stage_ns", "quiesce_ns", "pause_ns"):
            rows[key].append(answer[key])
    vm.callers(False)
    return rows


def call_cost(vm, rounds):
    """ns of a call to greeter through the loader's links and of the same call made directly."""
    rows = {"linked_ns": [], "direct_ns": []}
    for _ in range(rounds):
        for line in vm.exec("call-cost").splitlines():  # medians of rounds of its own
            for word in line.split():
                key, _, value = word.partition("=")
                if key in rows:
                    rows[key].append(float(value))
    return rows


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "unknown")
    kvm = "pvm" if os.path.exists("/sys/module/kvm_pvm") else "hardware"
    return f"{model}, {os.cpu_count()} CPUs, Linux {os.uname().release}, KVM by {kvm}"


def commit():
    """What was measured; a tree that differs from it says so."""
    def git(*args):
        return subprocess.run(["git", *args], capture_output=True, text=True, check=False, cwd=HERE).stdout.strip()
    return git("rev-parse", "--short", "HEAD") + (" with changes" if git("status", "--porcelain", "-uno") else "")


def measure(harness, args, accels):
    sandbox = harness.Sandbox()
    failed = True
    try:
        result = {"commit": commit(), "seed": args.seed, "date": time.strftime("%Y-%m-%d"), "machine": machine(),
                  "accel": accels[0], "rounds": args.rounds, "operations": {}}
        for accel in accels:
            result["operations"][accel] = sandbox.ctl("bench", "--json", "--accel", accel, "--rounds", args.rounds,
                                                      limit=OPERATIONS_LIMIT).json
        result["boot"] = boots(harness, sandbox, accels[0], args.rounds, random.Random(args.seed))
        vm = harness.Vm(accels[0], 2, sandbox)
        result["marks"] = vm.started["boot_marks"]
        result["resident_bytes"] = vm.json("status")["resident_bytes"]
        result["call"] = call_cost(vm, args.rounds)
        result["swap"] = swaps(harness, vm, args.rounds)
        vm.stop()
        failed = False
        return result
    finally:
        sandbox.close(failed)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accels", help="default: kvm where it works, and tcg")
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    os.environ["THESEUS_BUILD"] = str(args.build.resolve())
    sys.path.insert(0, str(HERE.parent / "system"))
    import harness  # pylint: disable=import-outside-toplevel
    accels = args.accels.split(",") if args.accels else ["kvm"] * harness.kvm_usable()[0] + ["tcg"]
    result = measure(harness, args, accels)
    print(report.report(result), end="")
    path = args.json or args.build / "tests" / "benchmarks.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
