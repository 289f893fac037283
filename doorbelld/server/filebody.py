"""FileBody: the body of an answer that is too long for memory, read from a file piece by piece."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from io import FileIO
from typing import NamedTuple, Union

from doorbelld.system.limited_log import OncePerMinute

_log = logging.getLogger(__name__)
_broken = OncePerMinute()

_PIECE = 32 * 1024
"""Bytes that are read at once, which is what each client costs in memory."""


class Span(NamedTuple):
    """A part of the file."""

    offset: int
    length: int


Part = Union[Span, bytes]


class FileBody:
    """Parts of a file with bytes of ours between them, in the order in which they are sent.

    The file stays open, and so can be read to its end if it is deleted, until :meth:`close`, which
    calls ``then`` once.
    """

    __slots__ = ("_can_tell", "_file", "_parts", "_span", "_then")

    def __init__(self, file: FileIO, parts: Iterable[Part], then: Callable[[], object]) -> None:
        self._file = file
        self._parts = iter(parts)
        self._then: Callable[[], object] | None = then
        self._span = Span(0, 0)
        self._can_tell = True
        with suppress(OSError):  # The kernel then reads further ahead; not every file has that.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def read(self, *, may_wait: bool) -> memoryview:
        """Return the next piece, an empty one at the end.

        Unless it ``may_wait`` for the disk, it returns what is in memory already, and raises
        BlockingIOError if nothing is. Raises OSError if the file cannot be read, or is too short.
        """
        # The kernel writes right into it: copies would take the interpreter from the viewers.
        piece, size = bytearray(_PIECE), 0
        while size < _PIECE:
            if not self._span.length:
                part = next(self._parts, None)
                if part is None:
                    break
                if isinstance(part, bytes):
                    piece[size : size + len(part)] = part  # It grows if that is too long for it.
                    size += len(part)
                    continue
                self._span = part
                continue
            try:
                size += self._read_span(memoryview(piece)[size:], may_wait=may_wait)
            except BlockingIOError:
                if size:
                    break
                raise
            except OSError as error:
                if _broken.is_due():
                    _log.warning("%s: cannot be read: %s", self._file.name, error.strerror)
                raise
        # The last, empty one stays with the connection as long as that is kept.
        return memoryview(piece)[:size] if size else memoryview(b"")

    def close(self) -> None:
        """Close the file. May be called again."""
        self._file.close()
        then, self._then = self._then, None
        if then is not None:
            then()

    def _read_span(self, room: memoryview, *, may_wait: bool) -> int:
        """Read into ``room`` what is left of the span; return how many bytes."""
        if not (may_wait or self._can_tell):
            raise BlockingIOError
        offset, length = self._span
        try:
            flags = 0 if may_wait else os.RWF_NOWAIT
            count = os.preadv(self._file.fileno(), [room[:length]], offset, flags)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            self._can_tell = False  # This file system cannot tell what is in memory.
            raise BlockingIOError from None
        if not count:
            raise OSError(errno.EIO, "the file is shorter than it was")
        self._span = Span(offset + count, length - count)
        return count
