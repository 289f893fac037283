"""Live: the page's stream, with the state of everything between the pictures; see docs/live.md."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus

from doorbelld.server.request import Query, RequestError
from doorbelld.server.response import Response
from doorbelld.stream.broadcaster import Broadcaster
from doorbelld.stream.state import CameraStatus
from doorbelld.stream.viewer import News
from doorbelld.web import guard
from doorbelld.web.pictures import Pictures, max_fps, viewer_key
from doorbelld.web.replies import NO_STORE, refusal
from doorbelld.web.site import Site, Visit

_HEADERS = {
    "Content-Type": "application/octet-stream",  # WebKit lets no script read the true type.
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
_CAMERA = ("name", "state", "reason", "detail", "since", "fps", "age_ms", "width", "height")
"""What the page learns of the camera."""

_QUALITY = "full"

_MOST_PIXELS = 100_000
_MOST_BYTES = 10**12
_OLDEST = 10**9
"""Seconds: a page may have been asleep, or have a wrong clock."""


class Live:
    """Answers with the page's stream. ``site`` returns the site as it is now."""

    def __init__(
        self,
        pictures: Pictures,
        broadcaster: Broadcaster,
        camera_status: Callable[[], CameraStatus],
        site: Callable[[], Site],
    ) -> None:
        self._pictures = pictures
        self._broadcaster = broadcaster
        self._camera_status = camera_status
        self._site = site
        broadcaster.use_news(self._state)

    def stream(self, visit: Visit) -> Response:
        """Let the broadcaster take the connection over, for a viewer that reads the state too."""
        query = visit.request.query
        viewer_key(query)
        max_fps(query)
        if query.get("v", "1") != "1":
            raise RequestError("there is only version 1 of this stream (v=1)")
        news = News(pictures=_one_of(query, "pictures", "yes", "no") == "yes")
        auto = _one_of(query, "quality", "full", "auto") == "auto"
        for name, most in (("width", _MOST_PIXELS), ("rate", _MOST_BYTES)):
            if name in query:
                _number(query, name, 1, most)
        return self._pictures.take_over(visit, {**_HEADERS, **_now()}, news=news, auto=auto)

    def report(self, visit: Visit) -> Response:
        """Take what a page has measured: how old its newest picture is, and how fast they come."""
        guard.insist_on_our_own_page(visit.embedder)
        query = visit.request.query
        key = viewer_key(query)
        if not key:
            raise RequestError("key must name the viewer")
        if visit.request.has_body:
            raise RequestError("a body makes no sense here")
        age, rate = _number(query, "age", 0, _OLDEST), _number(query, "rate", 0, _MOST_BYTES)
        if not self._broadcaster.report(key, visit.client, age, rate):
            return refusal(HTTPStatus.NOT_FOUND, "no viewer with this key and address is watching")
        return Response(HTTPStatus.NO_CONTENT, {**NO_STORE, **_now()})

    def _state(self) -> bytes:
        """Return the state as JSON; the broadcaster calls this."""
        camera = vars(self._camera_status())
        state = {
            "v": 1,
            "now": round(time.time(), 6),
            "camera": {name: camera[name] for name in _CAMERA},
            "watching": self._broadcaster.watching,
            "max_viewers": self._broadcaster.max_viewers,
            "password": self._site().authenticator.is_needed,
            "quality": _QUALITY,
        }
        return json.dumps(state).encode()


def _now() -> Mapping[str, str]:
    return {"X-Now": f"{time.time():.6f}"}


def _one_of(query: Query, name: str, *values: str) -> str:
    """Return a parameter, the first of its values by default. Raises RequestError."""
    value = query.get(name, values[0])
    if value not in values:
        raise RequestError(f"{name} must be {' or '.join(values)}")
    return value


def _number(query: Query, name: str, least: int, most: int) -> float:
    """Return a parameter that must be there. Raises RequestError."""
    try:
        value = float(query[name])
    except (KeyError, ValueError):
        value = math.nan
    if not least <= value <= most:
        raise RequestError(f"{name} must be a number from {least} to {most}")
    return value
