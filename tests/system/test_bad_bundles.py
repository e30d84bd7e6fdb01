#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every kind of damaged bundle is refused by name, through the CLI and by the guest alone."""
import hashlib

import harness
import wire
from harness import expect

BAD = harness.BUILD / "tests" / "bundles" / "bad"
KINDS = {"not-an-archive", "cut-short", "wrong-hash", "other-machine", "offset-outside", "overlapping-sections",
         "million-symbols", "reloc-range", "reloc-unknown", "missing-symbol", "duplicate-symbol"}


def pushed_raw(vm, data):
    """The same bytes past theseusctl's own checks: what the guest says of them."""
    client = wire.Client(vm.started["socket"])
    client.call(wire.HELLO)
    answer = client.call(wire.upload_begin(len(data), hashlib.sha256(data).digest()))
    if wire.status_of(answer) == wire.STATUS_OK:
        for offset in range(0, len(data), 32768):
            answer = client.call(wire.upload_chunk(offset, data[offset:offset + 32768]))
            expect(wire.status_of(answer) == wire.STATUS_OK, f"chunk: {answer}")
        answer = client.call(wire.STAGE)
    client.close()
    return answer


def test(vm, sandbox):
    files = {path.stem: path for path in BAD.glob("*.cells")}
    expect(KINDS <= files.keys(), f"not made: {KINDS - files.keys()}")
    used = None
    for name, path in sorted(files.items()):
        generation = vm.json("status")["generation"]
        error = vm.error("push", path, status=4)
        text = " ".join([error["message"], *error.get("reasons", [])])
        expect(len(text) > 20, f"{name}: says too little: {error}")
        print(f"ok: {name}: {error['code']}: {text[:160]}")
        vm.error("swap-cell", f"greeter={path}", status=4)
        if vm.backend != "libvirt":
            answer = pushed_raw(vm, path.read_bytes())
            expect(wire.status_of(answer) not in (wire.STATUS_OK, wire.STATUS_BUSY) and wire.code_of(answer),
                   f"{name}: the guest took it: {answer}")
        expect(vm.json("status")["generation"] == generation, f"{name} changed the generation")
        vm.still_serving()
        used = used or vm.memory_used()
    leaked = vm.memory_used() - used
    expect(leaked <= 4096, f"refused bundles keep {leaked} bytes")
    error = vm.error("push", sandbox.root / "no-such-file.cells", status=1)
    expect("no-such-file" in error["message"], f"{error}")


harness.main(test)
