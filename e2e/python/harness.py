"""The server under test, tokens, a line that can be cut, and listeners that turn SDK callbacks into queues."""

import asyncio
import base64
import dataclasses
import hashlib
import hmac
import itertools
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Callable

from centrifuge import Client, ClientEventHandler, SubscriptionEventHandler

SECRET = "end-to-end-secret-of-sufficient-length"
API_KEY = "end-to-end-api-key"
PATIENCE = 10.0

_ROOM = {
    "presence": True,
    "join_leave": True,
    "force_push_join_leave": True,
    "force_recovery": True,
    "history_ttl": "300s",
    "allow_subscribe_for_client": True,
    "allow_publish_for_subscriber": True,
    "allow_presence_for_subscriber": True,
    "allow_history_for_subscriber": True,
}
_DELTA = {"allowed_delta_types": ["fossil"], "delta_publish": True}
_OPEN = {"allow_subscribe_for_client": True, "history_ttl": "300s", "history_size": 100}
_CONFIG = {
    "http_api": {"key": API_KEY},
    "client": {
        "token": {"hmac_secret_key": SECRET},
        "allowed_origins": ["*"],
        "expired_close_delay": "1s",
        "expired_sub_close_delay": "1s",
        "presence_update_interval": "500ms",
    },
    "channel": {
        "namespaces": [
            {"name": "room", "history_size": 100, **_ROOM},
            {"name": "short", "history_size": 5, **_ROOM},
            {"name": "plain", "allow_subscribe_for_client": True},
            {"name": "bytes", "publication_data_format": "binary", **_OPEN, "allow_publish_for_client": True},
            {"name": "tagged", "allow_tags_filter": True, **_OPEN},
            {"name": "delta", "force_recovery": True, **_DELTA, **_OPEN},
            {"name": "cache", "force_recovery": True, "force_recovery_mode": "cache", **_OPEN},
            {"name": "wish", "allow_positioning": True, "allow_recovery": True, **_OPEN},
            {"name": "locked"},
        ]
    },
}


