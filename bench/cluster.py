#!/usr/bin/env python3
"""What a publication costs that crosses from one node to others over Redis or NATS.

Starts the broker and one to three nodes on free ports. Each round publishes on the first node, by single HTTP
requests, into one channel that has a subscriber on every node; `campanile bench fanout` is the subscriber of the
last one, checks that nothing is missing or doubled, and measures the time on the way. CPU time is read for each
process around it and divided by the publications. Without a second node the broker is crossed all the same.

    bench/cluster.py target/release/campanile                       # both brokers, 1 to 3 nodes
    bench/cluster.py target/release/campanile --engine redis --nodes 2 --rounds 5

Needs redis-server and nats-server (NATS_SERVER_BIN names another); prints medians of the rounds as Markdown.
"""
import argparse, json, os, shutil, signal, socket, statistics, subprocess, tempfile, threading, time
import urllib.request

from subscriber import subscribe

HERE = os.path.dirname(os.path.abspath(__file__))
TICK = 1_000_000 / os.sysconf("SC_CLK_TCK")
# By name: what enters a history, and what does not.
CHANNELS = {"with history": "bench:fan", "without": "fan"}
CONFIG = """
[http_server]
address = "127.0.0.1"
port = {port}
workers = 1
[http_api]
key = "bench-key"
[client]
allow_anonymous_connect_without_token = true
[client.token]
hmac_secret_key = "bench-secret"
[channel.without_namespace]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
[[channel.namespaces]]
name = "bench"
history_size = 100
history_ttl = "300s"
force_recovery = true
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
[engine]
type = "{engine}"
[engine.{engine}]
{address}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def cpu(pid):
    """Microseconds of CPU time that a process has used, user and system."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK


def await_true(what, is_so, seconds=20):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_ready(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def drain(stream):
    """Reads until the end: who does not read is closed as slow."""
    while stream.recv(1 << 16):
        pass


class Cast:
    """The processes of one measurement, which end with it."""

    def __init__(self, binary, engine, nodes):
        self.directory = tempfile.mkdtemp(prefix="campanile-bench-")
        self.processes, self.log = [], open(os.path.join(self.directory, "log"), "wb")
        self.binary, self.engine = binary, engine
        port = free_port()
        self.broker = self.start(self.command(port))
        await_true(engine, lambda: listens(port))
        scheme = {"redis": "redis", "nats": "nats"}[engine]
        key = {"redis": "address", "nats": "url"}[engine]
        address = f'{key} = "{scheme}://127.0.0.1:{port}"'
        self.ports = [free_port() for _ in range(nodes)]
        self.nodes = [self.node(port, address) for port in self.ports]
        for port in self.ports:
            await_true("a node", lambda: is_ready(port))

    def command(self, port):
        if self.engine == "redis":
            return ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", self.directory]
        beside = os.path.join(HERE, "../e2e/servers/.venv/bin/nats-server")
        nats = os.environ.get("NATS_SERVER_BIN") or shutil.which("nats-server") or beside
        return [nats, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", self.directory]

    def node(self, port, address):
        path = os.path.join(self.directory, f"{port}.toml")
        with open(path, "w") as file:
            file.write(CONFIG.format(port=port, engine=self.engine, address=address))
        return self.start([self.binary, "serve", "-c", path])

    def start(self, command):
        process = subprocess.Popen(command, cwd=self.directory, stdout=self.log, stderr=self.log)
        self.processes.append(process)
        return process

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGKILL)
            process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def listeners(self, channel):
        """A subscriber on each node but the last, which `campanile bench` takes."""
        sockets = [socket.create_connection(("127.0.0.1", port)) for port in self.ports[:-1]]
        for stream in sockets:
            subscribe(stream, channel)
            threading.Thread(target=drain, args=(stream,), daemon=True).start()
        return sockets

    def measure(self, channel, in_flight, messages, subscribers):
        out = os.path.join(self.directory, "fanout.json")
        command = [self.binary, "bench", "fanout", "--url", f"ws://127.0.0.1:{self.ports[-1]}/connection/websocket"]
        command += ["--api-url", f"http://127.0.0.1:{self.ports[0]}/api", "--api-key", "bench-key"]
        command += ["--token-secret", "bench-secret", "--pid", str(self.nodes[-1].pid), "--channel", channel]
        command += ["--subscribers", str(subscribers), "--in-flight", str(in_flight), "--messages", str(messages)]
        command += ["--rounds", "1", "--json", out]
        others = self.listeners(channel)
        every = [self.broker, *self.nodes]
        before, began = [cpu(process.pid) for process in every], time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True)
        took = time.monotonic() - began
        assert done.returncode == 0, done.stderr
        spent = [(cpu(process.pid) - old) / messages for process, old in zip(every, before)]
        for stream in others:
            stream.shutdown(socket.SHUT_RDWR)
        with open(out) as file:
            report = json.load(file)
        assert not any("missed" in flag for flag in report["flags"]), report["flags"]
        latency = {m["name"]: m["median"] for m in report["metrics"] if "latency" in m["name"]}
        return {
            "rate": messages / took,
            "broker": spent[0],
            "publisher": spent[1],
            "listener": spent[-1] if len(self.nodes) > 1 else None,
            **{name: value for name, value in latency.items()},
        }


def median(rounds, key):
    values = [found[key] for found in rounds if found.get(key) is not None]
    return statistics.median(values) if values else None


def shown(value, digits=1):
    return "–" if value is None else f"{value:,.{digits}f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=os.path.abspath)
    parser.add_argument("--engine", choices=["redis", "nats"], action="append")
    parser.add_argument("--nodes", type=int, choices=[1, 2, 3], action="append")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--subscribers", type=int, default=1, help="of the last node")
    arguments = parser.parse_args()
    print("| Broker | Nodes | Channel | Publications/s | CPU of the publisher's node, µs | of a node that listens | of the broker | Latency |")
    print("|---|---:|---|---:|---:|---:|---:|---|")
    for engine in arguments.engine or ["redis", "nats"]:
        for nodes in arguments.nodes or [1, 2, 3]:
            for name, channel in CHANNELS.items():
                rounds = []
                with Cast(arguments.binary, engine, nodes) as cast:
                    for _ in range(arguments.rounds):
                        found = cast.measure(channel, arguments.in_flight, arguments.messages, arguments.subscribers)
                        rounds.append(found)
                latency = ", ".join(
                    f"{key.removeprefix('latency ')} {shown(median(rounds, key), 2)}" for key in rounds[0] if "latency" in key
                )
                columns = [shown(median(rounds, key)) for key in ("publisher", "listener", "broker")]
                rate = shown(median(rounds, "rate"), 0)
                print(f"| {engine} | {nodes} | {name} | {rate} | {' | '.join(columns)} | {latency} |", flush=True)


if __name__ == "__main__":
    main()
