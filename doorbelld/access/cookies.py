"""Cookies: proof of an earlier login, which a browser sends with every request.

A cookie is ``EXPIRY.NONCE.SIGNATURE``. Nothing of it is stored here, so a restart ends no session;
its key comes from the password, so a new password ends them all.

There are two, with different names. Browsers send the usual one only from our own pages. The
framed one is for our page in a frame of another site: browsers send it there and nowhere else
(Partitioned), and only over TLS.
"""

from __future__ import annotations

import hmac
import os
import re
import time
from collections.abc import Iterator

LIFETIME = 30 * 24 * 3600
"""Seconds."""

BRIEF = 60
"""Seconds, for a single request: of little use to an attacker who gets hold of it."""

_NAME = "doorbelld"
_FRAMED = "_framed"
_OURS = re.compile(
    rf"(?:^|;)[ \t]*{_NAME}(?:{_FRAMED})?="
    r"((\d{1,12})\.[0-9a-f]{16})\.([0-9a-f]{64})(?=[ \t]*(?:;|$))",
    re.ASCII,
)
"""Cookies do not depend on the port: other servers on this machine have theirs in the same header,
in whatever form they like."""


class Cookies:
    """Makes cookies and recognises them; ``key`` signs them."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def new(self, lifetime: int = LIFETIME, *, framed: bool = False) -> str:
        """Return a new cookie as a browser sends it: NAME=VALUE."""
        signed = f"{int(time.time()) + lifetime}.{os.urandom(8).hex()}"
        return f"{_name(framed=framed)}={signed}.{self._sign(signed)}"

    def seconds_left(self, header: str) -> float:
        """Return for how long the best one in a Cookie header is valid; 0 if there is none."""
        return max((left for left, _ in self._valid(header)), default=0)

    def renewed(self, header: str) -> str | None:
        """Return a new cookie of the same kind for a valid one that is past half of its lifetime.

        Not for a brief one, nor for one that may be brief.
        """
        left, framed = max(self._valid(header), default=(0, False))
        return self.new(framed=framed) if BRIEF < left < LIFETIME / 2 else None

    def _valid(self, header: str) -> Iterator[tuple[float, bool]]:
        """Yield the seconds that each valid one has left, and whether it is a framed one."""
        now = time.time()
        for match in _OURS.finditer(header):
            left = int(match[2]) - now
            if left > 0 and hmac.compare_digest(self._sign(match[1]), match[3]):
                yield left, _is_framed(match[0].lstrip("; \t"))

    def _sign(self, text: str) -> str:
        return hmac.digest(self._key, text.encode(), "sha256").hex()


def is_in(header: str, framed: bool) -> bool:
    """Return whether a Cookie header has a cookie of this kind, valid or not."""
    names = (each.partition("=")[0].strip() for each in header.split(";"))
    return _name(framed=framed) in names


def setting(cookie: str, *, secure: bool, path: str = "/") -> str:
    """Return the Set-Cookie header that makes a browser keep a cookie.

    ``secure`` says whether the browser uses TLS. A framed cookie always needs that. With an empty
    ``path`` the browser takes the folder of the URL that it has asked for.
    """
    return f"{cookie}; Max-Age={LIFETIME}; {_attributes(secure, _is_framed(cookie), path)}"


def clearing(*, secure: bool, framed: bool = False, path: str = "/") -> str:
    """Return the Set-Cookie header that makes a browser forget a cookie."""
    return f"{_name(framed=framed)}=; Max-Age=0; {_attributes(secure, framed, path)}"


def _name(*, framed: bool) -> str:
    return _NAME + (_FRAMED if framed else "")


def _is_framed(cookie: str) -> bool:
    return cookie.partition("=")[0] == _name(framed=True)


def _attributes(secure: bool, framed: bool, path: str) -> str:
    of_path = f"Path={path}; " if path else ""
    if framed:
        return f"{of_path}HttpOnly; SameSite=None; Secure; Partitioned"
    return f"{of_path}HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")
