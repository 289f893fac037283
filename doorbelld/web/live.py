"""Live: the page's stream, with the state of everything between the pictures; see docs/live.md."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from doorbelld.server.replies import NO_STORE, refusal
from doorbelld.server.request import RequestError
from doorbelld.server.response import Response
from doorbelld.stream.broadcaster import Broadcaster
from doorbelld.stream.state import CameraStatus
from doorbelld.stream.viewer import News
from doorbelld.web import guard
from doorbelld.web.pictures import (
    MOST_BYTES,
    Pictures,
    number,
    one_of,
    viewer_key,
    viewer_wishes,
)
from doorbelld.web.site import Context, Site

_HEADERS = {
    "Content-Type": "application/octet-stream",  # WebKit lets no script read the true type.
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
_CAMERA = ("name", "state", "reason", "detail", "since", "fps", "age_ms", "width", "height")
"""What the page learns of the camera."""

_OLDEST = 10**9
"""Seconds: a page may have been asleep, or have a wrong clock."""


class Live:
    """Answers with the page's stream. ``site`` returns the site as it is now.

    ``bell_state`` returns what the state says of the bell and the shutter.
    """

    def __init__(
        self,
        pictures: Pictures,
        broadcaster: Broadcaster,
        camera_status: Callable[[], CameraStatus],
        site: Callable[[], Site],
        bell_state: Callable[[], dict[str, Any]],
    ) -> None:
        self._bell_state = bell_state
        self._pictures = pictures
        self._broadcaster = broadcaster
        self._camera_status = camera_status
        self._site = site
        broadcaster.use_news(self._state)

    def stream(self, context: Context) -> Response:
        """Let the broadcaster take the connection over, for a viewer that reads the state too."""
        query = context.request.query
        if query.get("v", "1") != "1":
            raise RequestError("there is only version 1 of this stream (v=1)")
        news = News(pictures=one_of(query, "pictures", "yes", "no") == "yes")
        wishes = viewer_wishes(query)
        if not news.pictures:
            wishes = None
        return self._pictures.take_over(context, {**_HEADERS, **_now()}, news=news, wishes=wishes)

    def report(self, context: Context) -> Response:
        """Take what a page has measured: how old its newest picture is, and how fast they come."""
        guard.insist_on_our_own_page(context.embedder)
        query = context.request.query
        key = viewer_key(query)
        if not key:
            raise RequestError("key must name the viewer")
        if context.request.has_body:
            raise RequestError("a body makes no sense here")
        age, rate = number(query, "age", 0, _OLDEST), number(query, "rate", 0, MOST_BYTES)
        if not self._broadcaster.report(key, context.client, age, rate):
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
            "quality": self._broadcaster.quality,
            **self._bell_state(),
        }
        return json.dumps(state).encode()


def _now() -> Mapping[str, str]:
    return {"X-Now": f"{time.time():.6f}"}
