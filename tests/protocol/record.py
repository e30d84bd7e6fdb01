#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""record.py CTL SOCKET DIR NAME WORDS...: runs one command through a recording proxy; see transcript.py."""
import json
import os
import pathlib
import select
import socket
import subprocess
import sys
import tempfile

import transcript


def pump(client, server, frames):
    """Forwards whole frames until the tool closes."""
    buffers = {client: b"", server: b""}
    while True:
        for sock in select.select([client, server], [], [])[0]:
            data = sock.recv(65536)
            if not data:
                return
            (server if sock is client else client).sendall(data)
            buffers[sock] += data
            while len(buffers[sock]) >= transcript.HEADER:
                size = transcript.HEADER + int.from_bytes(buffers[sock][8:12], "little")
                if len(buffers[sock]) < size:
                    break
                one, buffers[sock] = buffers[sock][:size], buffers[sock][size:]
                frames.append([">" if sock is client else "<", one[5], one[transcript.HEADER:].hex()])


def main():
    ctl, path, directory, name, *words = sys.argv[1:]
    frames = []
    with tempfile.TemporaryDirectory() as scratch:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.path.join(scratch, "sock"))
        listener.listen(1)
        process = subprocess.Popen([ctl, "--socket", os.path.join(scratch, "sock"), "--json", *words],
                                   stdout=subprocess.PIPE, text=True)
        client = listener.accept()[0]
        server = socket.socket(socket.AF_UNIX)
        server.connect(path)
        pump(client, server, frames)
        output = process.communicate()[0]
    entry = {"words": [os.path.basename(w) if os.path.exists(w) else w for w in words],
             "status": process.returncode, "output": transcript.stable(output), "frames": frames}
    (pathlib.Path(directory) / f"{name}.json").write_text(json.dumps(entry, indent=1) + "\n")


main()
