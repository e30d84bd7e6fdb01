#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
A guest that writes nonsense into its virtqueues, started by the operator like any other: its
devices break, theseus-vmm does not, and a healthy VM beside it misses no answer.
"""
import sys

import harness
from harness import expect


def main(backend):
    if backend == "kvm":
        usable, reason = harness.kvm_usable()
        if not usable:
            harness.skip(f"KVM cannot be used here: {reason}")
    sandbox = harness.Sandbox()
    failed = True
    try:
        healthy = harness.Vm(backend, 1, sandbox)
        healthy.still_serving()
        name = sandbox.name("hostile")
        # It is ready only after it has tried everything.
        sandbox.ctl("-n", name, "run", "--accel", backend, "--detach", "--guest",
                    harness.BUILD / "vmm" / "testguest" / "testguest-nonsense.elf")
        log = (sandbox.state / name / "vmm.log").read_text(errors="replace")
        expect("all nonsense was survived" in log, f"log of the hostile VM:\n{log[-3000:]}")
        metrics = sandbox.ctl("-n", name, "metrics").out
        broken = [line for line in metrics.splitlines() if "devices_broken" in line and not line.startswith("#")]
        expect(broken and int(float(broken[0].split()[-1])) > 0, f"metrics:\n{metrics}")
        sandbox.ctl("-n", name, "stop")
        healthy.still_serving()
        healthy.stop()
        reports = sandbox.sanitizer_reports()
        expect(not reports, f"a sanitizer reports:\n{reports}")
        failed = False
    finally:
        sandbox.close(failed)


main(sys.argv[1])
