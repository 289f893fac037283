"""Parts: takes the stream apart as it comes, in either form, and forgives nothing.

What a stream looks like is written here a second time, so that a mistake in the daemon's own
words for it shows.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_EXACT = re.compile(
    rb"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: (0|[1-9]\d*)\r\n"
    rb"X-Timestamp: (\d+\.\d{6})\r\n\r\n"
)
_ADVANCE = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"
_CLOSING = b"--frame--\r\n"
_LONGEST_HEAD = 200


class Picture(NamedTuple):
    """What one part held; the advance form tells no time."""

    data: bytes
    timestamp: str


class PartReader:
    """Feed it what was received after the answer's head; AssertionError for a torn stream.

    ``ended`` tells that the exact form was ended properly, ``count`` how many pictures came.
    """

    def __init__(self, *, advance: bool) -> None:
        self.ended = False
        self.count = 0
        self._take = self._take_advance if advance else self._take_exact
        self._advance = advance
        self._buffer = bytearray()
        self._begun = False
        self._searched = 0

    @property
    def between_parts(self) -> bool:
        """Whether all that came was whole, and nothing is open."""
        return not self._buffer

    def feed(self, data: bytes) -> list[Picture]:
        """Take what was received; return the pictures that it makes whole."""
        assert not (self.ended and data), f"more after the end: {data[:80]!r}"
        self._buffer += data
        found = []
        while picture := self._take():
            found.append(picture)
        self.count += len(found)
        return found

    def _take_exact(self) -> Picture | None:
        head = _EXACT.match(self._buffer)
        if head is None:
            if self._buffer == _CLOSING:
                self.ended = True
                self._buffer.clear()
            else:
                self._must_begin_like(b"--frame\r\n", _CLOSING)
                start = bytes(self._buffer[:_LONGEST_HEAD])
                assert b"\r\n\r\n" not in start, f"not the head of a part: {start!r}"
                assert len(start) < _LONGEST_HEAD, f"not the head of a part: {start!r}"
            return None
        end = head.end() + int(head[1])
        if len(self._buffer) < end + 2:
            return None
        picture = Picture(bytes(self._buffer[head.end() : end]), head[2].decode())
        assert self._buffer[end : end + 2] == b"\r\n", "the part is longer than it says"
        del self._buffer[: end + 2]
        return picture

    def _take_advance(self) -> Picture | None:
        if not self._begun:
            self._must_begin_like(_ADVANCE)
            self._begun = len(self._buffer) >= len(_ADVANCE)
            if not self._begun:
                return None
            del self._buffer[: len(_ADVANCE)]
        marker = b"\r\n" + _ADVANCE
        end = self._buffer.find(marker, self._searched)
        if end < 0:
            self._searched = max(0, len(self._buffer) - len(marker))
            return None
        picture = Picture(bytes(self._buffer[:end]), "")
        del self._buffer[: end + len(marker)]
        self._searched = 0
        return picture

    def _must_begin_like(self, *starts: bytes) -> None:
        seen = self._buffer
        assert any(seen.startswith(start) or start.startswith(bytes(seen)) for start in starts), (
            f"torn: {bytes(seen[:80])!r}"
        )
