"""The headers that every answer carries."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache

_POLICY = (
    "default-src 'none'; img-src 'self' blob: data:; style-src 'self'; script-src 'self';"
    " connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'"
)
_PERMISSIONS = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"

_A_YEAR = 365 * 24 * 3600


@lru_cache(maxsize=64)  # ``visitor`` is one of ``embed``.
def security(
    embed: tuple[str, ...] = (),
    visitor: str = "",
    *,
    hsts: bool = False,
    shared: bool = False,
    proxied: bool = False,
) -> Mapping[str, str]:
    """Return the headers by which pages load nothing foreign, and no other site shows or reads us.

    Except the origins in ``embed``, which may frame the page. ``visitor`` is the origin of such a
    page that asks now: it may show the picture, and read the answer. With ``shared`` every page
    may show this answer, and none may read it. With ``hsts`` browsers use only HTTPS from now on.

    With ``proxied`` a page of the same origin may frame us: behind a proxy, that may be another
    program at another path, such as Home Assistant. It could read everything here anyway.
    """
    ancestors = " ".join([*embed, *["'self'"] * proxied]) or "'none'"
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": _PERMISSIONS,
        "Content-Security-Policy": f"{_POLICY}; frame-ancestors {ancestors}",
        "Cross-Origin-Resource-Policy": "cross-origin" if visitor or shared else "same-origin",
    }
    if hsts:
        headers["Strict-Transport-Security"] = f"max-age={_A_YEAR}"
    if embed:
        headers["Vary"] = "Origin, Referer"
    if visitor:
        headers["Access-Control-Allow-Origin"] = visitor
    return headers


def general() -> Mapping[str, str]:
    """Return the name of the server, without a version, and the time."""
    return {"Server": "doorbelld", "Date": _date(int(time.time()))}


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
