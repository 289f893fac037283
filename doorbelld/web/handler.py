"""Handler: what every path answers to one request.

``GET /video_feed`` hands its socket over to the broadcaster.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from io import BytesIO

from doorbelld import __version__
from doorbelld.access import embedding
from doorbelld.media import multipart
from doorbelld.stream.state import CameraState
from doorbelld.web.assets import Asset
from doorbelld.web.doorstep import OPEN_PATHS, Doorstep
from doorbelld.web.exchange import NO_STORE, TEXT, Query
from doorbelld.web.gate import BadRequestError


class Handler(Doorstep):
    """Answers by the path. ``handed_over`` tells that the socket is the broadcaster's now."""

    handed_over = False

    def _route(self) -> None:
        path, query = self._split_url()
        if path == "/" and "action" in query:
            path = f"/?action={query['action']}"
        if path in OPEN_PATHS or self._is_known():
            self._answer_at(path, query)

    def _find_ticket(self) -> bytes:
        """Return what stands for a good token: it opens the picture and nothing else."""
        if embedding.PARAMETER not in self.path or self.command not in ("GET", "HEAD"):
            return b""
        try:
            path, query = self._split_url()
        except BadRequestError:
            return b""  # The request itself is refused later, with the reason.
        if path == "/":
            path = f"/?action={query.get('action')}"
        token = query.get(embedding.PARAMETER, "") if path in _PICTURES else ""
        return self.server.embedding.ticket(token, self.server.authenticator.password_id)

    def _answer_at(self, path: str, query: Query) -> None:
        route = (_FORMS if self.command == "POST" else _ROUTES).get(path)
        asset = self.server.assets.get(path)
        known = path in _ROUTES or path in _FORMS or asset is not None
        if not known and self.command != "CONNECT":
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
        elif self.command not in _methods(path):
            allowed = ", ".join(_methods(path))
            self._refuse(
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"only {allowed.replace(', ', ' and ')}",
                {"Allow": allowed},
            )
        elif self._has_body() and (self.command != "POST" or not self.body):
            raise BadRequestError("a body makes no sense here")
        elif route is not None:
            self._query = query
            route(self)
        elif asset is not None:
            self._asset(asset)

    # The paths.

    def _asset(self, asset: Asset) -> None:
        headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
        known = self.headers.get("If-None-Match", "")
        if known.strip() == "*" or asset.etag in known:
            self._head(HTTPStatus.NOT_MODIFIED, headers)
        else:
            self._reply(HTTPStatus.OK, asset.content_type, asset.body, headers)

    def stream(self) -> None:
        """Hand the socket over to the broadcaster, which sends the head and every frame."""
        fps, key = _fps(self._query), _key(self._query)
        advance = self._query.get("advance_headers", "0") != "0"
        advance = advance or multipart.wants_advance(self.headers.get("Accept", ""))
        self.close_connection = True  # The end of the stream is the end of the connection.
        self._head(HTTPStatus.OK, {"Content-Type": multipart.CONTENT_TYPE}, NO_STORE)
        if self.command == "HEAD":
            return
        self.handed_over = self.server.broadcaster.join(
            self.connection_.sock,
            self.answer(),
            address=self.client,
            key=key,
            fps=fps,
            advance=advance,
            session=self.connection_.session,
            ticket=self._ticket,
        )
        if not self.handed_over:
            self.wfile = BytesIO()
            limit = self.server.broadcaster.max_viewers
            reason = f"{limit} are watching already, which is the limit; try again in a moment"
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, reason, {"Retry-After": "5"})
        elif (
            self._password_id != self.server.authenticator.password_id
        ):  # The password was changed this very moment.
            self.server.broadcaster.dismiss(self.server.authenticator.password_id)
        elif not self.server.welcomes(
            self.client, secure=self.connection_.secure, ticket=self._ticket
        ):
            self.server.dismiss_strangers()

    def snapshot(self) -> None:
        """Send the newest frame as it is, if it is a live one."""
        frame, camera = self.server.broadcaster.latest, self.server.camera_status()
        if frame is None or not frame.live or camera.state is not CameraState.STREAMING:
            error = {"error": camera.detail}
            self._json(HTTPStatus.SERVICE_UNAVAILABLE, error, {"Retry-After": "2"})
            return
        headers = {**NO_STORE, "X-Timestamp": f"{frame.timestamp:.6f}"}
        self._reply(HTTPStatus.OK, "image/jpeg", frame.data, headers)

    def status(self) -> None:
        """Tell all there is to know as JSON; with ``?key=K`` of that viewer alone."""
        server = self.server
        key = _key(self._query) if "key" in self._query else None
        status = {
            "version": __version__,
            "uptime_s": round(time.monotonic() - server.started_at, 1),
            "camera": vars(server.camera_status()),
            "watching": server.broadcaster.watching,
            "viewers": [vars(row) for row in server.broadcaster.viewers(key)],
            "limits": server.limits(),
            "password": server.authenticator.is_needed,
        }
        self._json(HTTPStatus.OK, status)

    def healthz(self) -> None:
        """Tell in a word whether there is a live picture."""
        camera = self.server.camera_status()
        if camera.state is CameraState.STREAMING:
            self._reply(HTTPStatus.OK, TEXT, b"ok\n")
            return
        # Why is nobody's business before the password was shown.
        why = "" if self.server.authenticator.is_needed else f": {camera.detail}"
        self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, f"{camera.state.value}{why}")


_PICTURES: Mapping[str, Callable[[Handler], None]] = {
    "/video_feed": Handler.stream,
    "/stream": Handler.stream,
    "/stream.mjpg": Handler.stream,
    "/?action=stream": Handler.stream,
    "/snapshot.jpg": Handler.snapshot,
    "/snapshot": Handler.snapshot,
    "/?action=snapshot": Handler.snapshot,
}
_ROUTES: Mapping[str, Callable[[Handler], None]] = {
    **_PICTURES,
    "/status": Handler.status,
    "/healthz": Handler.healthz,
    "/login": Handler.login_page,
}
_FORMS: Mapping[str, Callable[[Handler], None]] = {
    "/login": Handler.log_in,
    "/logout": Handler.log_out,
}


def _methods(path: str) -> list[str]:
    """Return the methods that make sense at a path, in the order of an Allow header."""
    can_be_seen = path not in _FORMS or path in _ROUTES
    return ["GET", "HEAD"] * can_be_seen + ["POST"] * (path in _FORMS)


def _fps(query: Query) -> float | None:
    if "fps" not in query:
        return None
    try:
        fps = float(query["fps"])
    except ValueError:
        fps = math.nan
    if not 0.01 <= fps <= 1000:
        raise BadRequestError("fps must be a number from 0.01 to 1000")
    return fps


def _key(query: Query) -> str:
    key = query.get("key", "")
    if len(key) > 64 or not key.isprintable():
        raise BadRequestError("key must be at most 64 printable characters")
    return key
