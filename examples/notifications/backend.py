#!/usr/bin/env python3
"""The backend of the example: pages, sign-in, tokens, and notifications over HTTP.

It never holds a connection to a page open: what has to arrive at once goes through the messaging server.
Secrets come from the environment, see `main`. Only the standard library is needed; `http.server` is meant for
demonstrations, so put these handlers into the framework of your choice.
"""

import argparse
import hmac
import json
import os
import re
import signal
import sys
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import signing
from sender import Sender
from store import OutboxFull, Store

HERE = Path(__file__).resolve().parent
FILES = {
    "/": (HERE / "page/index.html", "text/html; charset=utf-8"),
    "/app.js": (HERE / "page/app.js", "text/javascript; charset=utf-8"),
    "/inbox.js": (HERE / "page/inbox.js", "text/javascript; charset=utf-8"),
    "/style.css": (HERE / "page/style.css", "text/css; charset=utf-8"),
    "/centrifuge.mjs": (HERE / "node_modules/centrifuge/build/index.mjs", "text/javascript; charset=utf-8"),
}

SESSION_SECONDS = 12 * 3600
BODY_BYTES_MAX = 16 * 1024
RECIPIENTS_MAX = 100
TEXT_MAX = 500
# No full stop, comma or `#`: they mean something in cookies and in names of channels.
USER = re.compile(r"[a-z0-9_-]{1,32}")
ID_MAX = 2**63 - 1


