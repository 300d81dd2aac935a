#!/usr/bin/env python3
"""What no browser sends: frames that break a rule of RFC 6455, and pings. Shows what the server answers.

Each is sent on a connection of its own. The exit code is 1 if an answer is not the documented one.
"""

import argparse
import base64
import os
import socket
import struct
import sys

PATIENCE_SECONDS = 5
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN, RSV1 = 0x80, 0x40


def frame(opcode, payload=b"", flags=FIN, masked=True):
    """One frame of a client (RFC 6455, section 5.2); of up to 125 bytes."""
    if not masked:
        return bytes([flags | opcode, len(payload)]) + payload
    key = os.urandom(4)
    hidden = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    return bytes([flags | opcode, 0x80 | len(payload)]) + key + hidden


# What, its bytes, and the documented answer: a close code, or another frame's opcode and payload.
CASES = [
    ("a ping", frame(PING, b"are you there?"), (PONG, b"are you there?")),
    ("text in two frames", frame(TEXT, b"hel", flags=0) + frame(CONTINUATION, b"lo"), (TEXT, b"hello")),
    ("a close with a code", frame(CLOSE, struct.pack("!H", 4000) + b"bye"), 4000),
    ("text that is not UTF-8", frame(TEXT, b"\xff"), 1007),
    ("a reserved bit", frame(TEXT, b"x", flags=FIN | RSV1), 1002),
    ("an unknown kind of frame", frame(3), 1002),
    ("a frame without a mask", frame(TEXT, b"x", masked=False), 1002),
    ("a ping in two frames", frame(PING, b"x", flags=0), 1002),
    ("a continuation of nothing", frame(CONTINUATION, b"x"), 1002),
    ("a close code that must not be sent", frame(CLOSE, struct.pack("!H", 1005)), 1002),
]


def connect(host, port):
    """The handshake (section 4.1). A program names no origin; browsers do."""
    line = socket.create_connection((host, port), PATIENCE_SECONDS)
    key = base64.b64encode(os.urandom(16)).decode()
    line.sendall(
        f"GET /connection/echo HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    reader = line.makefile("rb")
    status = reader.readline().decode().strip()
    if " 101 " not in status:
        raise ConnectionError(f"no WebSocket: {status}")
    while reader.readline().strip():
        pass
    return line, reader


def answer(reader):
    """The opcode and payload of a frame of the server, which has no mask; of up to 125 bytes."""
    head = reader.read(2)
    if len(head) < 2:
        raise ConnectionError("the server closed without a word")
    return head[0] & 0x0F, reader.read(head[1])


def attempt(host, port, sent, expected):
    """Sends these bytes; the answer as words, and whether it is the expected one."""
    line, reader = connect(host, port)
    with line, reader:
        line.sendall(sent)
        opcode, payload = answer(reader)
    if opcode != CLOSE:
        kinds = {TEXT: "text", BINARY: "binary", PONG: "pong"}
        return f"{kinds.get(opcode, opcode)} {payload.decode()!r}", (opcode, payload) == expected
    code = struct.unpack("!H", payload[:2])[0]
    return f"close {code} {payload[2:].decode()}", code == expected


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    is_good = True
    for name, sent, expected in CASES:
        words, is_expected = attempt(options.host, options.port, sent, expected)
        is_good = is_good and is_expected
        print(f"{name:36}{words}{'' if is_expected else f'   NOT AS DOCUMENTED: {expected}'}")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
