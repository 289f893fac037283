"""The ``file:`` source with JPEGs, from files or a named pipe, passed on without OpenCV.

Files are played at the configured rate and start again at their end. A pipe is live: any program
that writes JPEGs into it, one after the other, is a camera (``rpicam-vid --codec mjpeg -o pipe``).
"""

from __future__ import annotations

import errno
import logging
import os
import select
import stat
import threading
import time
from array import array
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from doorbelld.camera.base import CameraSettings, Shot
from doorbelld.drivers.errors import CameraError, GoneError, Reason, reason_of
from doorbelld.media import jpeg, picture
from doorbelld.system.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from io import FileIO
    from pathlib import Path

    from doorbelld.media.splitter import Piece

logger = logging.getLogger(__name__)

SUFFIXES = (".mjpeg", ".mjpg")
_PICTURES = (".jpg", ".jpeg")

_STILL_RATE = 2.0
"""Pictures a second of a file with a single one: the page counts older ones as old."""

_CHUNK = 64 * 1024
_AT_ONCE = 1024 * 1024
"""Bytes taken from a pipe at once, as many as it can hold: we must not get stuck on a writer
that never pauses."""

_MOST_WITHOUT_PICTURE = 2 * jpeg.LARGEST
"""Bytes. A file that has more without a picture in between is not a film."""


