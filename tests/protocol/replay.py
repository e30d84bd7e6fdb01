#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""replay.py CTL DIR: today's theseusctl understands a VM of the recorded version; see transcript.py."""
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading

import transcript

LIMIT = 60


def play(listener, frames, failures):
    """The VM's side: each frame of the tool must ask what was recorded, and gets the recorded answer."""
    listener.settimeout(LIMIT)
    sock = listener.accept()[0]
    sock.settimeout(LIMIT)
    buffer, request_ids = b"", []
    last_answer = max(i for i, (side, kind, _) in enumerate(frames) if side == "<" and kind in (2, 6))
    frames = frames[:last_answer + 1]  # the tool does not wait for events behind it
    try:
        for side, kind, text in frames:
            payload = bytes.fromhex(text)
            if side == "<":
                # answers come in the order of the requests; an event has no id
                sock.sendall(transcript.wire.frame(kind, payload, request_ids.pop(0) if kind in (2, 6) else 0))
                continue
            got = transcript.receive(sock, buffer)
            if not got:
                failures.append("the tool left early")
                return
            got_kind, request_id, got_payload, buffer = got
            request_ids.append(request_id)
            if got_kind != kind or transcript.body_of(got_payload) != transcript.body_of(payload):
                failures.append(f"asks type {got_kind}, body {transcript.body_of(got_payload)}; recorded: "
                                f"type {kind}, body {transcript.body_of(payload)}")
                return
    except (OSError, ValueError) as error:
        failures.append(str(error))
    finally:
        sock.close()


def replay(ctl, directory, name, entry):
    failures = []
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)
        player = threading.Thread(target=play, args=(listener, entry["frames"], failures))
        player.start()
        words = [str(directory / w) if (directory / w).exists() else w for w in entry["words"]]
        done = subprocess.run([ctl, "--socket", path, "--json", *words], capture_output=True, text=True,
                              timeout=LIMIT, check=False)
        player.join()
        listener.close()
    if done.returncode != entry["status"]:
        failures.append(f"exit status {done.returncode}, recorded {entry['status']}: {done.stdout} {done.stderr}")
    else:
        now = transcript.stable(done.stdout)
        # fields may be added, never changed or removed
        for key, value in entry["output"].items():
            if now.get(key) != value:
                failures.append(f"{key} is {now.get(key)!r}, recorded {value!r}")
    for failure in failures:
        print(f"{name}: {failure}")
    return not failures


def main():
    ctl, directory = sys.argv[1], pathlib.Path(sys.argv[2])
    entries = transcript.load(directory)
    results = [replay(ctl, directory, name, entry) for name, entry in entries.items()]
    print(f"{sum(results)} of {len(results)} sessions understood")
    sys.exit(not results or not all(results))


main()
