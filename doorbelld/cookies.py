"""Cookies: proof of an earlier login, which a browser brings along with every request.

A cookie is ``EXPIRY.NONCE.SIGNATURE``. Nothing of it is kept here, so a restart ends no session;
its key comes from the password, so a change of that ends them all.
"""

from __future__ import annotations

import hmac
import os
import re
import time

LIFETIME = 30 * 24 * 3600
"""Seconds."""

BRIEF = 60
"""Seconds, for a single request: nobody can do much with it who gets hold of it."""

_NAME = "doorbelld"
_OURS = re.compile(
    rf"(?:^|;)[ \t]*{_NAME}=((\d{{1,12}})\.[0-9a-f]{{16}})\.([0-9a-f]{{64}})(?=[ \t]*(?:;|$))",
    re.ASCII,
)
"""Cookies do not know of ports: what else is served here has its own in the same header, written
as it likes."""


class Cookies:
    """Makes cookies and knows its own; ``key`` signs them."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def new(self, lifetime: int = LIFETIME) -> str:
        """Return a new cookie as a browser sends it: NAME=VALUE."""
        told = f"{int(time.time()) + lifetime}.{os.urandom(8).hex()}"
        return f"{_NAME}={told}.{self._sign(told)}"

    def seconds_left(self, header: str) -> float:
        """Return for how long the one in a Cookie header is good; 0 if there is none that is."""
        good = [
            int(match[2])
            for match in _OURS.finditer(header)
            if hmac.compare_digest(self._sign(match[1]), match[3])
        ]
        return max(0, max(good, default=0) - time.time())

    def _sign(self, told: str) -> str:
        return hmac.digest(self._key, told.encode(), "sha256").hex()


def setting(cookie: str, *, secure: bool) -> str:
    """Return the Set-Cookie header that makes a browser keep a cookie."""
    return f"{cookie}; Max-Age={LIFETIME}; {_attributes(secure)}"


def clearing(*, secure: bool) -> str:
    """Return the Set-Cookie header that makes a browser forget it."""
    return f"{_NAME}=; Max-Age=0; {_attributes(secure)}"


def _attributes(secure: bool) -> str:
    return "Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")
