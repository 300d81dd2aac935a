"""Publishes what is in the outbox, in order, until the messaging server has acknowledged it.

An attempt that failed may have been published or not. It is made again with the same idempotency key, and the
server publishes it once.
"""

import http.client
import json
import random
import sqlite3
import sys
import threading
import urllib.request

DELAY_MIN = 0.2  # seconds
DELAY_MAX = 5.0
TIMEOUT = 5.0
REPLY_BYTES_MAX = 1 << 20


class NotPublished(Exception):
    """The server did not say that all of it is published."""


class Sender(threading.Thread):
    def __init__(self, store, url, api_key):
        super().__init__(daemon=True)
        self._store = store
        self._url = f"{url}/api/broadcast"
        self._api_key = api_key
        # The server is ours and near: proxies that the environment names are for elsewhere.
        self._direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._stopping = threading.Event()

    def run(self):
        failures = 0
        while not self._stopping.is_set():
            try:
                self._send_next()
                failures = 0
            except (NotPublished, sqlite3.Error) as error:
                delay = min(DELAY_MAX, DELAY_MIN * 2 ** min(failures, 10)) * random.uniform(0.5, 1)
                failures += 1
                print(f"not published: {error}; again in {delay:.1f} s", file=sys.stderr, flush=True)
                self._stopping.wait(delay)

    def stop(self):
        """Ends it after the attempt that is under way; what is unsent waits for the next start."""
        self._stopping.set()
        self._store.changed.set()
        self.join()

    def _send_next(self):
        self._store.changed.clear()
        unsent = self._store.next_unsent()
        if unsent is None:
            self._store.changed.wait()
            return
        position, request = unsent
        self._publish(request)
        self._store.sent(position)

    def _publish(self, request):
        headers = {"X-API-Key": self._api_key, "Content-Type": "application/json"}
        call = urllib.request.Request(self._url, request.encode(), headers)
        try:
            with self._direct.open(call, timeout=TIMEOUT) as reply:
                answer = json.loads(reply.read(REPLY_BYTES_MAX))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotPublished(error) from error
        if not isinstance(answer, dict):
            raise NotPublished("that is no answer of the server API")
        # A call may be refused, and so may each channel of it. Those that are published already ignore the next
        # attempt: they know its key.
        for part in [answer, *answer.get("result", {}).get("responses", [])]:
            if "error" in part:
                raise NotPublished(part["error"])
