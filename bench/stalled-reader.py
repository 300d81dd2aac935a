#!/usr/bin/env python3
"""What one subscriber that stops reading costs a server.

One subscriber reads, another never does, while 200 MB are published to both: 4,000 messages of 50 KB.
Prints what the server's memory grew by, and what became of the one that does not read:

    bench/stalled-reader.py target/release/campanile
    bench/stalled-reader.py target/release/campanile-bench-baseline
"""
import http.client, json, os, signal, socket, subprocess, sys, tempfile, threading, time

from subscriber import pss, subscribe

MESSAGES, BYTES = 4_000, 50_000
SETTINGS = """
http_server = { address = "127.0.0.1", port = %d }
engine = { type = "memory" }
http_api = { insecure = true }
client = { allow_anonymous_connect_without_token = true }
channel = { without_namespace = { allow_subscribe_for_client = true, allow_subscribe_for_anonymous = true } }
"""


def start(program, directory):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    if os.path.basename(program) == "campanile":
        config = os.path.join(directory, "campanile.toml")
        with open(config, "w") as file:
            file.write(SETTINGS % port)
        arguments = ["serve", "-c", config]
    else:
        arguments = ["--listen", f"127.0.0.1:{port}"]
    command = [os.path.abspath(program), *arguments]
    server = subprocess.Popen(command, cwd=directory, stderr=subprocess.DEVNULL)
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return server, port
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise SystemExit("the server does not start")


def drain(stream, count):
    """Reads, and counts whole messages by a mark that each ends with."""
    tail = b""
    while chunk := stream.recv(1 << 20):
        count[0] += (tail + chunk).count(b'x#"') - tail.count(b'x#"')
        tail = chunk[-2:]


def main():
    server, port = start(sys.argv[1], tempfile.mkdtemp())
    try:
        reader, stalled = (subscribe(socket.create_connection(("127.0.0.1", port))) for _ in range(2))
        received = [0]
        threading.Thread(target=drain, args=(reader, received), daemon=True).start()
        before = pss(server.pid)
        api = http.client.HTTPConnection("127.0.0.1", port)
        body = json.dumps({"channel": "fan", "data": "x" * BYTES + "#"})
        for sent in range(1, MESSAGES + 1):
            api.request("POST", "/api/publish", body, {"Content-Type": "application/json"})
            api.getresponse().read()
            while received[0] < sent - 8:
                time.sleep(0.001)
        grown = pss(server.pid) - before
        stalled.settimeout(2)
        kept, ending = 0, "still connected"
        try:
            while chunk := stalled.recv(1 << 20):
                kept += len(chunk)
            ending = "closed by the server"
        except TimeoutError:
            pass
        except ConnectionResetError:
            ending = "reset by the server"
        print(f"{os.path.basename(sys.argv[1])}: {MESSAGES * BYTES / 1e6:.0f} MB published, {received[0]} of {MESSAGES}"
              f" messages read by the healthy subscriber; memory grew by {grown / 1e6:.1f} MB;"
              f" the stalled one was {ending} and found {kept / 1e6:.1f} MB waiting")
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


main()
