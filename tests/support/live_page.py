"""LivePage: does what the page does with its stream (docs/live.md), without a browser."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from socket import socket
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tests.support.stream_parser import StreamParser

_BEHIND, _CAUGHT_UP = 0.6, 0.3
_TOO_LATE = 2.0
_LASTING = 0.3
_REPORT_EACH = 2.0
_PATIENCE = (2.0, 6.0, 12.0, 30.0)
_WINDOW = 2.0
"""Seconds, all as in the page's own pace.js."""

_TO_READ = 1 << 16


class Seen(NamedTuple):
    """A picture: when it came, how old it was then, its bytes, and how wide it was made."""

    at: float
    age: float
    size: int
    width: int


class LivePage:
    """Watches over connections that ``connect`` opens, on a machine whose clock is the daemon's.

    ``host`` is the Host that it asks for, ``path`` where the page is. ``streams`` says how many
    streams it has opened, ``reports`` how often it has reported.
    """

    def __init__(self, connect: Callable[[], socket], host: str, path: str = "/") -> None:
        self.streams = 0
        self.reports = 0
        self.state: dict[str, Any] = {}
        self._connect = connect
        self._host = host
        self._path = path
        self._key = ""
        self._asking: HTTPConnection | None = None

    def pictures(self) -> Iterator[Seen]:
        """Yield each picture as it comes; opens the stream again where the page would."""
        wish: dict[str, str] = {}
        while True:
            connection = self._connection()
            try:
                pace = _Pace(_PATIENCE[min(self.streams, len(_PATIENCE) - 1)])
                yield from self._stream(self._open(connection, wish), pace)
            finally:
                connection.close()
                self.close()
            wish = pace.wish(can_shrink=self.state.get("quality") != "full")

    def close(self) -> None:
        """Close the connection of the reports."""
        if self._asking is not None:
            self._asking.close()
        self._asking = None

    def _connection(self) -> HTTPConnection:
        connection = HTTPConnection(self._host)
        connection.sock = self._connect()
        return connection

    def _open(self, connection: HTTPConnection, wish: dict[str, str]) -> HTTPResponse:
        self.streams += 1
        self._key = f"stream{self.streams}"
        query = urlencode({"v": 1, "key": self._key, "quality": "auto", **wish})
        connection.request("GET", f"{self._path}live?{query}")
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Content-Encoding"]) == (200, None)
        return answer

    def _stream(self, answer: HTTPResponse, pace: _Pace) -> Iterator[Seen]:
        parser = StreamParser(live=True)
        while not pace.is_lost:
            data = answer.read1(_TO_READ)
            assert data, "the stream has ended"
            now = time.time()
            pace.count(now, len(data))
            for part in parser.feed(data):
                if part.is_state:
                    self.state = part.state
                    continue
                age, size = now - float(part.timestamp), len(part.body)
                pace.picture(age, size)
                yield Seen(now, age, size, int(part.headers.get("x-quality", 0)))
            if pace.is_to_report(now):
                self._report(pace)

    def _report(self, pace: _Pace) -> None:
        """Send a report; its answer is read before the next, for it must not hold up the stream."""
        if self._asking is None:
            self._asking = self._connection()
        else:
            self._asking.getresponse().read()
        self.reports += 1
        query = urlencode({"key": self._key, "age": f"{pace.lag:.3f}", "rate": f"{pace.rate:.0f}"})
        self._asking.request("POST", f"{self._path}live/report?{query}")


class _Pace:
    """How one stream keeps up."""

    def __init__(self, patience: float) -> None:
        self.lag = 0.0
        self._began = time.time()
        self._patience = patience
        self._chunks: deque[tuple[float, int]] = deque()
        self._bytes = self._pictures = 0
        self._is_behind = False
        self._turned = self._began
        self._reported = 0.0

    @property
    def rate(self) -> float:
        """Bytes a second."""
        seconds = self._chunks[-1][0] - self._chunks[0][0]
        return sum(size for _, size in self._chunks) / seconds if seconds else 0.0

    def count(self, now: float, size: int) -> None:
        """Count what has come."""
        self._chunks.append((now, size))
        while now - self._chunks[0][0] > _WINDOW:
            self._chunks.popleft()

    def picture(self, age: float, size: int) -> None:
        """Count a picture."""
        self.lag = age
        self._bytes += size
        self._pictures += 1

    def is_to_report(self, now: float) -> bool:
        """Return whether it is time for a report."""
        is_late = self.lag > (_CAUGHT_UP if self._is_behind else _BEHIND)
        if is_late == self._is_behind:
            self._turned = now
        has_turned = now - self._turned > _LASTING
        if has_turned:
            self._is_behind = is_late
        is_due = self._is_behind and self.lag > _BEHIND and now - self._reported > _REPORT_EACH
        if has_turned or is_due:
            self._reported = now
        return has_turned or is_due

    @property
    def is_lost(self) -> bool:
        """Whether only a new stream gets past what lies in buffers."""
        now = time.time()
        is_late = self._is_behind and self.lag > _TOO_LATE and now - self._reported > _LASTING
        return is_late and now - self._began >= self._patience

    def wish(self, *, can_shrink: bool) -> dict[str, str]:
        """Return what the next stream should be asked for."""
        rate = 0.8 * self.rate
        wish = {"rate": f"{rate:.0f}"}
        if not can_shrink:
            wish["fps"] = f"{min(30.0, max(0.1, rate * self._pictures / self._bytes)):.2f}"
        return wish
