#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Garbage, wrong CRCs, absurd lengths, half messages and clients that vanish: only they suffer."""
import hashlib
import os
import random

import harness
import wire
from harness import expect


def path_of(vm):
    return vm.started["socket"]


def fresh(vm):
    client = wire.Client(path_of(vm))
    expect(wire.status_of(client.call(wire.HELLO)) == wire.STATUS_OK, "hello")
    return client


def answers(client, what):
    expect(wire.status_of(client.call(wire.STATUS_GET)) == wire.STATUS_OK, f"no answer after {what}")


def garbage(vm):
    """A valid frame behind anything is still found."""
    rng = random.Random(20261122)
    client = fresh(vm)
    for size in (1, 31, 32, 33, 4096, 100_000):
        client.send(rng.randbytes(size))
        # Random bytes may look like a header and claim a payload; padding ends that.
        client.send(bytes(wire.PAYLOAD_MAX + 64))
        answers(client, f"{size} bytes of garbage")
    client.send(b"THS1" * 1000)
    client.send(bytes(64))
    answers(client, "magic words without headers")
    client.send(wire.header(wire.REQUEST, wire.STATUS_GET, 99, crc=0xDEADBEEF) + wire.STATUS_GET)
    answers(client, "a wrong payload CRC")
    good = bytearray(wire.frame(wire.REQUEST, wire.STATUS_GET, 99))
    good[30] ^= 1
    client.send(bytes(good))
    answers(client, "a wrong header CRC")
    for length in (wire.PAYLOAD_MAX + 1, 0x7FFFFFFF, 0xFFFFFFFF):
        client.send(wire.header(wire.REQUEST, b"", 99, length=length))
        answers(client, f"a length of {length}")
    client.close()


def bad_messages(vm):
    client = fresh(vm)
    for payload in (b"\xff" * 100, b"\x52\xff\xff\xff\xff\x0f", wire.field(2000, b"x"), b""):
        answer = client.call(payload)
        expect(wire.status_of(answer) in (2, 3), f"{payload!r}: {answer}")
        expect(wire.code_of(answer), f"no error code for {payload!r}")
    for payload in (b"\xff" * 100, wire.field(2000, b"x"), b""):
        answer = client.call(payload, kind=wire.VM_REQUEST)
        expect(wire.status_of(answer) in (2, 3), f"{payload!r}: {answer}")
    rng = random.Random(7)
    for _ in range(200):
        client.call(rng.randbytes(rng.randrange(1, 300)))
    answers(client, "random messages")
    client.close()


def half_message(vm):
    """Half a frame, then silence: others are served meanwhile, and the silent one is dropped."""
    silent = fresh(vm)
    silent.send(wire.frame(wire.REQUEST, wire.STATUS_GET, 5)[:20])
    other = fresh(vm)
    answers(other, "another client's half frame")
    vm.still_serving()
    try:
        while True:
            silent.receive()
    except EOFError:
        pass  # dropped after its time limit; a receive time-out would fail the test
    answers(other, "the silent client was dropped")
    other.close()


def vanishing(vm):
    """Clients that go away in the middle of a push leave no upload behind."""
    bundle = (harness.CELLS / "greeter-v2.cells").read_bytes()
    before = None
    for i in range(20):
        client = fresh(vm)
        answer = client.call(wire.upload_begin(len(bundle), hashlib.sha256(bundle).digest()))
        expect(wire.status_of(answer) == wire.STATUS_OK, f"upload begin: {answer}")
        chunk = wire.frame(wire.REQUEST, wire.upload_chunk(0, bundle[:4096]), 77)
        client.send(chunk if i % 2 else chunk[:len(chunk) // 2])
        client.close()
        used = vm.memory_used()
        if i == 4:
            before = used
    expect(used <= before + 4096, f"abandoned uploads keep memory: {before} -> {used}")
    vm.json("swap-cell", f"greeter={harness.CELLS / 'greeter-v2.cells'}")
    vm.json("swap-cell", f"greeter={harness.CELLS / 'greeter-v1.cells'}")


def bad_uploads(vm):
    client = fresh(vm)
    bundle = os.urandom(10_000)
    digest = hashlib.sha256(bundle).digest()
    refused = [wire.upload_begin(1 << 40, digest), wire.upload_begin(0, digest), wire.upload_begin(100, b"short"),
               wire.upload_chunk(0, b"no upload was begun"), wire.STAGE]
    for request in refused:
        answer = client.call(request)
        expect(wire.status_of(answer) != wire.STATUS_OK and wire.code_of(answer), f"{request[:20]!r}: {answer}")
    expect(wire.status_of(client.call(wire.upload_begin(len(bundle), digest))) == wire.STATUS_OK, "begin")
    for offset in (5000, 1 << 63, 20_000):
        answer = client.call(wire.upload_chunk(offset, bundle[:100]))
        expect(wire.status_of(answer) != wire.STATUS_OK, f"chunk at {offset}: {answer}")
    client.close()
    client = fresh(vm)
    wrong = hashlib.sha256(b"something else").digest()
    client.call(wire.upload_begin(len(bundle), wrong))
    client.call(wire.upload_chunk(0, bundle))
    answer = client.call(wire.STAGE)
    expect(wire.status_of(answer) != wire.STATUS_OK and wire.code_of(answer), f"wrong digest: {answer}")
    client.close()


def two_at_once(vm):
    """Two clients push at once: each is served or told that the other is at it; none is damaged."""
    bundle = (harness.CELLS / "greeter-v2.cells").read_bytes()
    clients = [fresh(vm), fresh(vm)]
    begun = [c.call(wire.upload_begin(len(bundle), hashlib.sha256(bundle).digest())) for c in clients]
    expect(wire.status_of(begun[0]) == wire.STATUS_OK, f"first push: {begun[0]}")
    active = [c for c, answer in zip(clients, begun) if wire.status_of(answer) == wire.STATUS_OK]
    for offset in range(0, len(bundle), 4096):
        for client in active:
            answer = client.call(wire.upload_chunk(offset, bundle[offset:offset + 4096]))
            expect(wire.status_of(answer) == wire.STATUS_OK, f"chunk at {offset}: {answer}")
    results = [wire.status_of(client.call(wire.STAGE)) for client in active]
    expect(results.count(wire.STATUS_OK) == 1, f"stage of two: {results}")
    expect(set(results) <= {wire.STATUS_OK, wire.STATUS_BUSY}, f"stage of two: {results}")
    for client in clients:
        client.close()


def test(vm, sandbox):
    for attack in (garbage, bad_messages, bad_uploads, half_message, vanishing, two_at_once):
        attack(vm)
        vm.still_serving()
        print(f"ok: {attack.__name__}")


harness.main(test)
