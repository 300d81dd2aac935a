"""Signed values: the cookie that says who somebody is, and the token that says so to the messaging server."""

import base64
import hashlib
import hmac
import json
import time


def _signature(secret, text):
    return hmac.new(secret, text.encode(), hashlib.sha256).digest()


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(secret, user, lifetime):
    """A JWT (RFC 7519, HS256) for `user`, good for `lifetime` seconds."""
    claims = {"sub": user, "exp": int(time.time()) + lifetime}
    parts = (_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    signed = ".".join(parts)
    return f"{signed}.{_base64url(_signature(secret, signed))}"


def session(secret, user, lifetime):
    """The value of a cookie for `user`, whose name has no full stop, good for `lifetime` seconds."""
    signed = f"{user}.{int(time.time()) + lifetime}"
    return f"{signed}.{_signature(secret, signed).hex()}"


def session_user(secret, value):
    """Whose cookie it is, or None if we have not signed it or it has expired."""
    signed, _, signature = value.rpartition(".")
    # In constant time: how long a comparison takes must not tell how much of a forgery is right.
    if not hmac.compare_digest(_signature(secret, signed).hex().encode(), signature.encode()):
        return None
    user, _, expires = signed.partition(".")
    return user if int(expires) > time.time() else None
