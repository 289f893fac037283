"""Camera: a pipe whose every picture has a number, and that can be lost and found."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios
import threading
from array import array
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

_COMMENT = b"\xff\xfe"
_NUMBERS = struct.Struct(">II")


class Number(NamedTuple):
    """The number of a picture: how often the camera was opened before, and its place since."""

    opened: int
    place: int


def numbered(picture: bytes, number: Number) -> bytes:
    """Return a JPEG with its number in a comment at its start."""
    segment = _COMMENT + (_NUMBERS.size + 2).to_bytes(2, "big") + _NUMBERS.pack(*number)
    return picture[:2] + segment + picture[2:]


def number_of(picture: bytes) -> Number | None:
    """Return the number of such a JPEG; None if it is none, as the daemon's own cards."""
    if picture[2:4] != _COMMENT:
        return None
    return Number(*_NUMBERS.unpack_from(picture, 6))


class Camera:
    """Shows a picture ``framerate`` times a second while ``plugged``.

    It waits until the daemon has read the last one. So on a busy machine it gets slower, and no
    picture is lost on the way to the daemon: the numbers that a viewer misses were not sent to
    it.
    """

    def __init__(self, path: Path, picture: bytes, framerate: float) -> None:
        self.plugged = True
        self._path = path
        self._picture = picture
        self._interval = 1 / framerate
        self._fd = -1
        self._opened, self._count = 0, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera")
        os.mkfifo(path)

    @property
    def source(self) -> str:
        """The daemon's ``camera.source`` for it."""
        return f"file:{self._path}"

    def __enter__(self) -> Camera:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._interval):
            if self.plugged and (self._fd >= 0 or self._open()):
                self._show()
            elif not self.plugged:
                self._close()
        self._close()

    def _open(self) -> bool:
        try:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # the other end is not open yet
                raise
            return False
        self._opened, self._count = self._opened + 1, 0
        return True

    def _show(self) -> None:
        waiting = array("i", [0])
        fcntl.ioctl(self._fd, termios.FIONREAD, waiting)
        if waiting[0]:
            return
        try:
            os.write(self._fd, numbered(self._picture, Number(self._opened, self._count + 1)))
        except BrokenPipeError:
            self._close()  # The daemon opens it again.
            return
        self._count += 1

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