class Server:
    """The binary named by CAMPANILE_BIN with a configuration of its own, which `settings` add to, on a free port."""

    def __init__(self, directory: Path, **settings):
        binary = os.environ.get("CAMPANILE_BIN")
        assert binary, "CAMPANILE_BIN must name the campanile binary to test"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.http = f"http://127.0.0.1:{self.port}"
        self.api = f"{self.http}/api"
        self.ws = websocket_url(self.port)
        file = directory / "config.json"
        http_server = {"address": "127.0.0.1", "port": self.port}
        file.write_text(json.dumps({"http_server": http_server, **_CONFIG, **settings}))
        self._directory = directory
        self._log = (directory / "server.log").open("w+")
        self._command = [binary, "serve", "-c", str(file)]
        self._launch()

    def _launch(self):
        # The server reads variables with its name in front as settings; the suite's own is none.
        env = {name: value for name, value in os.environ.items() if name != "CAMPANILE_BIN"}
        output = {"stdout": self._log, "stderr": self._log}
        self._process = subprocess.Popen(self._command, cwd=self._directory, env=env, **output)
        try:
            self._await_ready()
        except BaseException:
            self._process.kill()
            raise

    def _await_ready(self):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self._process.poll() is None, f"the server ended at once:\n{self.output()}"
            try:
                with urllib.request.urlopen(f"{self.http}/ready", timeout=1) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.02)
        raise AssertionError(f"the server is not ready:\n{self.output()}")

    def output(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def _end(self, how: signal.Signals):
        self._process.send_signal(how)
        try:
            code = self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        expected = -how if how == signal.SIGKILL else 0
        assert code == expected, f"the server did not end as it should:\n{self.output()}"

    def stop(self):
        self._end(signal.SIGTERM)

    async def restart(self, how: signal.Signals):
        """Same port, configuration and directory, new process. Clients live on meanwhile."""

        def again():
            self._end(how)
            self._launch()

        await asyncio.to_thread(again)


def websocket_url(port: int) -> str:
    return f"ws://127.0.0.1:{port}/connection/websocket"


_users = itertools.count(1)


def someone() -> str:
    """A user no other test has."""
    return f"user-{os.getpid()}-{next(_users)}"


def token(user: str, lifetime: int = 3600, **claims) -> str:
    def encoded(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    claims = {"sub": user, "exp": int(time.time()) + lifetime, **claims}
    body = ".".join(encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{body}.{encoded(hmac.digest(SECRET.encode(), body.encode(), hashlib.sha256))}"


class Events:
    """What happened, in order: (name, context). `next` waits for one and skips those before it."""

    def __init__(self):
        self._queue = asyncio.Queue()

    def put(self, name: str, context):
        self._queue.put_nowait((name, context))

    async def next(self, name: str):
        async def found():
            while True:
                seen, context = await self._queue.get()
                if seen == name:
                    return context

        return await asyncio.wait_for(found(), PATIENCE)


class ClientEvents(ClientEventHandler, Events):
    async def on_connecting(self, ctx):
        self.put("connecting", ctx)

    async def on_connected(self, ctx):
        self.put("connected", ctx)

    async def on_disconnected(self, ctx):
        self.put("disconnected", ctx)

    async def on_subscribed(self, ctx):
        self.put("subscribed", ctx)

    async def on_unsubscribed(self, ctx):
        self.put("unsubscribed", ctx)

    async def on_publication(self, ctx):
        self.put("publication", ctx)


class SubscriptionEvents(SubscriptionEventHandler, Events):
    async def on_subscribing(self, ctx):
        self.put("subscribing", ctx)

    async def on_subscribed(self, ctx):
        self.put("subscribed", ctx)

    async def on_unsubscribed(self, ctx):
        self.put("unsubscribed", ctx)

    async def on_publication(self, ctx):
        self.put("publication", ctx)

    async def on_join(self, ctx):
        self.put("join", ctx)

    async def on_leave(self, ctx):
        self.put("leave", ctx)


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How an SDK client speaks: one that uses Protobuf takes and gives bytes, which hold JSON here."""

    name: str
    use_protobuf: bool
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


JSON = Encoding("json", False, lambda value: value, lambda value: value)
PROTOBUF = Encoding("protobuf", True, lambda value: json.dumps(value).encode(), json.loads)


class Peer:
    """A connected SDK client of one user, as an async context manager."""

    def __init__(self, url: str, encoding: Encoding = JSON, **options):
        self.user = options.pop("user", None) or someone()
        options.setdefault("token", token(self.user))
        self.encoding = encoding
        self.events = ClientEvents()
        self.client = Client(
            url,
            events=self.events,
            use_protobuf=encoding.use_protobuf,
            min_reconnect_delay=0.02,
            max_reconnect_delay=0.2,
            **options,
        )

    async def __aenter__(self):
        await self.client.connect()
        self.id = (await self.events.next("connected")).client
        return self

    async def __aexit__(self, *_):
        await self.client.disconnect()

    async def subscribe(self, channel: str, **options):
        """(subscription, its events, context of `subscribed`)."""
        events = SubscriptionEvents()
        sub = self.client.new_subscription(channel, events=events, **options)
        await sub.subscribe()
        return sub, events, await events.next("subscribed")

    def read(self, publication):
        """The publication with its data decoded."""
        return dataclasses.replace(publication, data=self.encoding.decode(publication.data))

    async def publications(self, events: Events, count: int) -> list:
        """The next publications that `events` tells of."""
        return [self.read((await events.next("publication")).pub) for _ in range(count)]


class Line:
    """A TCP line to the server that can be taken down: connections are reset, new ones refused."""

    def __init__(self, server: Server):
        self._port = server.port
        self._writers = set()
        self._up = True

    async def __aenter__(self):
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.ws = websocket_url(self._listener.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_):
        self._listener.close()
        self.down()

    async def _accept(self, reader, writer):
        if not self._up:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, far_writer}
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    def down(self):
        self._up = False
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def up(self):
        self._up = True


async def _pump(reader, writer):
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
