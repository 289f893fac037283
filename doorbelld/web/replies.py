"""Replies: the kinds of answers that most paths have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from doorbelld.server.response import Response

TEXT = "text/plain; charset=utf-8"
NO_STORE = {"Cache-Control": "no-store"}


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


def redirect(path: str) -> Response:
    """Send a browser to another page of ours."""
    headers = {"Location": path, **NO_STORE}
    return reply(HTTPStatus.SEE_OTHER, "text/plain", b"", headers)
