"""Bell: rings over HTTP, and closes the camera; see docs/visits.md."""

from __future__ import annotations

import math
import threading
import time
from http import HTTPStatus

from doorbelld.access import ring_token
from doorbelld.access.backoff import Backoff
from doorbelld.server.replies import as_json, refusal
from doorbelld.server.request import Request, RequestError
from doorbelld.server.response import Response
from doorbelld.system.limited_log import RefusalLog
from doorbelld.visits.doorbell import Doorbell
from doorbelld.web import guard
from doorbelld.web.login import Login
from doorbelld.web.pictures import one_of
from doorbelld.web.site import Context

_BURST = 30
_PER_SECOND = 2.0
"""Presses over HTTP at once, and how many more each second: a device gone wild costs no more."""

_WRONG = "the token is wrong or missing (sudo doorbelld bell shows it)"


class Bell:
    """Rings for clients with the token, or with a browser that has logged in.

    Wrong tokens make their address wait, as wrong passwords do, but not those with the right one:
    a bell at the same address, such as that of a proxy, still rings.
    """

    def __init__(self, doorbell: Doorbell, login: Login, refusals: RefusalLog) -> None:
        self._doorbell = doorbell
        self._login = login
        self._refusals = refusals
        self._backoff = Backoff()
        self._presses = _Presses()

    def ring(self, context: Context) -> Response:
        """Ring, and return which visit that belongs to."""
        guard.insist_on_no_other_site(context.site.access, context.request, context.embedder)
        refused = self._refused(context)
        if refused is not None:
            return refused
        seconds = self._presses.seconds_to_wait()
        visit = None if seconds else self._doorbell.ring(time.monotonic(), "http")
        if visit is None:
            return _too_many("the bell was pressed too often", seconds or 1)
        return as_json(HTTPStatus.OK, {"visit": visit.id, "presses": visit.presses})

    def shutter(self, context: Context) -> Response:
        """Close the camera, or open it again."""
        guard.insist_on_a_plain_post(context.request, context.embedder)
        query = context.request.query
        if "closed" not in query:
            raise RequestError("closed must be yes or no")
        state = self._doorbell.close_shutter(one_of(query, "closed", "yes", "no") == "yes")
        return as_json(HTTPStatus.OK, {"closed": state.closed, "since": state.since})

    def _refused(self, context: Context) -> Response | None:
        """Return the answer to a client that may not ring; None if it may."""
        request, client = context.request, context.client
        if context.site.ring_token.check(_token(request)):
            self._backoff.succeeded(client)
            return None
        # A page of any site can make a browser send a GET, with its cookies.
        if request.method == "POST" and self._login.has_cookie(context):
            return None
        self._refusals.note(client, "wrong ring token")
        seconds = math.ceil(self._backoff.seconds_to_wait(client))
        if seconds:
            return _too_many("too many wrong tokens", seconds)
        self._backoff.failed(client)
        return refusal(HTTPStatus.FORBIDDEN, _WRONG)


class _Presses:
    """How many presses there may be; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = float(_BURST)
        self._counted_at = time.monotonic()

    def seconds_to_wait(self) -> int:
        """Count a press and return 0; or return the seconds after which there may be one."""
        with self._lock:
            now = time.monotonic()
            gained = (now - self._counted_at) * _PER_SECOND
            self._left, self._counted_at = min(self._left + gained, _BURST), now
            if self._left < 1:
                return math.ceil((1 - self._left) / _PER_SECOND)
            self._left -= 1
            return 0


def _token(request: Request) -> str:
    """Return the token that was sent, "" if there is none."""
    scheme, _, token = request.headers.get("Authorization").strip().partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return request.query.get(ring_token.PARAMETER, bearer)


def _too_many(why: str, seconds: int) -> Response:
    headers = {"Retry-After": str(seconds)}
    return refusal(HTTPStatus.TOO_MANY_REQUESTS, f"{why}, try again in {seconds} s", headers)
