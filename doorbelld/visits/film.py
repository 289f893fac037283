"""Film: the pictures of a visit, in a file of JPEGs one after the other; and the folder of films.

A film is written from its start to its end and never changed. Where each picture begins, and its
moment, is in the index, as 8 bytes a picture; the file alone is enough to find the pictures again.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
import threading
import time
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

from doorbelld.drivers.errors import describe
from doorbelld.media.frame import Frame
from doorbelld.media.splitter import Splitter
from doorbelld.system import files as system_files
from doorbelld.visits.index import Counts, VisitIndex
from doorbelld.visits.visit import SPACE, StoreError, reason_of

_ENTRY = struct.Struct("<Ii")
"""Of each frame: its bytes, and its moment in tenths of a millisecond."""

_TICKS = 10_000

_INTERVAL = 1.0
"""Seconds between two changes of the index while a film is written."""

_CHUNK = 1 << 20
"""Bytes that are read at once to find frames again."""

_USUAL_INTERVAL = 0.1
"""Seconds between two frames where it is not known any more."""

_OURS = re.compile(r"([1-9][0-9]{0,14})\.(mjpeg|jpg|jpg\.new)")
"""The names of films and stills; the last kind is one that is being written."""

_INDEX_NEEDS, _INDEX_FILES = 1 << 20, 2
"""Bytes that have to be free for the index to open, and files that have to be possible."""

LAST_FOUND = 10**12
"""Files with a higher number are foreign unless the index knows them: new ids would be above it."""


class FileError(StoreError):
    """A file cannot be used; the index can."""


class FilmFrame(NamedTuple):
    """Where a picture is in the film, in bytes, and its moment in seconds from the first press."""

    offset: int
    length: int
    moment: float


def pack(frames: Iterable[FilmFrame]) -> bytes:
    """Return the frames as the index keeps them. They follow each other without a gap."""
    return b"".join(_ENTRY.pack(each.length, round(each.moment * _TICKS)) for each in frames)


def unpack(data: bytes) -> list[FilmFrame]:
    """Return the frames that :func:`pack` made this of."""
    frames, offset = [], 0
    for length, ticks in _ENTRY.iter_unpack(data[: len(data) // _ENTRY.size * _ENTRY.size]):
        frames.append(FilmFrame(offset, length, ticks / _TICKS))
        offset += length
    return frames


def count(frames: Sequence[FilmFrame]) -> Counts:
    """Return how many frames there are, how long they take, and so on."""
    if not frames:
        return Counts(0, 0.0, 0.0, 0)
    first, last = frames[0], frames[-1]
    seconds = max(last.moment - first.moment, 0.0)
    return Counts(len(frames), seconds, max(-first.moment, 0.0), last.offset + last.length)


def open_regular(path: Path, flags: int = 0) -> int:
    """Open a regular file for reading; return its descriptor. Raises OSError.

    Never waits, as opening a named pipe would. It follows links unless ``flags`` forbid it.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return fd


def find_frames(path: Path, known: Sequence[FilmFrame] = ()) -> list[FilmFrame]:
    """Return all frames of a film of which only some are known. Raises OSError.

    The moments of the others are estimated. A frame of which a part is missing ends the film.
    """
    with os.fdopen(open_regular(path, os.O_NOFOLLOW), "rb") as file:
        return _find_frames(file, known)


def _find_frames(file: BinaryIO, known: Sequence[FilmFrame]) -> list[FilmFrame]:
    frames = _whole_frames(file.fileno(), known)
    end = frames[-1].offset + frames[-1].length if frames else 0
    interval = _USUAL_INTERVAL
    if len(frames) > 1:
        interval = (frames[-1].moment - frames[0].moment) / (len(frames) - 1)
    moment = frames[-1].moment if frames else -interval
    splitter, start = Splitter(), end
    file.seek(start)
    while chunk := file.read(_CHUNK):
        for piece in splitter.cut(chunk):
            length = piece.end - piece.start
            if start + piece.start != end or length != len(piece.picture):
                return frames
            moment += interval
            frames.append(FilmFrame(end, length, moment))
            end += length
    return frames


def _whole_frames(fd: int, frames: Sequence[FilmFrame]) -> list[FilmFrame]:
    """Return those of the frames that are in a file completely, whatever its index says."""
    size = os.fstat(fd).st_size
    return [frame for frame in frames if frame.offset + frame.length <= size]


