# SPDX-License-Identifier: MIT
"""
Frozen sessions between theseusctl and a VM, and the two things done with them.

    record.py   sits between theseusctl and a VM and writes down what passes
    replay.py   plays the VM's side to today's theseusctl

A transcript is one JSON object: the words of the command, its exit status and output, and the frames
in order, [side, type, payload in hex] with side ">" for the tool and "<" for the VM. What v1/ holds
was said by version 1 of the protocol and is never recorded anew: a change that breaks a replay breaks
tools and guests that are in use.
"""
import json
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))
import wire  # noqa: E402

HEADER = 32
MAGIC = 0x31534854
# measured by theseusctl itself, so they are no part of what was agreed on
OWN_TIMES = ("upload_ns", "push_ns")


def receive(sock, buffer):
    """The next frame of a well-behaved peer: (type, request id, payload, rest), or None at its end."""
    while True:
        if len(buffer) >= HEADER:
            magic, _, kind, _, length, _, request_id, crc, _ = struct.unpack("<IBBHIIQII", buffer[:HEADER])
            if magic != MAGIC:
                raise ValueError("not a frame")
            if len(buffer) >= HEADER + length:
                payload = buffer[HEADER:HEADER + length]
                if wire.crc32c(payload) != crc:
                    raise ValueError("wrong CRC")
                return kind, request_id, payload, buffer[HEADER + length:]
        data = sock.recv(65536)
        if not data:
            return None
        buffer += data


def body_of(payload):
    """Number of the body in a Request or VmRequest: the one field from 10 up."""
    return next((number for number in wire.fields(payload) if number >= 10), 0)


def stable(output):
    """The output of a command without what differs from run to run."""
    answer = json.loads(output)
    for key in OWN_TIMES:
        answer.pop(key, None)
    if str(answer.get("name", "")).startswith("/"):
        del answer["name"]  # the recorder's socket
    return answer


def load(directory):
    return {path.stem: json.loads(path.read_text()) for path in sorted(pathlib.Path(directory).glob("*.json"))}
