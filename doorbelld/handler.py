"""Handler: what every path answers to one request.

The standard library's :mod:`http.server` parses the head. A handler reads from and writes
to memory alone: the head is whole before it starts, and its answer is sent by the server,
so that no handler ever waits for a client. ``GET /video_feed`` hands its socket over to the
broadcaster.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from doorbelld import __version__, multipart
from doorbelld.accept import Connection
from doorbelld.assets import Asset

if TYPE_CHECKING:
    from doorbelld.httpd import Server

_log = logging.getLogger(__name__)

_MAX_LINE = 8 * 1024
"""The longest request line, in bytes."""

_TEXT = "text/plain; charset=utf-8"
_NO_STORE = {"Cache-Control": "no-store"}
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' blob: data:; style-src 'self'; script-src 'self';"
        " connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self';"
        " frame-ancestors 'none'"
    ),
}

Query = Mapping[str, str]


class BadRequestError(Exception):
    """The request cannot be understood; the text says why."""


class Handler(BaseHTTPRequestHandler):
    """One request: its head parsed, its answer written into memory.

    ``handed_over`` tells that the socket now belongs to the broadcaster.
    """

    protocol_version = "HTTP/1.1"
    server_version = "doorbelld"
    sys_version = ""
    server: Server  # type: ignore[assignment]  # it is no socketserver
    command = ""
    requestline = ""
    request_version = "HTTP/1.1"
    close_connection = True
    handed_over = False

    def __init__(self, head: bytes, connection: Connection, server: Server) -> None:
        self.connection_ = connection
        super().__init__(head, (connection.address, 0), server)  # type: ignore[arg-type]

    # What http.server asks for.

    def setup(self) -> None:
        """Read from and write to memory instead of the socket."""
        self.rfile = BytesIO(self.request)
        self.wfile = BytesIO()

    def finish(self) -> None:
        """Leave the answer where it is: the server sends it."""

    def handle(self) -> None:
        """Answer the one request that was given."""
        self.raw_requestline = self.rfile.readline()
        if len(self.raw_requestline) > _MAX_LINE:
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
        elif not self.raw_requestline.strip():
            self.send_error(HTTPStatus.BAD_REQUEST, "the request line is empty")
        elif not self.parse_request():
            return  # and has said why
        elif self.headers.defects:
            # What stands below such a line was not read: it may tell of a body.
            self.send_error(HTTPStatus.BAD_REQUEST, "a header line cannot be understood")
        else:
            self._respond()

    def handle_expect_100(self) -> bool:
        """Ask nobody to send a body: none is read."""
        return True

    def send_error(
        self,
        code: int,
        message: str | None = None,
        explain: str | None = None,  # noqa: ARG002  # http.server's page-long version
    ) -> None:
        """Answer with one short plain reason, and close."""
        self.close_connection = True
        if self.request_version == "HTTP/0.9":
            self.request_version = "HTTP/1.0"  # Or the answer would have no head.
        self._refuse(code, message or HTTPStatus(code).phrase)

    def version_string(self) -> str:
        """Tell the name alone: which version is nobody's business."""
        return self.server_version

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name there
        """Log with ``-v``; a request line is a stranger's text, so %r keeps it harmless."""
        _log.debug("%s: %r: %s", self.connection_.address, self.requestline, format % args)

    def log_request(self, code: object = "-", size: object = "-") -> None:  # noqa: ARG002
        """Log the status of the answer."""
        self.log_message("%s", code.value if isinstance(code, HTTPStatus) else code)

    # The answer.

    def answer(self) -> bytes:
        """Return all that was written, head and body."""
        return self.wfile.getvalue()  # type: ignore[attr-defined,no-any-return]

    def _respond(self) -> None:
        try:
            self._route()
        except BadRequestError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))

    def _route(self) -> None:
        if self.request_version == "HTTP/0.9":
            self.send_error(HTTPStatus.BAD_REQUEST, "the request line has no HTTP version")
            return
        has_body = self._has_body()
        # A body is never read, so it must not be taken for the next request.
        self.close_connection |= has_body
        path, query = self._split_url()
        if path == "/" and "action" in query:
            path = f"/?action={query['action']}"
        route = _ROUTES.get(path)
        asset = self.server.assets.get(path)
        if route is None and asset is None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
        elif self.command not in ("GET", "HEAD"):
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD", {"Allow": "GET, HEAD"})
        elif has_body:
            raise BadRequestError("a body makes no sense here")
        elif asset is not None:
            self._asset(asset)
        elif route is not None:
            self._query = query
            route(self)

    def _split_url(self) -> tuple[str, Query]:
        try:
            url = urlsplit(self.path)
            query = parse_qs(url.query, keep_blank_values=True, max_num_fields=20)
        except ValueError:
            raise BadRequestError("the URL cannot be understood") from None
        return unquote(url.path), {key: values[-1] for key, values in query.items()}

    def _has_body(self) -> bool:
        lengths = self.headers.get_all("Content-Length", ["0"])
        return "Transfer-Encoding" in self.headers or any(each.strip() != "0" for each in lengths)

    def _reply(
        self, status: int, content_type: str, body: bytes, headers: Mapping[str, str] = _NO_STORE
    ) -> None:
        self._head(
            status, {"Content-Type": content_type, "Content-Length": str(len(body))}, headers
        )
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, *headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for each in (*headers, _SECURITY):
            for name, value in each.items():
                self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _refuse(self, status: int, reason: str, headers: Mapping[str, str] = {}) -> None:
        self._reply(status, _TEXT, f"{reason}\n".encode(), {**_NO_STORE, **headers})

    def _json(self, status: int, value: object, headers: Mapping[str, str] = {}) -> None:
        body = json.dumps(value).encode() + b"\n"
        self._reply(status, "application/json", body, {**_NO_STORE, **headers})

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
        self._head(HTTPStatus.OK, {"Content-Type": multipart.CONTENT_TYPE}, _NO_STORE)
        if self.command == "HEAD":
            return
        self.handed_over = self.server.broadcaster.join(
            self.connection_.sock,
            self.answer(),
            address=self.connection_.address,
            key=key,
            fps=fps,
            advance=advance,
        )
        if not self.handed_over:
            self.wfile = BytesIO()
            limit = self.server.broadcaster.max_viewers
            reason = f"{limit} are watching already, which is the limit; try again in a moment"
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, reason, {"Retry-After": "5"})

    def snapshot(self) -> None:
        """Send the newest frame as it is, if it is a live one."""
        frame, camera = self.server.broadcaster.latest, self.server.camera_status()
        if frame is None or not frame.live or camera["state"] != "streaming":
            error = {"error": camera["detail"]}
            self._json(HTTPStatus.SERVICE_UNAVAILABLE, error, {"Retry-After": "2"})
            return
        headers = {**_NO_STORE, "X-Timestamp": f"{frame.timestamp:.6f}"}
        self._reply(HTTPStatus.OK, "image/jpeg", frame.data, headers)

    def status(self) -> None:
        """Tell all there is to know as JSON; with ``?key=K`` of that viewer alone."""
        server = self.server
        status = {
            "version": __version__,
            "uptime_s": round(time.monotonic() - server.started_at, 1),
            "camera": server.camera_status(),
            "watching": server.broadcaster.watching,
            "viewers": server.broadcaster.viewers(
                _key(self._query) if "key" in self._query else None
            ),
            "limits": server.limits(),
        }
        self._json(HTTPStatus.OK, status)

    def healthz(self) -> None:
        """Tell in a word whether there is a live picture."""
        camera = self.server.camera_status()
        if camera["state"] == "streaming":
            self._reply(HTTPStatus.OK, _TEXT, b"ok\n")
        else:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, f"{camera['state']}: {camera['detail']}")


_ROUTES: Mapping[str, Callable[[Handler], None]] = {
    "/video_feed": Handler.stream,
    "/stream": Handler.stream,
    "/stream.mjpg": Handler.stream,
    "/?action=stream": Handler.stream,
    "/snapshot.jpg": Handler.snapshot,
    "/snapshot": Handler.snapshot,
    "/?action=snapshot": Handler.snapshot,
    "/status": Handler.status,
    "/healthz": Handler.healthz,
}


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
