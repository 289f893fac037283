"""StreamParser: reads the MJPEG stream in both of its forms, and the page's; accepts no mistake.

This is the only parser of the stream in the tests. It has the form of the stream written down a
second time, so that a mistake in the daemon's own code shows.
"""

from __future__ import annotations

import json
import re
from io import RawIOBase
from typing import IO, Any, NamedTuple

_HEAD = re.compile(
    rb"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: (0|[1-9]\d*)\r\n"
    rb"X-Timestamp: (\d+\.\d{6})\r\n\r\n"
)
_LIVE_HEAD = re.compile(
    rb"--frame\r\nContent-Type: (?:"
    rb"image/jpeg\r\nContent-Length: (?P<picture>0|[1-9]\d*)\r\nX-Timestamp: \d+\.\d{6}\r\n"
    rb"(?:X-Quality: [1-9]\d*\r\n)?"
    rb"|application/json\r\nContent-Length: (?P<state>[1-9]\d*)\r\n)\r\n"
)
_BOUNDARY = b"--frame\r\n"
_ENDING = _BOUNDARY + b"X-Ended: "
_ADVANCE_HEAD = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"
_LONGEST_HEAD = 200


class Part(NamedTuple):
    """One part: its headers with lower-case names, and its body."""

    headers: dict[str, str]
    body: bytes

    @property
    def timestamp(self) -> str:
        """Its X-Timestamp; "" in the advance form, which has none."""
        return self.headers.get("x-timestamp", "")

    @property
    def is_state(self) -> bool:
        """Whether it is the state, and no picture."""
        return self.headers["content-type"] == "application/json"

    @property
    def state(self) -> dict[str, Any]:
        """The state that it holds."""
        assert self.is_state, f"a picture: {self.headers}"
        found: dict[str, Any] = json.loads(self.body)
        return found


class StreamParser:
    """Takes what follows the head of the response. Raises AssertionError for a torn stream.

    ``advance`` is the form for browsers, which has the next part's headers behind each picture,
    ``live`` the page's stream, which has the state between pictures.
    ``ended`` says that the daemon has ended the stream, ``count`` how many parts have come.
    There is no closing boundary in either form.
    """

    def __init__(self, *, advance: bool = False, live: bool = False) -> None:
        self.ended = False
        self.count = 0
        self._advance = advance
        self._head = _LIVE_HEAD if live else _HEAD
        self._take = self._take_advance if advance else self._take_exact
        self._buffer = bytearray()
        self._begun = False
        self._searched = 0

    @property
    def between_parts(self) -> bool:
        """Whether all parts so far are complete, and the beginning of the next has come."""
        return bytes(self._buffer) in ((b"",) if self._advance else (_BOUNDARY, _ENDING))

    def feed(self, data: bytes) -> list[Part]:
        """Take received bytes; return the parts that they complete."""
        self._buffer += data
        found = []
        while part := self._take():
            found.append(part)
        self.count += len(found)
        return found

    def read(self, file: IO[bytes] | RawIOBase) -> Part | None:
        """Read one part and not a byte more; None at the end of the stream."""
        while True:
            missing = self._missing()
            data = file.read(missing) if missing else file.readline()
            if not data:
                assert self.between_parts, f"cut off: {bytes(self._buffer[:80])!r}"
                return None
            for part in self.feed(data):
                return part

    def _missing(self) -> int:
        """Return how many bytes the part still needs; 0 if its head is not complete."""
        head = self._head.match(self._buffer)
        return head.end() + _length(head) + 2 - len(self._buffer) if head else 0

    def _take_exact(self) -> Part | None:
        head = self._head.match(self._buffer)
        if head is None:
            self._check_incomplete_head()
            return None
        end = head.end() + _length(head)
        if len(self._buffer) < end + 2:
            return None
        lines = head[0].decode("ascii").split("\r\n")[1:-2]
        headers = dict(line.lower().split(": ") for line in lines)
        part = Part(headers, bytes(self._buffer[head.end() : end]))
        assert self._buffer[end : end + 2] == b"\r\n", "the part is longer than it says"
        del self._buffer[: end + 2]
        return part

    def _check_incomplete_head(self) -> None:
        self._check_start(_BOUNDARY)
        self.ended = self._buffer == _ENDING
        start = bytes(self._buffer[:_LONGEST_HEAD])
        assert b"\r\n\r\n" not in start, f"not the head of a part: {start!r}"
        assert len(start) < _LONGEST_HEAD, f"not the head of a part: {start!r}"

    def _take_advance(self) -> Part | None:
        if not self._begun:
            self._check_start(_ADVANCE_HEAD)
            self._begun = len(self._buffer) >= len(_ADVANCE_HEAD)
            if not self._begun:
                return None
            del self._buffer[: len(_ADVANCE_HEAD)]
        marker = b"\r\n" + _ADVANCE_HEAD
        end = self._buffer.find(marker, self._searched)
        if end < 0:
            self._searched = max(0, len(self._buffer) - len(marker))
            return None
        part = Part({"content-type": "image/jpeg"}, bytes(self._buffer[:end]))
        del self._buffer[: end + len(marker)]
        self._searched = 0
        return part

    def _check_start(self, start: bytes) -> None:
        seen = bytes(self._buffer[: len(start)])
        assert start.startswith(seen), f"torn: {bytes(self._buffer[:80])!r}"


def _length(head: re.Match[bytes]) -> int:
    """Return the Content-Length in the head of a part."""
    return int(next(each for each in head.groups() if each))
