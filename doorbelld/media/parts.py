"""PartReader: finds the pictures in a multipart stream, or in any other stream of bytes."""

from __future__ import annotations

import re

from doorbelld.media import markers
from doorbelld.media.splitter import START, Splitter

_EOI = b"\xff\xd9"
_LONGEST_HEAD = 4096
_LENGTH = re.compile(
    rb"(?:^|\n)content-length[ \t]*:[ \t]*(\d{1,8})[ \t]*\r?(?:\n|$)", re.IGNORECASE
)
_BLANK_LINE = re.compile(rb"\n\r?\n")
_BOUNDARY = re.compile(rb"(?:\r?\n)?--")
_NEXT_PART = re.compile(rb"[\r\n]{0,4}--[!-~]{1,80}\r?\n")
_LONGEST_NEXT = 90
"""Bytes: an end of image, and a boundary that follows it."""


class PartReader:
    """Gives a :class:`Splitter` one part after the other, by the Content-Length before it.

    So a picture ends where its part ends, whatever its last bytes are. Cameras write boundaries,
    types and lengths as they like, and nothing is asked of them: a part begins with a picture
    behind a blank line. As soon as a length is missing or wrong, the splitter gets everything from
    then on. It holds at most ``limit`` bytes besides the bytes of one :meth:`feed`, and its cost is
    linear in the bytes of any stream.
    """

    def __init__(self, limit: int = markers.LARGEST) -> None:
        self._splitter = Splitter(limit)
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0
        self._length = 0  # of the picture at the buffer's start
        self._has_lengths = True
        self._are_lengths_right = False  # as a boundary behind a part without EOI has shown

    @property
    def invalid(self) -> int:
        """How many pictures began and broke off."""
        return self._splitter.invalid

    def feed(self, data: bytes) -> list[bytes]:
        """Add the stream's next bytes; return the pictures that they complete, oldest first."""
        if not self._has_lengths:
            return self._splitter.feed(data)
        self._buffer += data
        pictures: list[bytes] = []
        while self._length or self._find_part():
            picture = self._take_part()
            if picture is None:
                break
            pictures += picture
        return pictures + self._look_through_rest()

    def end(self) -> list[bytes]:
        """Return the last picture, if the stream has ended and only its end marker is missing."""
        return [piece.picture for piece in self._splitter.end()]

    def forget(self) -> None:
        """Drop the picture that has begun, because a part of the stream was lost."""
        self._splitter.invalid += bool(self._length)
        self._splitter.forget()
        self._buffer = bytearray()
        self._length = self._searched = 0

    def _find_part(self) -> bool:
        """Drop what comes before the next picture; return whether its length is known."""
        if not self._has_lengths:
            return False
        found = START.search(self._buffer, max(self._searched - 3, 0))
        if found is None:
            del self._buffer[:-_LONGEST_HEAD]
            self._searched = len(self._buffer)
            return False
        start = found.start()
        self._length = _length(bytes(self._buffer[max(start - _LONGEST_HEAD, 0) : start]))
        self._has_lengths = 4 <= self._length <= self._limit
        if not self._has_lengths:
            self._length = 0
            return False
        del self._buffer[:start]
        self._searched = 0
        return True

    def _take_part(self) -> list[bytes] | None:
        """Return the pictures of the part at the buffer's start; None if it is not whole yet."""
        length = self._length
        if len(self._buffer) < length:
            self._has_lengths = not self._has_next_part()
            if not self._has_lengths:
                self._length = 0
            return None
        # Many cameras count the line break behind the picture.
        ends = self._buffer[max(length - 4, 0) : length].rstrip(b"\r\n").endswith(_EOI)
        is_followed = len(self._buffer) >= length + 4
        if not (ends or is_followed or self._are_lengths_right):
            return None  # What follows says whether the length is right.
        self._length = 0
        if not ends and is_followed:
            self._are_lengths_right = bool(_BOUNDARY.match(self._buffer, length))
            if not self._are_lengths_right:
                self._has_lengths = False
                return None
        pictures = self._splitter.feed(self._buffer[:length])
        if not (pictures or ends):
            pictures = [piece.picture for piece in self._splitter.end()]
        del self._buffer[:length]
        self._searched = 0
        if pictures or not ends:
            self._splitter.forget()
        else:
            self._has_lengths = False  # The picture goes on: this was the end of a thumbnail.
        return pictures[:1]

    def _has_next_part(self) -> bool:
        """Return whether another part begins in the one whose length is known: then it is wrong."""
        at = self._searched
        self._searched = max(len(self._buffer) - _LONGEST_NEXT, 0)
        while (at := self._buffer.find(_EOI, at)) >= 0:
            at += len(_EOI)
            if _NEXT_PART.match(self._buffer, at):
                return True
        return False

    def _look_through_rest(self) -> list[bytes]:
        """Return what is found in the buffer without lengths, once that is necessary."""
        if self._has_lengths:
            return []
        rest, self._buffer = self._buffer, bytearray()
        return self._splitter.feed(rest)


def _length(head: bytes) -> int:
    """Return the Content-Length in the last lines of ``head``; 0 if there is none."""
    if not head.endswith((b"\n\r\n", b"\n\n")):
        return 0
    lines = _BLANK_LINE.split(head.rstrip())[-1]
    found = _LENGTH.search(lines)
    return int(found[1]) if found else 0
