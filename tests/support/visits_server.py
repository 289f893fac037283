"""VisitsServer: answers about visits as docs/visits.md says, with visits that a test has made up.

The files of the page, the page of visits and the placeholder are the daemon's own.
"""

from __future__ import annotations

import json
import re
import threading
import time
from contextlib import suppress
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from doorbelld.visits.visit import Kind, Visit, VisitState
from doorbelld.web import assets, guard, visits_page

RING, MOTION = Kind.RING, Kind.MOTION
OPEN, DONE, INTERRUPTED = VisitState.OPEN, VisitState.DONE, VisitState.INTERRUPTED


def visit(number: int, at: float, kind: Kind = RING, **more: Any) -> Visit:
    """Return a visit that is over; ``more`` are values of its own."""
    values: dict[str, Any] = {
        "source": "button" if kind is RING else "motion",
        "state": DONE,
        "pressed_at": at,
        "until": at + 15,
        "still": 1,
        "frames": 20,
        "seconds": 20.0,
        "before": 5.0,
        "bytes": 900_000,
    }
    return Visit(number, kind, at=at, **{**values, **more})


class VisitsServer:
    """A web server with visits; ``visits`` has them, the newest first, and may be changed.

    ``picture(id, number)`` returns a JPEG, number None for the still. ``refuses`` has the statuses
    that paths are answered with; 0 closes the connection. ``asked`` has all requests. ``prefix`` is
    the path below which everything is, and ``ahead`` by how many seconds its clock is.
    """

    scheme = "http"
    prefix = ""

    def __init__(self, visits: list[Visit], picture: Any) -> None:
        self.visits = visits
        self.picture = picture
        self.refuses: dict[str, int] = {}
        self.asked: list[str] = []
        self.name = "Front door"
        self.ignore: list[list[float]] = []
        self.looks_for_motion = False
        self.ahead = 0.0
        self._news = threading.Condition()
        self._is_over = False
        server = self

        class Handler(_Handler):
            owner = server

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._open: set[socket] = set()
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])

    def __enter__(self) -> VisitsServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._news:
            self._is_over = True
            self._news.notify_all()
        self._server.shutdown()
        for each in list(self._open):
            with suppress(OSError):  # It is closed already.
                each.shutdown(SHUT_RDWR)
        self._server.server_close()
        self._thread.join()

    def announce(self) -> None:
        """Let the pages know that something has changed."""
        with self._news:
            self._news.notify_all()

    def replace(self, changed: Visit) -> None:
        """Replace a visit, or add it if it is new, and let the pages know."""
        others = [each for each in self.visits if each.id != changed.id]
        self.visits = sorted([*others, changed], key=lambda each: -each.id)
        self.announce()

    def find(self, number: int) -> Visit | None:
        """Return the visit with that id."""
        return next((each for each in self.visits if each.id == number), None)

    def listed(self, query: dict[str, list[str]]) -> dict[str, Any]:
        """Return the answer of visits.json."""
        limit = int(query.get("limit", ["50"])[0])
        before = int(query.get("before", ["0"])[0])
        kind = query.get("kind", [""])[0]
        found = [
            each
            for each in self.visits
            if (not before or each.id < before) and kind in ("", each.kind.value)
        ]
        return {
            "visits": [as_json(each) for each in found[:limit]],
            "next": found[limit - 1].id if len(found) > limit else None,
            "count": len(self.visits),
            "bytes": sum(each.bytes for each in self.visits),
            "space": 1_000_000_000,
            "days": 30,
            "motion": self.looks_for_motion or any(each.kind is MOTION for each in self.visits),
        }

    def state(self) -> dict[str, Any]:
        """Return the state of the page's stream."""
        rings = [each for each in self.visits if each.kind is RING]
        return {
            "v": 1,
            "now": time.time() + self.ahead,
            "camera": {"name": self.name, "state": "streaming", "reason": "", "age_ms": 20},
            "watching": 0,
            "max_viewers": 100,
            "password": False,
            "visit": as_json(rings[0]) if rings else None,
        }

    def wait_for_news(self) -> bool:
        """Wait until something has changed; return False at the end."""
        with self._news:
            self._news.wait(5)
            return not self._is_over

    def page(self) -> bytes:
        """Return the page of visits."""
        listed = self.listed({})
        kept = visits_page.Kept(listed["bytes"], listed["space"], listed["days"])
        return visits_page.page(
            assets.load(self.name), self.visits[:50], listed["next"], kept, time.time()
        )


