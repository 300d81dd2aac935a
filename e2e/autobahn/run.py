"""Every case of the Autobahn testsuite against the echo endpoint of the binary named by CAMPANILE_BIN.

Strict: all 517 cases must run, and each must be OK or informational, in what is said and in how the
connection ends. `run.py 2.* 9.1.1` runs these alone, and then counts nothing.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

from kosoku import FailureError, run_fuzzingclient
from kosoku.cases import CASES as CASE_CLASSES

CASES = 517
GOOD = {"OK", "INFORMATIONAL"}
# How long the whole suite may take, and the server to start or to stop.
SUITE_SECONDS = 600
SERVER_SECONDS = 20


def configuration(port):
    return {
        "http_server": {"address": "127.0.0.1", "port": port},
        "http_api": {"disabled": True},
        "health": {"enabled": True},
        # Section 9 sends messages of 16 MiB, and wants all of them back.
        "client": {
            "allow_anonymous_connect_without_token": True,
            "queue_max_size": 64 << 20,
        },
        # The least size is that of the smallest message, so that sections 12 and 13 see nothing plain.
        "websocket": {
            "message_size_limit": 16 << 20,
            "compression": True,
            "compression_min_size": 1,
        },
    }


def take_plain_messages():
    """Lets the cases of sections 12 and 13 take messages that came plain, as RFC 7692 section 7.2.1 lets a
    sender leave what does not shrink: kosoku gives them a str then, where they are made for bytes."""

    def wrapped(on_message):
        def take(self, message, binary):
            if isinstance(message, str):
                message = message.encode("latin-1" if binary else "utf-8")
            return on_message(self, message, binary)

        return take

    for name, case in CASE_CLASSES.items():
        if name.startswith(("12.", "13.")):
            case.onMessage = wrapped(case.onMessage)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, directory):
        self.port = free_port()
        self.log = Path(directory, "server.log")
        config = Path(directory, "config.json")
        config.write_text(json.dumps(configuration(self.port)))
        # The server reads variables with its name in front as settings; the suite's own is none.
        env = {key: value for key, value in os.environ.items() if key != "CAMPANILE_BIN"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [os.environ["CAMPANILE_BIN"], "serve", "--config", config],
                cwd=directory,
                env=env,
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self):
        deadline = time.monotonic() + SERVER_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=1):
                    return
            except (urllib.error.URLError, TimeoutError):
                time.sleep(0.05)
        sys.exit(f"autobahn: the server is not ready\n{self.log.read_text()}")

    def usage(self):
        """Seconds on a processor, and the peak of its memory in MiB."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        ticks = int(fields[11]) + int(fields[12])
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
        return ticks / os.sysconf("SC_CLK_TCK"), int(peak) // 1024

    def stop(self):
        """Whether it ended in good order."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(SERVER_SECONDS) == 0
        except subprocess.TimeoutExpired:
            self.process.kill()
            return False


async def run(port, include):
    url = f"ws://127.0.0.1:{port}/connection/echo"
    try:
        cases = run_fuzzingclient(url, include or None, None, concurrency=2)
        return await asyncio.wait_for(cases, SUITE_SECONDS)
    except FailureError as failure:
        return failure.results


def judge(results, include):
    """Prints a summary; gives what is wrong."""
    print("autobahn:", dict(Counter(result.behavior.value for result in results)))
    wrong = [
        f"{result.case_id}: {result.behavior.value}, close {result.behavior_close.value}: {result.result}"
        for result in results
        if result.behavior.value not in GOOD or result.behavior_close.value not in GOOD
    ]
    distinct = len({result.case_id for result in results})
    if not include and distinct != CASES:
        wrong.append(f"{distinct} cases ran, not {CASES}")
    return wrong


def main():
    include = sys.argv[1:]
    take_plain_messages()
    with tempfile.TemporaryDirectory(prefix="campanile-autobahn-") as directory:
        server = Server(directory)
        try:
            server.wait_until_ready()
            begin = time.monotonic()
            results = asyncio.run(run(server.port, include))
            took = time.monotonic() - begin
            if server.process.poll() is None:
                seconds, peak = server.usage()
                print(f"autobahn: {took:.0f} s; the server took {seconds:.0f} s and {peak} MiB at most")
        finally:
            stopped = server.stop()
        wrong = judge(results, include)
        if not stopped:
            wrong.append(f"the server did not end in good order\n{server.log.read_text()[-8192:]}")
    for line in wrong:
        print(f"autobahn: {line}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
