"""Bell: rings over HTTP, tests the notifications, and closes the camera; see docs/visits.md."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

from doorbelld.access import ring_token
from doorbelld.access.backoff import Backoff
from doorbelld.notify.target import Result
from doorbelld.server.replies import as_json, refusal
from doorbelld.server.request import Request, RequestError
from doorbelld.server.response import Response
from doorbelld.system.limited_log import RefusalLog
from doorbelld.visits.doorbell import Doorbell
from doorbelld.web import guard
from doorbelld.web.login import RING, Login
from doorbelld.web.pictures import one_of
from doorbelld.web.site import Context

_BURST = 30
_PER_SECOND = 2.0
"""Presses over HTTP at once, and how many more each second: a device gone wild costs no more."""

_TESTS = 3
_TESTS_PER_SECOND = 0.1
"""The same of test messages, which are for a person: more of them would only annoy."""

_WRONG = "the token is wrong or missing (sudo doorbelld bell shows it)"


class Bell:
    """Rings for clients with the token, or with a browser that has logged in.

    Wrong tokens make their address wait, as wrong passwords do, but not those with the right one:
    a bell at the same address, such as that of a proxy, still rings.
    """

    def __init__(
        self,
        doorbell: Doorbell,
        login: Login,
        refusals: RefusalLog,
        test_messages: Callable[[], Sequence[Result]],
    ) -> None:
        self._doorbell = doorbell
        self._test_messages = test_messages
        self._is_testing = threading.Lock()
        self._login = login
        self._refusals = refusals
        self._backoff = Backoff()
        self._presses = _Allowance(_BURST, _PER_SECOND)
        self._tests = _Allowance(_TESTS, _TESTS_PER_SECOND)

    @property
    def forms(self) -> Mapping[str, Callable[[Context], Response]]:
        """What answers a POST, by its path."""
        return {RING: self.ring, "/shutter": self.shutter, "/notify/test": self.test}

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

    def test(self, context: Context) -> Response:
        """Send a test message to all that are notified of a ring, and return how each went.

        One at a time, because each has a thread wait for the network.
        """
        guard.insist_on_a_plain_post(context.request, context.embedder)
        if not self._is_testing.acquire(blocking=False):
            return _too_many("another test is under way", 1)
        try:
            seconds = self._tests.seconds_to_wait()
            if seconds:
                return _too_many("there were too many tests", seconds)
            results = self._test_messages()
        finally:
            self._is_testing.release()
        rows = [
            {"target": each.target, "delivered": each.is_delivered, "sentence": each.sentence}
            for each in results
        ]
        return as_json(HTTPStatus.OK, rows)

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


class _Allowance:
    """How often something may be done: ``burst`` times, and more as time goes by; thread-safe."""

    def __init__(self, burst: int, per_second: float) -> None:
        self._lock = threading.Lock()
        self._burst, self._per_second = burst, per_second
        self._left = float(burst)
        self._counted_at = time.monotonic()

    def seconds_to_wait(self) -> int:
        """Count one and return 0; or return the seconds after which there may be one."""
        with self._lock:
            now = time.monotonic()
            gained = (now - self._counted_at) * self._per_second
            self._left, self._counted_at = min(self._left + gained, self._burst), now
            if self._left < 1:
                return math.ceil((1 - self._left) / self._per_second)
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
