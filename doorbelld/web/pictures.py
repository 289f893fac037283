"""Pictures: the stream, and the newest picture alone."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from socket import socket

from doorbelld.access.watching import Watcher
from doorbelld.media import card, multipart
from doorbelld.net.tls import Session
from doorbelld.server.replies import NO_STORE, as_json, refusal, reply
from doorbelld.server.request import Query, Request, RequestError
from doorbelld.server.response import Response
from doorbelld.stream.broadcaster import Broadcaster
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.link import Wishes
from doorbelld.stream.state import CameraState, CameraStatus
from doorbelld.stream.viewer import News, Viewer
from doorbelld.web.site import Context, Site

_log = logging.getLogger(__name__)

_STREAM = {"Content-Type": multipart.CONTENT_TYPE, **NO_STORE, "X-Accel-Buffering": "no"}

_MOST_PIXELS = 100_000
MOST_BYTES = 10**12


class Pictures:
    """Answers with pictures. ``site`` returns the site as it is now."""

    def __init__(
        self,
        hub: FrameHub,
        broadcaster: Broadcaster,
        camera_status: Callable[[], CameraStatus],
        site: Callable[[], Site],
    ) -> None:
        self._hub = hub
        self._broadcaster = broadcaster
        self._camera_status = camera_status
        self._site = site
        self._password_id = site().authenticator.password_id

    def stream(self, context: Context) -> Response:
        """Let the broadcaster take the connection over: it sends the head and every frame."""
        wishes = viewer_wishes(context.request.query)
        return self.take_over(context, _STREAM, advance=_advance(context.request), wishes=wishes)

    def take_over(
        self,
        context: Context,
        headers: Mapping[str, str],
        *,
        advance: bool = False,
        news: News | None = None,
        wishes: Wishes | None = None,
    ) -> Response:
        """Return the answer with these headers that hands the connection over to the broadcaster.

        For the other arguments see :meth:`Broadcaster.join`. 503 is for clients beyond the limit.
        Raises RequestError.
        """
        query = context.request.query
        join = partial(
            self._broadcaster.join,
            address=context.client,
            key=viewer_key(query),
            fps=max_fps(query),
            advance=advance,
            ticket=context.ticket,
            news=news,
            wishes=wishes,
        )
        if context.request.method == "HEAD":
            return Response(HTTPStatus.OK, headers, close=True)
        limit = self._broadcaster.max_viewers
        has_pictures = news is None or news.pictures
        doing = "are watching" if has_pictures else "wait for pictures"
        reason = f"{limit} {doing} already, which is the limit; try again in a moment"
        return Response(
            HTTPStatus.OK,
            headers,
            close=True,  # The end of the stream is the end of the connection.
            take_over=partial(self._join, context, join),
            otherwise=replace(
                refusal(HTTPStatus.SERVICE_UNAVAILABLE, reason, {"Retry-After": "5"}), close=True
            ),
        )

    def snapshot(self, context: Context) -> Response:
        """Return the newest frame as it is, if it is a live one.

        Otherwise the card that viewers see, because many programs show whatever they get.
        """
        frame, camera = self._hub.latest, self._camera_status()
        if frame is None or not frame.live or camera.state is not CameraState.STREAMING:
            later = {"Retry-After": "2"}
            if "json" in context.request.headers.get("Accept"):
                error = {"error": camera.detail}
                return as_json(HTTPStatus.SERVICE_UNAVAILABLE, error, later)
            data = card.READY_MADE if frame is None or frame.live else frame.data
            return reply(HTTPStatus.SERVICE_UNAVAILABLE, "image/jpeg", data, {**NO_STORE, **later})
        headers = {**NO_STORE, "X-Timestamp": f"{frame.timestamp:.6f}"}
        return reply(HTTPStatus.OK, "image/jpeg", frame.data, headers)

    def recheck(self, password_id: bytes | None = None) -> None:
        """End the streams that the site as it is now does not allow.

        ``password_id`` is that of a stream which began under another password than the others.
        """
        current = self._site().authenticator.password_id
        if (self._password_id if password_id is None else password_id) != current:
            self._password_id = current
            self._broadcaster.dismiss(current)
        self._broadcaster.keep_only(self._may_go_on)

    def _may_go_on(self, viewer: Viewer) -> bool:
        is_secure = viewer.session is not None
        watcher = Watcher(viewer.address, is_secure, viewer.ticket, self._password_id)
        return self._site().watch_rules.allow(watcher)

    def _join(
        self,
        context: Context,
        join: Callable[..., bool],
        sock: socket,
        head: bytes,
        session: Session | None,
    ) -> bool:
        if not join(sock, head, session=session):
            _log.debug("%s: 503: no free place for one more viewer", context.client)
            return False
        # The rules may have changed since the request was let in.
        watcher = Watcher(
            context.client, context.request.secure, context.ticket, context.password_id
        )
        if not self._site().watch_rules.allow(watcher):
            self.recheck(context.password_id)
        return True


def viewer_key(query: Query) -> str:
    """Return the name that a viewer gives itself. Raises RequestError."""
    key = query.get("key", "")
    if len(key) > 64 or not key.isprintable():
        raise RequestError("key must be at most 64 printable characters")
    return key


def _advance(request: Request) -> bool:
    """Return whether the stream is to have the form for browsers."""
    asked = request.query.get("advance_headers")
    if asked is not None:
        return asked != "0"
    headers = request.headers
    return multipart.wants_advance(headers.get("Accept"), headers.get("User-Agent"))


def max_fps(query: Query) -> float | None:
    """Return how many pictures a second the viewer wants at most. Raises RequestError."""
    return number(query, "fps", 0.01, 1000) if "fps" in query else None


def viewer_wishes(query: Query) -> Wishes | None:
    """Return what a viewer with adaptive quality wants, None for another. Raises RequestError."""
    is_auto = one_of(query, "quality", "full", "auto") == "auto"
    width = number(query, "width", 1, _MOST_PIXELS) if "width" in query else 0
    rate = number(query, "rate", 1, MOST_BYTES) if "rate" in query else 0.0
    return Wishes(int(width), rate) if is_auto else None


def one_of(query: Query, name: str, *values: str) -> str:
    """Return a parameter, the first of its values by default. Raises RequestError."""
    value = query.get(name, values[0])
    if value not in values:
        raise RequestError(f"{name} must be {' or '.join(values)}")
    return value


def number(query: Query, name: str, least: float, most: float) -> float:
    """Return a parameter that must be there. Raises RequestError."""
    try:
        value = float(query[name])
    except (KeyError, ValueError):
        value = math.nan
    if not least <= value <= most:
        raise RequestError(f"{name} must be a number from {least} to {most}")
    return value