class Film:
    """A film that can be read, also while it is written or deleted. Close it after use.

    ``frames`` are the pictures that it had when it was opened, without those that it has lost.
    """

    def __init__(self, path: Path, frames: Sequence[FilmFrame]) -> None:
        """Open the file. Raises OSError."""
        self.path = path
        self._fd = open_regular(path)
        self.frames: Sequence[FilmFrame] = _whole_frames(self._fd, frames)
        self.bytes = self.frames[-1].offset + self.frames[-1].length if self.frames else 0

    def open(self) -> int:
        """Return a descriptor of the file, which the caller closes. Read it by offset."""
        return os.dup(self._fd)

    def read(self, number: int) -> bytes:
        """Return a picture, from 0. Raises IndexError, OSError, and EOFError if it is cut off."""
        frame = self.frames[number]
        data = os.pread(self._fd, frame.length, frame.offset)
        if len(data) < frame.length:
            raise EOFError(f"{self.path}: it ends in picture {number}")
        return data

    def close(self) -> None:
        """Close the file; may be called twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Film:
        """Return the film."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the film."""
        self.close()


class FilmWriter:
    """Writes the film of a visit that is open. The store makes it; one thread uses it.

    ``make_room`` is called with a number of bytes, and whether the disk has just refused them; it
    returns whether they fit now. After an error the film ends with its last whole picture: nothing
    more is written, and close() works as ever.
    """

    def __init__(
        self,
        path: Path,
        number: int,
        at: float,
        index: VisitIndex,
        make_room: Callable[[int, bool], bool],
    ) -> None:
        self._path = path
        self._number = number
        self._at = at
        self._index = index
        self._make_room = make_room
        self._lock = threading.RLock()
        self._fd = -1
        self._frames: list[FilmFrame] = []
        self._kept = 0  # how many of them the index has
        self._parts = 0
        self._kept_at = 0.0
        self._has_ended = False

    def append(self, frame: Frame) -> None:
        """Add a picture at the end; once a second, note in the index what was added.

        Raises StoreError if that is not possible, and then the film has ended. A film that has
        ended, or was deleted, is left as it is.
        """
        with self._lock:
            if self._has_ended:
                return
            try:
                self._append(frame)
                # The seconds before the press are noted as soon as they are complete.
                is_pressed = not self._parts and frame.captured_at >= self._at
                if is_pressed or time.monotonic() >= self._kept_at + _INTERVAL:
                    self._keep()
            except StoreError:
                self._has_ended = True
                raise

    def close(self) -> None:
        """Put the film on the disk for good, and close it. Raises StoreError; may be called twice.

        What the index has of it is safe with the store's finish().
        """
        with self._lock:
            self._has_ended = True
            fd, self._fd = self._fd, -1
            if fd < 0:
                return
            try:
                os.fsync(fd)
            except OSError as error:
                raise self._explain(error) from error
            finally:
                os.close(fd)
                self._retry(self._keep_all)

    def abandon(self) -> None:
        """End the film, because it is deleted."""
        with self._lock:
            self._has_ended = True
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)

    def give_up(self) -> bool:
        """End the film and free its bytes for something more important; return if it had any.

        Raises StoreError.
        """
        with self._lock:
            has_some, self._frames = bool(self._frames), []
            self.abandon()
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:
                raise self._explain(error) from error
            if has_some:
                self._keep_all()
            return has_some

    def _append(self, frame: Frame) -> None:
        if self._fd < 0:
            self._open(len(frame.data))
        offset = self._frames[-1].offset + self._frames[-1].length if self._frames else 0
        self._retry(lambda: self._write(frame.data, offset), len(frame.data))
        self._frames.append(FilmFrame(offset, len(frame.data), frame.captured_at - self._at))

    def _open(self, size: int) -> None:
        if not self._make_room(size, False):
            raise StoreError(f"{self._path}: there is no room for a film", SPACE)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        self._retry(lambda: setattr(self, "_fd", os.open(self._path, flags, 0o600)), size)
        self._kept_at = time.monotonic()

    def _write(self, data: bytes, offset: int) -> None:
        """Write all of it, or nothing. Raises OSError."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            os.ftruncate(self._fd, offset)
            os.lseek(self._fd, offset, os.SEEK_SET)
            raise

    def _retry(self, action: Callable[[], None], size: int = 0) -> None:
        """Do something for which there may be no room: then make some and try again."""
        for is_last in (False, True):
            try:
                action()
                return
            except (OSError, StoreError) as error:
                known = error if isinstance(error, StoreError) else self._explain(error)
                if is_last or known.reason != SPACE or not self._make_room(size, True):
                    raise known from error

    def _explain(self, error: OSError) -> StoreError:
        reason = reason_of(error)
        return StoreError(f"{self._path}: {error.strerror}", reason)

    def _keep(self) -> None:
        """Note in the index what it does not have yet."""
        self._kept_at = time.monotonic()
        if not self._make_room(0, False):
            raise StoreError(f"{self._path}: there is no room for more of the film", SPACE)
        if new := self._frames[self._kept :]:
            self._retry(lambda: self._add(self._parts, new))
            self._parts += 1
            self._kept += len(new)

    def _add(self, part: int, frames: Sequence[FilmFrame]) -> None:
        self._index.add_frames(self._number, part, pack(frames), count(self._frames))

    def _keep_all(self) -> None:
        frames = self._frames
        self._index.add_frames(self._number, 0, pack(frames), count(frames), is_last=True)


class VisitFiles:
    """The films and stills of one folder, by the ids of their visits.

    The methods raise StoreError if they say nothing else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = -1

    def lock(self) -> None:
        """Make the folder, and keep other processes out of it. Raises OSError, too."""
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except FileExistsError as error:
            raise StoreError(
                f"{self.folder}: it is not a folder, or a link that leads nowhere; move it away"
            ) from error
        try:
            self._lock = system_files.lock(self.folder)
        except BlockingIOError as error:
            raise StoreError(
                f"{self.folder}: another doorbelld keeps its visits there; give one of them "
                "another STATE_DIRECTORY"
            ) from error

    @property
    def is_locked(self) -> bool:
        """Whether this process keeps others out."""
        return self._lock >= 0

    def unlock(self) -> None:
        """Let other processes in again."""
        fd, self._lock = self._lock, -1
        if fd >= 0:
            os.close(fd)

    def explain(self, error: Exception) -> StoreError:
        """Return the StoreError that says what has happened here."""
        if isinstance(error, StoreError):
            return error
        if not isinstance(error, OSError):
            return StoreError(f"{self.folder}: {describe(error)}")
        reason = reason_of(error)
        return FileError(f"{error.filename or self.folder}: {error.strerror}", reason)

    def film_path(self, number: int) -> Path:
        """Return where the film of a visit is."""
        return self.folder / f"{number}.mjpeg"

    def still_path(self, number: int) -> Path:
        """Return where the newest still of a visit is."""
        return self.folder / f"{number}.jpg"

    def still(self, number: int) -> bytes | None:
        """Return the newest still of a visit; None if it has none."""
        try:
            with os.fdopen(open_regular(self.still_path(number)), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.explain(error) from error

    def write_still(self, number: int, data: bytes) -> None:
        """Replace the file in one step. It is on the disk for good once the visit has ended."""
        new = self.folder / f"{number}.jpg.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
                file.write(data)
            new.replace(self.still_path(number))
        except OSError as error:
            with suppress(OSError):
                new.unlink()
            raise self.explain(error) from error

    def sync_still(self, number: int) -> None:
        """Put a still on the disk for good, if there is one."""
        try:
            system_files.sync(self.still_path(number))
        except FileNotFoundError:
            return
        except OSError as error:
            raise self.explain(error) from error

    def remove_all(self, numbers: Iterable[int]) -> None:
        """Remove all files of visits. Raises the first error after the last file."""
        errors = []
        for number in numbers:
            for path in (self.film_path(number), self.still_path(number)):
                try:
                    self.remove(path)
                except StoreError as error:
                    errors.append(error)
        if errors:
            raise errors[0]

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise self.explain(error) from error

    def remove_oldest_film(self) -> bool:
        """Remove the film with the lowest id if the disk is full; return whether it was."""
        disk = os.statvfs(self.folder)
        is_full = disk.f_bavail * disk.f_frsize < _INDEX_NEEDS
        if disk.f_files:  # Else the number of files has no limit there.
            is_full = is_full or disk.f_favail < _INDEX_FILES
        numbers = [int(path.stem) for path in self.folder.glob("*.mjpeg") if _is_ours(path)]
        if not (numbers and is_full):
            return False
        self.remove(self.film_path(min(numbers)))
        return True

    def names(self) -> set[str]:
        """Return the names of all files. Raises OSError."""
        return set(os.listdir(self.folder))  # noqa: PTH208  # a Path for each would be slow

    def ids(self, names: Iterable[str], there: Container[str]) -> set[int]:
        """Return the ids of films and stills; delete stills that are half written."""
        found = set()
        for name in filter(None, map(_OURS.fullmatch, names)):
            path = self.folder / name[0]
            if name[0] in there and not _is_ours(path):
                continue
            if name[2] == "jpg.new":
                self.remove(path)
            else:
                found.add(int(name[1]))
        return found

    def last_id(self) -> int:
        """Return the highest id that a file has; 0 if there is none, or it cannot be known."""
        try:
            names = self.names()
        except OSError:
            return 0
        numbers = {int(found[1]) for found in map(_OURS.fullmatch, names) if found}
        return max((number for number in numbers if number <= LAST_FOUND), default=0)


def _is_ours(path: Path) -> bool:
    return bool(_OURS.fullmatch(path.name)) and path.is_file() and not path.is_symlink()
