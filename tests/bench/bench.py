#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Benchmarks, each beside what it is compared with, in one run of alternating rounds.

  bench.py BUILD [--rounds 5] [--seed N] [--json FILE]

Prints a table; --json keeps the raw figures. Nothing here fails for being slow.
"""
import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import time

NOW = time.monotonic_ns


def median(values):
    return statistics.median(values) if values else float("nan")


def p99(values):
    return sorted(values)[max(0, -(-len(values) * 99 // 100) - 1)]


class Bench:
    def __init__(self, build, accel):
        self.build, self.accel = pathlib.Path(build), accel
        self.env = dict(os.environ, THESEUS_VMM=str(self.build / "vmm" / "theseus-vmm"),
                        THESEUS_GUEST=str(self.build / "guest" / "theseus.elf"),
                        THESEUS_BUNDLE=str(self.build / "cells" / "boot.cells"))
        self.ctl_path = self.build / "ctl" / "theseusctl"

    def ctl(self, *args):
        done = subprocess.run([self.ctl_path, "-n", "bench", "--json", *map(str, args)], env=self.env, check=True,
                              capture_output=True, text=True, timeout=300)
        return json.loads(done.stdout)

    def start_theseus(self):
        """exec of theseus-vmm to `ready` (the agent answered Hello), in ns; the VM is ended again."""
        read, write = os.pipe()
        begin = NOW()
        vmm = subprocess.Popen([self.build / "vmm" / "theseus-vmm", "--name", "bench-start", "--guest",
                                self.build / "guest" / "theseus.elf", "--bundle", self.build / "cells" / "boot.cells",
                                "--accel", self.accel, "--cpus", "2", "--mem", "128", "--ready-fd", str(write)],
                               pass_fds=[write], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(write)
        line = os.read(read, 4096)
        end = NOW()
        os.close(read)
        if b"ready_ns" not in line:
            raise RuntimeError(f"theseus-vmm did not get ready: {line!r}")
        vmm.terminate()
        vmm.wait(timeout=60)
        return end - begin

    def start_microvm(self):
        """exec of QEMU microvm to the first byte of a trivial PVH kernel, in ns."""
        begin = NOW()
        qemu = subprocess.Popen(["qemu-system-x86_64", "-M", "microvm", "-accel", self.accel, "-smp", "2", "-m", "128",
                                 "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-kernel",
                                 self.build / "tests" / "onebyte"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        byte = qemu.stdout.read(1)
        end = NOW()
        qemu.kill()
        qemu.wait()
        if byte != b"!":
            raise RuntimeError("microvm wrote nothing")
        return end - begin

    def boot(self, rounds, rng):
        ours, theirs = [], []
        for _ in range(rounds):
            pair = [(ours, self.start_theseus), (theirs, self.start_microvm)]
            rng.shuffle(pair)
            for _ in range(4):
                for values, start in pair:
                    values.append(start())
        return {"name": "start, ns", "theseus": ours, "qemu_microvm_first_byte": theirs,
                "ratio": median(ours) / median(theirs)}

    def swaps(self, rounds):
        """Swaps of greeter under two callers: push to done as the operator sees it, and the pause within."""
        rows = {"wall_ns": [], "guest_total_ns": [], "stage_ns": [], "quiesce_ns": [], "pause_ns": []}
        for i in range(rounds * 20):
            bundle = self.build / "cells" / f"greeter-v{2 - i % 2}.cells"
            begin = NOW()
            report = self.ctl("swap-cell", f"greeter={bundle}")
            rows["wall_ns"].append(NOW() - begin)
            rows["guest_total_ns"].append(report["total_ns"])
            for key in ("stage_ns", "quiesce_ns", "pause_ns"):
                rows[key].append(report[key])
        return rows

    def call_cost(self, rounds):
        """ns of a call to greeter through the loader's links and of the same call made directly."""
        rows = {"linked_ns": [], "direct_ns": []}
        for _ in range(rounds):
            for line in self.ctl("exec", "call-cost")["output"].splitlines():  # medians of rounds of its own
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accel", default=None)
    parser.add_argument("--json")
    args = parser.parse_args()
    accel = args.accel or ("kvm" if os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg")
    bench = Bench(args.build, accel)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False,
                            cwd=pathlib.Path(__file__).parent).stdout.strip()
    result = {"commit": commit, "seed": args.seed, "date": time.strftime("%Y-%m-%d"), "machine": machine(),
              "accel": accel, "rounds": args.rounds}
    result["boot"] = bench.boot(args.rounds, random.Random(args.seed))
    result["marks"] = bench.ctl("run", "--accel", accel, "--cpus", 2, "--mem", 128, "--detach")["boot_marks"]
    try:
        result["resident_bytes"] = bench.ctl("status")["resident_bytes"]
        result["call"] = bench.call_cost(args.rounds)
        result["swap"] = bench.swaps(args.rounds)
    finally:
        bench.ctl("stop")
    boot, swap, call = result["boot"], result["swap"], result["call"]
    print(f"{result['machine']}, {result['date']}, commit {commit}, accel {accel}, seed {args.seed}\n")
    print("| what | median | p99 | against | median | ratio |\n|---|---|---|---|---|---|")
    ms = lambda ns: f"{ns / 1e6:.2f} ms"
    us = lambda ns: f"{ns / 1e3:.1f} µs"
    print(f"| exec of theseus-vmm to ready, 2 vCPUs, 128 MiB | {ms(median(boot['theseus']))} | {ms(p99(boot['theseus']))} "
          f"| QEMU microvm, first byte of a trivial kernel | {ms(median(boot['qemu_microvm_first_byte']))} | {boot['ratio']:.2f} |")
    if call["linked_ns"]:
        linked, direct = median(call["linked_ns"]), median(call["direct_ns"])
        print(f"| call to greeter through the loader's links | {linked:.2f} ns | | direct call | {direct:.2f} ns | {linked / direct:.2f} |")
    print(f"| theseus-vmm resident beyond guest RAM | {result['resident_bytes'] / 2**20:.2f} MiB | | | | |")
    for key, what, unit in (("wall_ns", "swap of greeter, push to done, as the operator sees it", ms),
                            ("guest_total_ns", "swap of greeter, guest time (stage and swap)", ms),
                            ("pause_ns", "pause within the swap", us), ("quiesce_ns", "parking the other CPU", us)):
        print(f"| {what} | {unit(median(swap[key]))} | {unit(p99(swap[key]))} | | | |")
    print("\n| where the start goes (one run; steps of 0.2 ms and more) | took | done at |\n|---|---|---|")
    for side, zero in (("vmm", "exec"), ("guest", "first instruction")):
        before = 0
        for row in result["marks"][side]:
            if row["at_ns"] - before >= 200_000:
                print(f"| {side}: {row['name']} | {ms(row['at_ns'] - before)} | {zero} + {ms(row['at_ns'])} |")
            before = row["at_ns"]
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