class Refused(Exception):
    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10  # seconds for a client to say something
    backend = None  # set by `main`

    def do_GET(self):
        self._answer({
            "/session": self._get_session,
            "/token": self._get_token,
            "/notifications": self._get_notifications,
            "/status": self._get_status,
        })

    def do_POST(self):
        self._answer({
            "/login": self._post_login,
            "/logout": self._post_logout,
            "/notify": self._post_notify,
            "/read": self._post_read,
        })

    def _answer(self, routes):
        try:
            if self.command == "GET" and self.path in FILES:
                return self._send_file(*FILES[self.path])
            if self.path not in routes:
                raise Refused(404, "there is nothing here")
            self._send_json(*routes[self.path]())
        except Refused as refused:
            self.close_connection = True  # the body may not have been read
            self._send_json(refused.status, {"error": str(refused)})
        except OutboxFull:
            self._send_json(503, {"error": "too much is unsent"})

    # What can be asked for

    def _get_session(self):
        return 200, {"user": self._user(), "endpoint": self.backend.endpoint}

    def _get_token(self):
        backend = self.backend
        return 200, {"token": signing.token(backend.token_secret, self._user(), backend.token_seconds)}

    def _get_notifications(self):
        return 200, {"notifications": self.backend.store.newest(self._user())}

    def _get_status(self):
        return 200, {"unsent": self.backend.store.unsent()}

    # What can be done

    def _post_login(self):
        """A demonstration: whoever asks is whoever they say. Put your own sign-in here."""
        self._check_origin()
        user = self._body().get("user")
        if not is_user(user):
            raise Refused(400, "a user is 1 to 32 of a-z, 0-9, _ and -")
        value = signing.session(self.backend.cookie_secret, user, SESSION_SECONDS)
        return 200, {"user": user, "endpoint": self.backend.endpoint}, self._cookie(value, SESSION_SECONDS)

    def _post_logout(self):
        self._check_origin()
        self._body()
        return 200, {}, self._cookie("", 0)

    def _post_notify(self):
        """By a user of the page, or by a program that has the key."""
        if "Authorization" in self.headers:
            self._check_key()
        else:
            self._check_origin()
            self._user()
        body = self._body()
        users, text = body.get("to"), body.get("text")
        if not isinstance(users, list) or not 1 <= len(users) <= RECIPIENTS_MAX or not all(map(is_user, users)):
            raise Refused(400, f"`to` is a list of 1 to {RECIPIENTS_MAX} users")
        if not is_text(text):
            raise Refused(400, f"`text` has 1 to {TEXT_MAX} characters")
        # 202: it is stored and will be published. Whether the messaging server is there now does not matter.
        return 202, {"id": self.backend.store.notify(list(dict.fromkeys(users)), text)}

    def _post_read(self):
        self._check_origin()
        user = self._user()
        id = self._body().get("id")
        if type(id) is not int or not 0 < id <= ID_MAX or not self.backend.store.mark_read(user, id):
            raise Refused(404, "this user has no such notification")
        return 200, {}

    # Who asks

    def _user(self):
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get("session")
        except CookieError:
            cookie = None
        user = cookie and signing.session_user(self.backend.cookie_secret, cookie.value)
        if not user:
            raise Refused(401, "sign in first")
        # Tabs share the cookie: since the page was loaded, another one may have signed in as somebody else.
        if self.headers.get("X-Page-User", user) != user:
            raise Refused(401, f"this browser is signed in as {user} now")
        return user

    def _check_key(self):
        expected = f"Bearer {self.backend.notify_key}"
        if not hmac.compare_digest(self.headers["Authorization"].encode(), expected.encode()):
            raise Refused(401, "this is not the key")

    def _check_origin(self):
        """Cookies come along whichever page asks; browsers say in each POST which one it is."""
        if self.headers.get("Origin") not in self.backend.origins:
            raise Refused(403, "this is not for pages of other origins")

    def _body(self):
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,9}", length):
            raise Refused(411, "Content-Length is missing")
        if int(length) > BODY_BYTES_MAX:
            raise Refused(413, f"a body has at most {BODY_BYTES_MAX} bytes")
        # RecursionError: brackets within brackets.
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise Refused(400, "the body is not JSON") from error
        if not isinstance(body, dict):
            raise Refused(400, "the body is not a JSON object")
        return body

    # Answers

    @staticmethod
    def _cookie(value, seconds):
        # HttpOnly: no script reads it. SameSite: it does not come along with POSTs of other sites. Behind TLS add
        # Secure.
        return {"Set-Cookie": f"session={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax"}

    def _send_json(self, status, value, headers=None):
        self._send(status, "application/json", json.dumps(value).encode(), headers or {})

    def _send_file(self, path, content_type):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise Refused(404, f"{path.name} is missing: run `npm ci` in {HERE}") from error
        self._send(200, content_type, content, {"Content-Security-Policy": self.backend.content_policy})

    def _send(self, status, content_type, content, headers):
        self.send_response(status)
        fixed = {
            "Content-Type": content_type,
            "Content-Length": len(content),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        for name, value in {**fixed, **headers}.items():
            self.send_header(name, str(value))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


def is_user(value):
    return isinstance(value, str) and USER.fullmatch(value) is not None


def is_text(value):
    """Neither empty nor long, and without halves of characters, which JSON can spell and UTF-8 cannot."""
    return isinstance(value, str) and 1 <= len(value) <= TEXT_MAX and not re.search("[\ud800-\udfff]", value)


class Backend:
    """What every request needs."""

    def __init__(self, options, environment):
        self.store = Store(options.database)
        self.origins = {f"http://{host}:{options.port}" for host in ("127.0.0.1", "localhost")}
        self.endpoint = options.endpoint or f"{options.campanile.replace('http', 'ws', 1)}/connection/websocket"
        self.token_seconds = options.token_seconds
        self.token_secret = environment["CAMPANILE_CLIENT_TOKEN_HMAC_SECRET_KEY"].encode()
        self.cookie_secret = environment["COOKIE_SECRET"].encode()
        self.notify_key = environment["NOTIFY_KEY"]
        # The page runs its own scripts only, and connects to us and to the messaging server only.
        self.content_policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; base-uri 'none'; "
            f"form-action 'none'; frame-ancestors 'none'; connect-src 'self' {self.endpoint}"
        )


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--campanile", default="http://127.0.0.1:8000", help="where the messaging server is")
    parser.add_argument("--endpoint", help="where pages reach it (default: the same)")
    parser.add_argument("--database", default=str(HERE / "notifications.sqlite"))
    parser.add_argument("--token-seconds", type=int, default=60, help="how long a token is good")
    return parser.parse_args(arguments)


def main():
    names = ("CAMPANILE_CLIENT_TOKEN_HMAC_SECRET_KEY", "CAMPANILE_HTTP_API_KEY", "COOKIE_SECRET", "NOTIFY_KEY")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        sys.exit(f"set {', '.join(missing)} (`openssl rand -hex 32` makes a value)")
    options = parse(sys.argv[1:])
    Handler.backend = Backend(options, os.environ)
    sender = Sender(Handler.backend.store, options.campanile, os.environ["CAMPANILE_HTTP_API_KEY"])
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    sender.start()
    try:
        server.serve_forever()
    finally:
        sender.stop()


if __name__ == "__main__":
    main()
