"""Status: how the camera and the viewers are, as JSON and in one word."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from doorbelld import __version__
from doorbelld.server.limits import Limits
from doorbelld.server.replies import TEXT, as_json, refusal, reply
from doorbelld.server.response import Response
from doorbelld.stream.broadcaster import Broadcaster
from doorbelld.stream.state import CameraState, CameraStatus
from doorbelld.web.pictures import viewer_key
from doorbelld.web.site import Context


class Status:
    """Answers how everything is. ``limits`` returns those of the server.

    ``bell_status`` returns what belongs to the bell, the visits, the shutter and the messages on a
    ring.
    """

    def __init__(
        self,
        broadcaster: Broadcaster,
        camera_status: Callable[[], CameraStatus],
        limits: Callable[[], Limits],
        bell_status: Callable[[], dict[str, Any]],
    ) -> None:
        self._bell_status = bell_status
        self._broadcaster = broadcaster
        self._camera_status = camera_status
        self._limits = limits
        self._started_at = time.monotonic()

    def status(self, context: Context) -> Response:
        """Return everything as JSON; with ``?key=K`` only the viewers of that name."""
        query = context.request.query
        key = viewer_key(query) if "key" in query else None
        status = {
            "version": __version__,
            "uptime_s": round(time.monotonic() - self._started_at, 1),
            "camera": vars(self._camera_status()),
            "watching": self._broadcaster.watching,
            "viewers": [vars(row) for row in self._broadcaster.viewers(key)],
            "limits": {"max_viewers": self._broadcaster.max_viewers, **self._limits()._asdict()},
            "password": context.site.authenticator.is_needed,
            **self._bell_status(),
        }
        return as_json(HTTPStatus.OK, status)

    def healthz(self, context: Context) -> Response:
        """Return in a word whether there is a live picture."""
        camera = self._camera_status()
        if camera.state is CameraState.STREAMING:
            return reply(HTTPStatus.OK, TEXT, b"ok\n")
        # The reason is only for clients that may watch.
        why = "" if context.site.authenticator.is_needed else f": {camera.detail}"
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"{camera.state.value}{why}")
