"""Replies: the kinds of answers that most paths have in common."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from doorbelld.server.request import Request
from doorbelld.server.response import Response

TEXT = "text/plain; charset=utf-8"
NO_STORE = {"Cache-Control": "no-store"}

_IS_URL = re.compile(r"[a-z]+://[^/?#]*", re.IGNORECASE)
_MOST_STEPS = 16
"""Steps up from a path; none of ours is so deep. From a deeper one it takes several redirects."""


def reply(
    status: int, content_type: str, body: bytes, headers: Mapping[str, str] = NO_STORE
) -> Response:
    """Return an answer with a body."""
    length = str(len(body))
    return Response(
        status, {"Content-Type": content_type, "Content-Length": length, **headers}, body
    )


def refusal(status: int, reason: str, headers: Mapping[str, str] = {}) -> Response:
    """Return an answer that says no, and why."""
    return reply(status, TEXT, f"{reason}\n".encode(), {**NO_STORE, **headers})


def as_json(status: int, value: object, headers: Mapping[str, str] = {}) -> Response:
    """Return a value as JSON."""
    body = json.dumps(value).encode() + b"\n"
    return reply(status, "application/json", body, {**NO_STORE, **headers})


def redirect(request: Request, page: str) -> Response:
    """Send a browser to another page of ours, as in :func:`address_of`."""
    headers = {"Location": address_of(page, request), **NO_STORE}
    return reply(HTTPStatus.SEE_OTHER, "text/plain", b"", headers)


def address_of(page: str, request: Request) -> str:
    """Return the address of one of our pages as seen from what is asked for; "" is the first page.

    It is relative: a proxy may serve us under a path, such as /doorbell/, and not tell us.
    """
    path = _IS_URL.sub("", request.target).partition("?")[0].partition("#")[0]
    steps = min(max(path.count("/") - 1, 0), _MOST_STEPS)
    return "../" * steps + page or "./"


def general() -> Mapping[str, str]:
    """Return the name of the server, without a version, and the time."""
    return {"Server": "doorbelld", "Date": _date(int(time.time()))}


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
