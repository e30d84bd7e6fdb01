#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Lists 10,000 tasks that wait, while others start and end: each one that is there all the time comes
exactly once, in text and JSON, in answers and memory of a bounded size.
"""
import os
import subprocess
import time

import harness
import wire
from harness import expect

WAITING = 10000
TASKS_GET, TASKS_REPLY, NEXT = 22, 19, 2  # numbers of fields in control.proto
REPLY_MAX = 32 << 10                      # bytes of one answer, of a limit of 64 KiB
CLIENT_MAX = 64 << 20                     # bytes of memory that theseusctl may take
GOING = 2


def gone(vm):
    """How many tasks have ended."""
    return int(vm.exec("crowd"))


def check(how, rows):
    """`rows`: (id, name) of a listing."""
    ids = [row for row, _ in rows]
    expect(len(ids) == len(set(ids)), f"{how}: {len(ids) - len(set(ids))} tasks came twice")
    waiting = sum(name == "waits" for _, name in rows)
    expect(waiting == WAITING, f"{how}: {waiting} of {WAITING} waiting tasks")
    for name in ("agent", "console", "reaper"):
        expect(name in {name for _, name in rows}, f"{how}: {name} is missing")


def columns(text):
    return [(line.split()[0], line.split()[1]) for line in text.splitlines()[1:]]


def as_json(vm):
    return [(row["id"], row["name"]) for row in vm.json("tasks")["tasks"]]


def as_text(vm):
    return columns(vm.ctl("tasks").out)


def as_ps(vm):
    """`ps` says where it goes on when its output is full."""
    rows, command = [], ["ps"]
    while command:
        out = vm.ctl("exec", *command)
        expect(out.err == "", f"nothing is cut: {out.err}")
        body, _, more = out.out.partition("more: ")
        rows += columns(body)
        command = more.split()
    return rows


def bounded(vm):
    """What one answer and the whole listing take."""
    client = wire.Client(vm.sandbox.runtime / vm.name / "sock", harness.LIMIT)
    expect(wire.status_of(client.call(wire.HELLO)) == wire.STATUS_OK, "Hello")
    start, answers = 0, 0
    while True:
        client.last_id += 1
        client.send(wire.frame(wire.REQUEST, wire.field(TASKS_GET, wire.field(3, start)), client.last_id))
        kind = None
        while kind != wire.RESPONSE:
            kind, _, data = client.receive()
        expect(len(data) <= REPLY_MAX, f"an answer of {len(data)} bytes")
        answers += 1
        start = wire.fields(wire.fields(data)[TASKS_REPLY][0]).get(NEXT, [0])[0]
        if not start:
            break
    client.close()
    print(f"{answers} answers of at most {REPLY_MAX} bytes")
    for options in ((), ("--json",)):
        process = subprocess.Popen([str(harness.CTL), *vm.target, *options, "tasks"], env=vm.sandbox.env,
                                   stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        print(f"theseusctl {' '.join(options)} tasks: {usage.ru_maxrss >> 10} MiB")
        expect(status == 0 and usage.ru_maxrss << 10 <= CLIENT_MAX, f"{options}: status {status}, {usage.ru_maxrss} KiB")


def test(vm, sandbox):
    vm.ctl("swap-cell", harness.bundle("crowd"))
    answer = vm.json("exec", "--timeout", "60s", "crowd", WAITING, GOING, status=None)
    expect(answer["status"] == 0, f"start: {answer}")
    for listing in (as_json, as_text, as_ps):
        before, began = gone(vm), time.monotonic()
        check(listing.__name__, listing(vm))
        took, ended = time.monotonic() - began, gone(vm) - before
        print(f"{listing.__name__}: {took:.2f} s, {ended} tasks ended meanwhile")
        expect(ended > 0, "none ended meanwhile")
    error = vm.error("task", "show", "waits", status=1)
    expect(error["code"] == "ambiguous-task" and str(WAITING) in error["message"], f"task show: {error}")
    for word in ("x", "-1", "1x", "4294967296"):
        answer = vm.json("exec", "ps", word, status=2)
        expect("usage: ps" in answer["output"], f"ps {word}: {answer}")
    expect(len(columns(vm.ctl("exec", "ps", "4294967295").out)) == 0, "ps beyond the last one")
    bounded(vm)
    vm.still_serving()


harness.main(test, mem=256)