class _Positions:
    """Where the pictures of a file start and end, and which of them need no repair.

    ``state`` is that of the file when it had been read to its end; until then it is None.
    """

    def __init__(self) -> None:
        self.state: object = None
        self._starts, self._ends = array("Q"), array("Q")
        self._sound = bytearray()

    def add(self, start: int, end: int, *, is_sound: bool) -> None:
        """Add the next picture."""
        self._starts.append(start)
        self._ends.append(end)
        self._sound.append(is_sound)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._starts)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Return start, end and soundness of each."""
        return zip(self._starts, self._ends, self._sound)


class MjpegCamera:
    """A file of JPEGs one after the other, or a folder of them, played over and over."""

    def __init__(self, path: Path, settings: CameraSettings) -> None:
        self.invalid = 0
        self.name = f"File {path}"
        self.mode = ""
        self._path = path
        self._is_picture = path.suffix.lower() in _PICTURES and not path.is_dir()
        rate = settings.framerate
        self._pace = Pace(min(rate, _STILL_RATE) if self._is_picture else rate)
        self._checker = picture.Checker()
        self._pictures = self._play()
        self._next: bytes | Callable[[], bytes] | None = None
        # Any thread may load a picture of this round or, before the next one is due, of the last.
        self._lock = threading.Lock()
        self._last_file: FileIO | None = None
        self._positions = _Positions()

    def open(self) -> None:
        """Find the first picture. Raises CameraError if there is none, or it cannot be read."""
        self._pictures = self._play()
        try:
            self._next = self._take()
        except BaseException:
            self.close()
            raise

    def read(self, timeout: float) -> Shot | None:
        """Return the next picture when it is due, or None if that is not within ``timeout``."""
        if self._next is None:
            self._next = self._take()
        due = self._pace.wait(timeout)
        if due is None:
            return None
        found, self._next = self._next, None
        return Shot(found, due) if isinstance(found, bytes) else Shot(b"", due, found)

    def close(self) -> None:
        """Close the file, if there is one."""
        self._pictures.close()
        self._next = None
        self._keep(None)

    def _take(self) -> bytes | Callable[[], bytes]:
        try:
            return next(self._pictures)
        except StopIteration:
            text = f"There is no JPEG picture in {self._path}"
            raise CameraError(text, Reason.DAMAGED) from None
        except OSError as error:
            raise _unreadable(self._path, error) from error
        except MemoryError:
            self._pictures = self._play()  # that generator has ended
            raise

    def _play(self) -> Generator[bytes | Callable[[], bytes], None, None]:
        """Yield the pictures for ever; end after a whole round without any."""
        played = True
        while played:
            played = False
            for data in self._round():
                played = True
                yield data

    def _round(self) -> Iterator[bytes | Callable[[], bytes]]:
        """Yield every picture once."""
        if self._path.is_dir():
            return self._folder(sorted(self._path.iterdir()))
        return self._folder([self._path]) if self._is_picture else self._file()

    def _file(self) -> Iterator[bytes | Callable[[], bytes]]:
        with self._opened() as file:
            state = _state(file)
            if state == self._positions.state:
                for start, end, is_sound in self._positions:
                    yield partial(self._load, file, start, end, state if is_sound else None)
            else:
                self._positions = _Positions()
                yield from self._search(file)
                self._positions.state = state

    def _search(self, file: FileIO) -> Iterator[bytes]:
        """Yield the pictures, and remember where they are."""
        splitter = jpeg.Splitter()
        unused = 0
        while chunk := file.read(_CHUNK):
            counted = splitter.invalid
            pictures = splitter.cut(chunk)
            self.invalid += splitter.invalid - counted
            unused = 0 if pictures else unused + len(chunk)
            if unused > _MOST_WITHOUT_PICTURE:
                text = f"{self._path} has {unused // 2**20} MB without a JPEG picture"
                raise CameraError(text, Reason.DAMAGED)
            yield from self._remember(pictures)
        counted = splitter.invalid
        yield from self._remember(splitter.end())
        self.invalid += splitter.invalid - counted
        if counted and not self._positions:
            text = f"There are only damaged pictures in {self._path}"
            raise CameraError(text, Reason.DAMAGED)

    def _remember(self, pictures: Sequence[Piece]) -> Iterator[bytes]:
        for start, end, data in pictures:
            self._positions.add(start, end, is_sound=len(data) == end - start)
            yield data

    @contextmanager
    def _opened(self) -> Iterator[FileIO]:
        file = self._path.open("rb", buffering=0)
        try:
            yield file
        finally:
            self._keep(file)

    def _keep(self, file: FileIO | None) -> None:
        """Keep the file of the round that has ended, and close the one before it."""
        with self._lock:
            last, self._last_file = self._last_file, file
            if last is not None:
                last.close()

    def _load(self, file: FileIO, start: int, end: int, sound_state: object) -> bytes:
        """Return the picture from where it was; in any thread. Raises ValueError.

        It needs no repair while the file is in ``sound_state``; None if it needs one anyway.
        """
        with self._lock:
            if file.closed:
                raise GoneError("the file was closed")
            data = os.pread(file.fileno(), end - start, start)
            is_sound = sound_state is not None and _state(file) == sound_state
        return data if is_sound else self._checker.mend(data)

    def _folder(self, paths: Sequence[Path]) -> Iterator[bytes]:
        for path in paths:
            if path.suffix.lower() not in _PICTURES or not path.is_file():
                continue
            with path.open("rb", buffering=0) as file:
                data = file.read(jpeg.LARGEST + 1)
            try:
                yield self._checker.mend(data)
            except ValueError as error:
                logger.debug("%s: %s", path, error)
                self.invalid += 1


def _state(file: FileIO) -> object:
    """Return what changes if the file does."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class PipeCamera:
    """A named pipe that another program writes JPEGs into, live."""

    def __init__(self, path: Path) -> None:
        self.name = f"Pipe {path}"
        self.mode = ""
        self._path = path
        self._fd = -1
        self._poll = select.poll()
        self._splitter = jpeg.Splitter()

    @property
    def invalid(self) -> int:
        """How many pictures in the stream were incomplete."""
        return self._splitter.invalid

    def open(self) -> None:
        """Open the pipe for reading. Raises CameraError; there may be no writer yet."""
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _unreadable(self._path, error) from error
        self._poll.register(self._fd, select.POLLIN)

    def read(self, timeout: float) -> Shot | None:
        """Return the newest whole picture, or None if none came within ``timeout``.

        Raises CameraError when the last writer has closed the pipe.
        """
        deadline = time.monotonic() + timeout
        left = timeout
        while left >= 0 and self._poll.poll(left * 1000):
            arrived = time.monotonic()
            pictures = self._feed()
            if pictures:
                return Shot(pictures[-1], arrived)
            # We must not get stuck on a writer that never pauses and sends no picture.
            left = deadline - time.monotonic()
        return None

    def close(self) -> None:
        """Close the pipe."""
        if self._fd >= 0:
            self._poll.unregister(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _feed(self) -> list[bytes]:
        try:
            return self._splitter.feed(self._drain())
        except MemoryError:
            # Some data is lost: the halves of two pictures must not become one.
            self._splitter.forget()
            raise

    def _drain(self) -> bytearray:
        """Return all data in the pipe, to find the newest of several pictures."""
        data = bytearray()
        while len(data) < _AT_ONCE:
            try:
                chunk = os.read(self._fd, _CHUNK)
            except BlockingIOError:
                break
            if not chunk:
                break
            data += chunk
        if not data:
            text = f"The program writing pictures to {self._path} has stopped"
            raise CameraError(text, Reason.SILENT)
        return data


def _unreadable(path: Path, error: OSError) -> CameraError:
    return CameraError(f"Cannot read {path}: {error.strerror}", reason_of(error))


def mjpeg_camera(path: Path, settings: CameraSettings) -> MjpegCamera | PipeCamera | None:
    """Return the camera that plays ``path``; None if that is another kind of file.

    Raises CameraError if there is nothing at ``path``.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise CameraError(f"There is no file {path}", Reason.MISSING) from error
        raise _unreadable(path, error) from error
    if stat.S_ISFIFO(mode):
        return PipeCamera(path)
    if stat.S_ISDIR(mode) or path.suffix.lower() in SUFFIXES + _PICTURES:
        return MjpegCamera(path, settings)
    return None
