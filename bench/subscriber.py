"""A subscriber by hand, for the scripts beside this file, and what a server takes of memory."""

COMMANDS = '{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"%s"}}'


def frame(payload):
    """A masked text frame; the mask is zero, which leaves the payload as it is."""
    assert len(payload) < 126
    return bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload


def subscribe(stream, channel="fan"):
    """Upgrades a connected stream, and returns when it is subscribed."""
    head = "GET /connection/websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    stream.sendall(head.encode() + frame((COMMANDS % channel).encode()))
    answer = b""
    while b'"subscribe":{' not in answer:
        chunk = stream.recv(65536)
        assert chunk, answer
        answer += chunk
    return stream


def pss(pid):
    """The proportional set size of a process, in bytes."""
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) * 1024
