"""Splitter: finds the pictures in a stream of bytes."""

from __future__ import annotations

import re
from typing import NamedTuple

from doorbelld.media import markers
from doorbelld.media.markers import Walker
from doorbelld.media.picture import Checker

START = re.compile(rb"\xff\xd8\xff[^\x00\xd8\xd9]")
"""The start of a picture: SOI and another marker, which is not EOI or a second SOI."""


class Piece(NamedTuple):
    """A picture, and where the bytes it was made of start and end in the stream."""

    start: int
    end: int
    picture: bytes


class Splitter:
    """Cuts a stream of bytes into whole JPEGs.

    It walks from marker to marker, so it does not mistake a thumbnail inside an APP segment for
    a picture. Bytes that are not part of a JPEG are skipped. A picture without an end marker ends
    where the next one starts. ``invalid`` counts pictures that began and broke off, or are
    damaged. It holds at most ``limit`` bytes besides the bytes of one :meth:`feed`.

    Its cost is linear in the bytes of any stream: where a picture breaks off, only its last
    segment, which has at most 64 KiB, is searched again.
    """

    def __init__(self, limit: int = markers.LARGEST) -> None:
        self.invalid = 0
        self._limit = limit
        self._buffer = bytearray()
        self._skipped = 0  # how many bytes of the stream came before the buffer
        self._walker: Walker | None = None  # along the picture at the buffer's start
        self._checker = Checker()

    def feed(self, data: bytes | bytearray) -> list[bytes]:
        """Add the stream's next bytes; return the pictures that they complete, oldest first."""
        return [piece.picture for piece in self.cut(data)]

    def cut(self, data: bytes | bytearray) -> list[Piece]:
        """Do the same; return with each picture its place in the stream."""
        self._buffer += data
        pieces = []
        while walker := self._walker or self._find_start():
            try:
                marker = walker.step(self._buffer)
                if marker in (markers.SOI, markers.EOI):
                    pieces.append(self._take(walker.at, walker))
                elif marker == markers.NOTHING:
                    if len(self._buffer) <= self._limit:
                        break
                    raise ValueError("it is too large")  # noqa: TRY301  # like any other fault
            except ValueError:
                self.invalid += 1
                self._drop(walker.sound)
        return pieces

    def end(self) -> list[Piece]:
        """Return what is left when the stream has ended: a picture that lacks only its end marker.

        Another one that has begun is counted as invalid.
        """
        pieces = []
        while walker := self._walker:
            try:
                pieces.append(self._take(len(self._buffer), walker))
            except ValueError:
                self.invalid += 1
                self._drop(walker.sound)
            pieces += self.cut(b"")
        return pieces

    def forget(self) -> None:
        """Drop the picture that has begun, because a part of the stream was lost."""
        self.invalid += self._walker is not None
        self._drop(len(self._buffer))

    def _take(self, end: int, walker: Walker) -> Piece:
        """Take the picture that ends at ``end``. Raises ValueError if it is damaged."""
        data = self._checker.finish(bytes(memoryview(self._buffer)[:end]), walker)
        start = self._skipped
        self._drop(end)
        return Piece(start, start + end, data)

    def _drop(self, length: int) -> None:
        self._skip(length)
        self._walker = None

    def _skip(self, length: int) -> None:
        self._skipped += min(length, len(self._buffer))
        del self._buffer[:length]

    def _find_start(self) -> Walker | None:
        """Drop what comes before the next SOI; return a walker if there is one."""
        found = START.search(self._buffer)
        if found is None:
            self._skip(max(len(self._buffer) - 3, 0))  # The last bytes may begin an SOI.
            return None
        self._skip(found.start())
        self._walker = self._checker.start(self._buffer)
        return self._walker
