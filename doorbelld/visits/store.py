"""VisitStore: the visits of one folder. It keeps their index, films and stills in agreement.

A visit is deleted files first: what is left after a crash in the middle is a row without files,
which open() removes. It is written row first, so a film without a row is one that was deleted,
or one of which the index lost the row because the power failed; the ids tell them apart.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from doorbelld.system import clock
from doorbelld.visits import film as films
from doorbelld.visits.film import Film, FilmWriter
from doorbelld.visits.index import Row, VisitIndex
from doorbelld.visits.visit import SPACE, Kind, StoreError, Visit, VisitState

_INDEX = "index.sqlite"
_OURS = re.compile(r"([1-9][0-9]{0,17})\.(mjpeg|jpg|jpg\.new)")
"""The names of films and stills; the last kind is one that is being written."""

_FREE = 0.15
"""The part of the disk that stays free."""

_MOST_A_DAY = 500
_DAY = 86400.0
_STEADY = 3600.0
"""Seconds for which the clock must not have been set before it may say how old a visit is."""

_KEPT_ANYWAY = 10
"""Visits that stay if other programs have filled the disk: to delete them would not help."""

_FULL = frozenset([errno.ENOSPC, errno.EDQUOT])

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Totals:
    """How many visits there are, and the bytes of all their files."""

    count: int
    bytes: int


class VisitStore:
    """Visits in a folder: at most ``space`` bytes, for at most ``days``.

    Any thread may call its methods once open() has returned. They raise StoreError. Only the
    recorder calls those below "For the recorder". Moments that are passed are time.monotonic()'s.

    All ids are above ``after``.
    """

    def __init__(self, folder: Path, *, space: int, days: float, after: int = 0) -> None:
        self.folder = folder
        self.space = space
        self.days = days
        self._after = after
        self._index = VisitIndex(folder / _INDEX)
        self._lock_fd = -1
        self._writers: dict[int, FilmWriter] = {}
        self._deleting = threading.RLock()
        self._clock = (clock.offset(), time.monotonic())  # and since when it is steady

    def open(self) -> None:
        """Open the folder, or make it, and repair what a crash has left."""
        try:
            self._lock_folder()
            self._index.open()
            self._index.reserve_after(self._after)
            self._repair()
        except OSError as error:
            self.close()
            raise self._explain(error) from error
        except StoreError as error:
            self.close()
            error.last_id = max([self._after, *self._ids_of_files()])
            raise

    def open_to_read(self) -> None:
        """Open the folder beside the daemon that uses it: nothing is repaired or changed."""
        self._index = VisitIndex(self.folder / _INDEX, read_only=True)
        self._index.open()

    def close(self) -> None:
        """Close the folder; may be called twice."""
        for writer in list(self._writers.values()):
            with suppress(StoreError):
                writer.close()
        self._writers.clear()
        self._index.close()
        fd, self._lock_fd = self._lock_fd, -1
        if fd >= 0:
            os.close(fd)

    def _lock_folder(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._lock_fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"{self.folder}: another doorbelld keeps its visits there; give one of them "
                "another STATE_DIRECTORY"
            ) from error

    def _explain(self, error: OSError) -> StoreError:
        reason = SPACE if error.errno in _FULL else "other"
        return StoreError(f"{error.filename or self.folder}: {error.strerror}", reason)

    def _film_path(self, number: int) -> Path:
        return self.folder / f"{number}.mjpeg"

    def _still_path(self, number: int) -> Path:
        return self.folder / f"{number}.jpg"

    # Reading

    def visits(
        self, before: int | None = None, limit: int = 50, kind: Kind | None = None
    ) -> list[Visit]:
        """Return the newest visits, the newest first: with ids below ``before``, of one kind."""
        return self._index.visits(before, limit, kind)

    def visit(self, number: int) -> Visit | None:
        """Return one visit; None if there is none with this id."""
        return self._index.visit(number)

    def newest_ring(self) -> Visit | None:
        """Return the newest visit of a person who has rung; None if there is none."""
        found = self._index.visits(limit=1, kind=Kind.RING)
        return found[0] if found else None

    def totals(self) -> Totals:
        """Return how many visits there are, and how large."""
        return Totals(*self._index.totals())

    def still(self, number: int) -> bytes | None:
        """Return the newest still of a visit; None if it has none."""
        try:
            return self._still_path(number).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._explain(error) from error

    def film(self, number: int) -> Film | None:
        """Open the film of a visit; None if it has none. Of an open visit: what there is of it."""
        frames = films.unpack(self._index.frames(number))
        if not frames:
            return None
        try:
            return Film(self._film_path(number), frames)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._explain(error) from error

    # Changing

    def answer(self, number: int) -> Visit | None:
        """Mark a visit as answered now, if it is not yet; return it, or None if there is none."""
        if self._index.visit(number):
            self._index.answer(number, time.monotonic())
        return self._index.visit(number)

    def delete(self, number: int) -> bool:
        """Delete a visit with its files; return whether there was one."""
        return bool(self._delete([number]))

    def delete_all(self) -> int:
        """Delete all visits, the open one too; return how many there were."""
        return self._delete([row.id for row in self._index.rows()])

    def _delete(self, numbers: Iterable[int]) -> int:
        with self._deleting:
            numbers = list(numbers)
            for number in numbers:
                if writer := self._writers.pop(number, None):
                    writer.abandon()
                for path in (self._film_path(number), self._still_path(number)):
                    with suppress(FileNotFoundError):
                        self._remove(path)
            return self._index.delete(numbers)

    def _remove(self, path: Path) -> None:
        try:
            path.unlink()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._explain(error) from error

    # For the recorder

    def reserve(self) -> int:
        """Return the id of a new visit, without touching the disk. It is never returned again."""
        return self._index.reserve()

    def begin(self, number: int, kind: Kind, source: str, at: float) -> Visit:
        """Add a visit that began at a moment, with an id that was reserved; return it."""
        self._with_room(lambda: self._index.add(number, kind, source, at))
        found = self._index.visit(number)
        if found is None:
            raise StoreError(f"{self.folder}: visit {number} was deleted")
        return found

    def press(self, number: int, pressed_at: float, presses: int) -> Visit | None:
        """Note the last press of a visit and how many it has; return it."""
        return self._change(number, pressed_at=pressed_at, presses=presses)

    def set_kind(self, number: int, kind: Kind, source: str) -> Visit | None:
        """Change what a visit is: a ring, if the bell was pressed after motion."""
        return self._change(number, kind=kind.value, source=source)

    def set_reason(self, number: int, reason: str) -> Visit | None:
        """Note why a visit has no still, a code of docs/live.md."""
        return self._change(number, reason=reason)

    def save_still(self, number: int, data: bytes) -> Visit | None:
        """Replace the still of a visit; return it, or None if it was deleted."""
        new = self.folder / f"{number}.jpg.new"

        def write() -> None:
            try:
                new.write_bytes(data)
                new.replace(self._still_path(number))
            except OSError as error:
                with suppress(OSError):
                    new.unlink()
                raise self._explain(error) from error

        self._with_room(write, len(data))
        if self._with_room(lambda: self._index.count_still(number, len(data))):
            return self._index.visit(number)
        with suppress(FileNotFoundError):
            self._remove(self._still_path(number))
        return None

    def film_writer(self, number: int, at: float) -> FilmWriter:
        """Return the writer of the film of a visit that began at a moment."""
        path = self._film_path(number)
        writer = FilmWriter(path, number, at, self._index, self._make_room)
        self._writers[number] = writer
        return writer

    def finish(self, number: int, until: float) -> Visit | None:
        """End a visit: close its film and put all of it on the disk for good; return it."""
        writer = self._writers.pop(number, None)
        try:
            if writer:
                writer.close()
        finally:
            found = self._change(number, until=until, state=VisitState.DONE.value)
            self._index.checkpoint()
        return found

    def _change(self, number: int, **values: object) -> Visit | None:
        self._with_room(lambda: self._index.change(number, **values))
        return self._index.visit(number)

    # Room and age

    def enforce(self) -> int:
        """Delete what is too old or too much; return how many visits that were.

        Call it after every visit, and now and then: it also notes whether the clock was set.
        """
        self.follow_clock()
        count = self._delete(self._too_old())
        count += self._delete(self._too_many())
        self._make_room(0)
        return count

    def follow_clock(self) -> None:
        """Give the visits of this boot other times if the clock was set; cheap if it was not."""
        ahead = clock.offset()
        if ahead != self._clock[0]:
            self._clock = ahead, time.monotonic()
        self._index.follow_clock()

    def _closed(self) -> list[Row]:
        """Return all visits but the open ones, the oldest first."""
        return [row for row in self._index.rows() if row.state != VisitState.OPEN.value]

    def _too_old(self) -> list[int]:
        return []

    def _too_many(self) -> list[int]:
        return []

    def _with_room(self, action: Callable[[], T], size: int = 0) -> T:
        """Do something for which there may be no room: then make some and try again."""
        try:
            return action()
        except StoreError as error:
            if error.reason != SPACE or not self._make_room(size):
                raise
        return action()

    def _make_room(self, size: int) -> bool:
        """Delete the oldest visits until ``size`` bytes fit; return whether they do now."""
        while self._lack(size) > 0:
            closed = self._closed()
            if not closed:
                return False
            self._delete([closed[0].id])
        return True

    def _lack(self, size: int) -> int:
        """Return how many bytes have to be freed before ``size`` more fit."""
        disk = os.statvfs(self.folder)
        free = (disk.f_bavail - int(disk.f_blocks * _FREE)) * disk.f_frsize
        return size - min(free, self.space - self.totals().bytes)

    # Repair

    def _ids_of_files(self) -> list[int]:
        try:
            names = [path.name for path in self.folder.iterdir()]
        except OSError:
            return []
        return [int(found[1]) for found in map(_OURS.fullmatch, names) if found]

    def _repair(self) -> None:
        """Let index and files agree."""
        for row in self._index.rows():
            if row.state == VisitState.OPEN.value:
                self._interrupt(row.id)

    def _interrupt(self, number: int) -> None:
        """End a visit in whose middle the daemon was stopped, at its last whole picture."""
        known = films.unpack(self._index.frames(number))
        path = self._film_path(number)
        frames = []
        with suppress(FileNotFoundError):
            frames = films.find_frames(path, known)
            counts = films.count(frames)
            if counts.bytes < path.stat().st_size:
                os.truncate(path, counts.bytes)
        self._index.add_frames(number, 0, films.pack(frames), films.count(frames), is_last=True)
        self._index.interrupt(number, frames[-1].moment if frames else 0.0)
