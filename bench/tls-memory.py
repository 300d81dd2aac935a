#!/usr/bin/env python3
"""Bytes of the server's memory that a TLS connection with one subscription takes.

`campanile bench` speaks plain WebSocket only; this opens TLS connections slowly, one after another,
which is enough to weigh them. Needs openssl and nothing else:

    bench/tls-memory.py target/release/campanile
"""
import os, signal, socket, ssl, subprocess, sys, tempfile, time

from subscriber import pss, subscribe

FROM, TO = 500, 2500


def connect(context, port):
    return subscribe(context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost"))


def main():
    directory = tempfile.mkdtemp()
    cert, key = (os.path.join(directory, name) for name in ("cert.pem", "key.pem"))
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-keyout", key, "-out", cert, "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run(make, check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = os.path.join(directory, "campanile.toml")
    with open(config, "w") as file:
        file.write(f"""
http_server = {{ address = "127.0.0.1", port = {port}, workers = 2,
                 tls = {{ enabled = true, cert_pem = "{cert}", key_pem = "{key}" }} }}
http_api = {{ disabled = true }}
client = {{ allow_anonymous_connect_without_token = true }}
channel = {{ without_namespace = {{ allow_subscribe_for_client = true, allow_subscribe_for_anonymous = true }} }}
""".replace("\n                 ", " "))
    server = subprocess.Popen([os.path.abspath(sys.argv[1]), "serve", "-c", config], cwd=directory, stderr=subprocess.DEVNULL)
    try:
        context = ssl.create_default_context(cafile=cert)
        deadline = time.monotonic() + 10
        while True:
            try:
                connections = [connect(context, port)]
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "the server does not start"
        sizes = []
        for goal in (FROM, TO):
            connections += [connect(context, port) for _ in range(goal - len(connections))]
            sizes.append(pss(server.pid))
        print(f"TLS: {(sizes[1] - sizes[0]) / (TO - FROM):.0f} bytes a connection, {FROM} to {TO}")
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


main()