def as_json(found: Visit) -> dict[str, Any]:
    """Return a visit as docs/visits.md has it."""
    still = f"visits/{found.id}.jpg?v={found.still}" if found.still else None
    values = {**asdict(found), "still": still}
    return {**values, "kind": found.kind.value, "state": found.state.value}


class _Handler(BaseHTTPRequestHandler):
    owner: VisitsServer
    protocol_version = "HTTP/1.1"
    timeout = 10

    def setup(self) -> None:
        super().setup()
        self.owner._open.add(self.connection)

    def finish(self) -> None:
        self.owner._open.discard(self.connection)
        super().finish()

    def log_message(self, *_: Any) -> None:
        """Write nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.owner.asked.append(f"{self.command} {self.path}")
        if not self.path.startswith(self.owner.prefix):
            self._send(404, "text/plain", b"not found\n")
            return
        parts = urlsplit(self.path[len(self.owner.prefix) :])
        refused = self.owner.refuses.get(f"{self.command} {parts.path}")
        if refused is None:
            refused = self.owner.refuses.get(parts.path)
        if refused == 0:
            self.close_connection = True
        elif refused:
            self._send(refused, "text/plain", b"no\n")
        else:
            try:
                self._route(parts.path, parse_qs(parts.query))
            except ConnectionError:
                self.close_connection = True

    def _route(self, path: str, query: dict[str, list[str]]) -> None:
        owner = self.owner
        found = re.fullmatch(r"/visits/(\d+)(?:/(\d+))?(\.\w+|/delete|/answered)", path)
        if path == "/visits":
            self._send(200, "text/html; charset=utf-8", owner.page())
        elif path == "/visits.json":
            self._json(owner.listed(query))
        elif path == "/visits/delete":
            owner.visits = []
            self._send(204, "", b"")
        elif path == "/live":
            self._live()
        elif path == "/status":
            self._json({"visits": {"ignore": owner.ignore}})
        elif path == "/snapshot.jpg":
            self._send(200, "image/jpeg", owner.picture(0, None))
        elif found:
            self._visit(owner.find(int(found[1])), found[2], found[3])
        else:
            asset = assets.load(owner.name).get(path)
            if asset is None:
                self._send(404, "text/plain", b"not found\n")
            else:
                self._send(200, asset.content_type, asset.body)

    def _visit(self, found: Visit | None, number: str | None, what: str) -> None:
        owner = self.owner
        if found is None or (number and int(number) >= found.frames):
            self._send(404, "text/plain", b"not found\n")
        elif what == "/delete":
            owner.visits = [each for each in owner.visits if each is not found]
            self._send(204, "", b"")
        elif what == "/answered":
            owner.replace(replace(found, answered=time.time()))
            self._json({"answered": time.time()})
        elif what == ".json":
            step = found.seconds / max(found.frames - 1, 1)
            times = [round(at * step - found.before, 3) for at in range(found.frames)]
            self._json({**as_json(found), "frames": times})
        elif what == ".mjpeg":
            film = b"".join(owner.picture(found.id, at) for at in range(found.frames))
            self._send(200, "video/x-motion-jpeg", film)
        else:
            which = int(number) if number else None
            self._send(200, "image/jpeg", owner.picture(found.id, which))

    def _live(self) -> None:
        self.send_response(200)
        for name, value in {
            **guard.security(),
            "X-Now": f"{time.time() + self.owner.ahead:.6f}",
        }.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.wfile.write(b"--frame\r\n")
        while True:
            body = json.dumps(self.owner.state()).encode()
            head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(head.encode() + body + b"\r\n--frame\r\n")
            if not self.owner.wait_for_news():
                return

    def _json(self, value: object) -> None:
        self._send(200, "application/json", json.dumps(value).encode())

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in guard.security().items():
            self.send_header(name, value)
        if content_type:
            self.send_header("Content-Type", content_type)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
