# SPDX-License-Identifier: MIT
"""
A second, independent writer of the control protocol (proto/frame.h, proto/control.proto), for
tests that must send what theseusctl never would.
"""
import socket
import struct

REQUEST, RESPONSE, EVENT = 1, 2, 3
VM_REQUEST, VM_RESPONSE = 5, 6
PAYLOAD_MAX = 64 << 10
STATUS_OK, STATUS_BUSY = 0, 7

_TABLE = []
for _n in range(256):
    for _ in range(8):
        _n = (_n >> 1) ^ (0x82F63B78 if _n & 1 else 0)
    _TABLE.append(_n)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def header(kind, payload, request_id, length=None, crc=None):
    head = struct.pack("<IBBHIIQI", 0x31534854, 1, kind, 0, len(payload) if length is None else length, 0,
                       request_id, crc32c(payload) if crc is None else crc)
    return head + struct.pack("<I", crc32c(head))


def frame(kind, payload, request_id):
    return header(kind, payload, request_id) + payload


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    """One protobuf field: int, bytes or str."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def fields(data):
    """The fields of a protobuf message: {number: [values]}."""
    found, at = {}, 0

    def take():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(data):
        key = take()
        kind = key & 7
        if kind == 0:
            value = take()
        elif kind == 2:
            size = take()
            value, at = data[at:at + size], at + size
        elif kind == 1:
            value, at = struct.unpack_from("<Q", data, at)[0], at + 8
        else:
            raise ValueError(f"wire type {kind}")
        found.setdefault(key >> 3, []).append(value)
    return found


HELLO = field(10, field(1, 1) + field(2, 1) + field(3, "test"))
STATUS_GET = field(11, b"")


def upload_begin(size, sha256):
    return field(14, field(1, size) + field(2, sha256))


def upload_chunk(offset, data):
    return field(15, field(1, offset) + field(2, data))


STAGE = field(16, b"")


class Client:
    def __init__(self, path, limit=60):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(limit)
        self.socket.connect(str(path))
        self.buffer = b""
        self.last_id = 0

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """The next frame: (type, request id, payload). EOFError when the peer closed."""
        while True:
            if len(self.buffer) >= 32:
                _, _, kind, _, length, _, request_id, _, _ = struct.unpack("<IBBHIIQII", self.buffer[:32])
                if len(self.buffer) >= 32 + length:
                    payload, self.buffer = self.buffer[32:32 + length], self.buffer[32 + length:]
                    return kind, request_id, payload
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data

    def call(self, payload, kind=REQUEST):
        """Sends one request; the fields of its answer."""
        self.last_id += 1
        self.send(frame(kind, payload, self.last_id))
        while True:
            answer, request_id, data = self.receive()
            if request_id == self.last_id and answer in (RESPONSE, VM_RESPONSE):
                return fields(data)

    def close(self):
        self.socket.close()


def status_of(answer):
    return answer.get(1, [0])[0]


def code_of(answer):
    return fields(answer[2][0])[1][0].decode() if 2 in answer else ""
