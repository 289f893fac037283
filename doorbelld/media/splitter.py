"""Splitter: finds the pictures in a stream of bytes."""

from __future__ import annotations

import re
from enum import Enum

from doorbelld.media import markers

_EOI = b"\xff\xd9"

START = re.compile(rb"\xff\xd8\xff[^\x00\xd8\xd9]")
"""The start of a picture: SOI and another marker, which is not EOI or a second SOI."""

_SLACK = 16
"""Bytes after a segment, of fill and of markers without a length, that may belong to it."""


class _Walk(Enum):
    """Where a walk along a picture's markers ended."""

    WHOLE = "at its end"
    BROKEN = "at bytes that no JPEG has there"
    UNFINISHED = "at the end of the bytes that have arrived"


class Splitter:
    """Cuts a stream of bytes into whole JPEGs.

    It walks from marker to marker, so it does not mistake a thumbnail inside an APP segment for
    a picture. Bytes that are not part of a JPEG are skipped. ``invalid`` counts pictures that
    began and broke off. It holds at most ``limit`` bytes besides the bytes of one :meth:`feed`.

    Its cost is linear in the bytes of any stream: where a picture breaks off, only its last
    segment, which has at most 64 KiB, is searched again.
    """

    def __init__(self, limit: int = markers.LARGEST) -> None:
        self.invalid = 0
        self._limit = limit
        self._buffer = bytearray()
        self._skipped = 0  # how many bytes of the stream came before the buffer
        self._at = 0  # how far the picture at the buffer's start has been walked
        self._sound = 0  # how much of it is to be skipped if it breaks off
        self._in_scan = False
        self._segment_end = 0
        self._segments = 0
        self._has_scan = False

    def feed(self, data: bytes | bytearray) -> list[bytes]:
        """Add the stream's next bytes; return the pictures that they complete, oldest first."""
        return [picture for _, picture in self.cut(data)]

    def cut(self, data: bytes | bytearray) -> list[tuple[int, bytes]]:
        """Do the same; give with each picture how many bytes of the stream came before it."""
        self._buffer += data
        pictures = []
        while self._at or self._find_start():
            reached = self._walk()
            if reached is _Walk.UNFINISHED and len(self._buffer) <= self._limit:
                break
            if reached is _Walk.WHOLE:
                pictures.append((self._skipped, bytes(memoryview(self._buffer)[: self._at])))
                self._drop(self._at)
            else:
                self.invalid += 1
                self._drop(self._sound)
        return pictures

    def forget(self) -> None:
        """Drop the picture that has begun, because a part of the stream was lost."""
        self.invalid += bool(self._at)
        self._drop(len(self._buffer))

    def _drop(self, length: int) -> None:
        self._skip(length)
        self._at = 0
        self._in_scan = False

    def _skip(self, length: int) -> None:
        self._skipped += length
        del self._buffer[:length]

    def _find_start(self) -> bool:
        """Drop what comes before the next SOI; return whether there is one."""
        found = START.search(self._buffer)
        if found is None:
            self._skip(max(len(self._buffer) - 3, 0))  # The last bytes may begin an SOI.
            return False
        self._skip(found.start())
        self._at = self._sound = self._segment_end = 2
        self._segments = 0
        self._has_scan = False
        return True

    def _walk(self) -> _Walk:
        """Walk on from marker to marker, as far as possible."""
        while self._skip_scan() and self._skip_fill() and self._marker_is_here():
            marker = self._buffer[self._at + 1]
            if self._buffer[self._at] != 0xFF or marker in (0x00, markers.SOI):
                return _Walk.BROKEN
            if marker == markers.EOI:
                self._at += 2
                return _Walk.WHOLE if self._has_scan else _Walk.BROKEN
            if not self._step_over(marker):
                return _Walk.BROKEN
        return _Walk.UNFINISHED

    def _skip_scan(self) -> bool:
        """Skip entropy-coded data; return whether its end has arrived."""
        if not self._in_scan:
            return True
        found = markers.AFTER_SCAN.search(self._buffer, self._at)
        if found is None:
            # The last byte may be half a marker.
            self._at = self._sound = max(self._at, len(self._buffer) - 1)
            return False
        self._at = self._sound = found.start()
        self._in_scan = False
        return True

    def _skip_fill(self) -> bool:
        """Skip all FF bytes before a marker but one; return whether the marker has arrived."""
        if not self._buffer.startswith(b"\xff\xff", self._at):
            return True
        found = markers.NOT_FILL.search(self._buffer, self._at)
        self._at = (found.start() if found else len(self._buffer)) - 1
        self._give_up_segment()
        return found is not None

    def _marker_is_here(self) -> bool:
        """Return whether the next marker has arrived, with its length unless it is EOI."""
        return self._at + 4 <= len(self._buffer) or self._buffer.startswith(_EOI, self._at)

    def _step_over(self, marker: int) -> bool:
        """Skip the marker and its segment; return whether a picture can go on like this."""
        self._segments += 1
        if marker in markers.STANDALONE:
            self._at += 2
            self._give_up_segment()
            return self._segments < markers.MOST_SEGMENTS
        start = self._at
        length = int.from_bytes(self._buffer[start + 2 : start + 4], "big")
        self._at = self._segment_end = start + 2 + length
        # If a segment is cut short, its length reaches into the next picture, which has to be
        # found there. An APP segment is different: a picture in it may be a thumbnail, which
        # must never be shown as the picture.
        self._sound = self._at if marker in markers.APPLICATION else start
        self._in_scan = marker == markers.SOS
        self._has_scan |= self._in_scan
        return length >= 2 and self._segments < markers.MOST_SEGMENTS

    def _give_up_segment(self) -> None:
        """Stop searching the last segment if many bytes have followed that are no segment.

        Otherwise every false start in it would lead to all of these bytes again.
        """
        if self._at - self._segment_end > _SLACK:
            self._sound = self._at
