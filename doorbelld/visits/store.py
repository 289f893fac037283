"""VisitStore: the visits of one folder. It keeps their index, films and stills in agreement.

A visit begins and ends with its row. So what a crash leaves is a visit that has not ended, which
open() cuts at the last whole picture, or files without a row, which it deletes: their visit was.
Only if the power fails, the newest rows may be missing; files with an id that the index has never
used are theirs.

The oldest visits are deleted first, whatever they are, but of one day those of motion before those
of a person who has rung: so a windy day does not cost the visitors of that day. Ids count up, so
order and age do not depend on a clock that was wrong in between.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from doorbelld.system import clock
from doorbelld.visits import film as films
from doorbelld.visits.film import (
    LAST_FOUND,
    FileError,
    Film,
    FilmFrame,
    FilmWriter,
    VisitFiles,
)
from doorbelld.visits.index import Row, VisitIndex
from doorbelld.visits.visit import DAMAGED, SPACE, Kind, StoreError, Visit, VisitState

_INDEX = "index.sqlite"

_FREE = 0.15
"""The part of the disk that stays free."""

_MOST_A_DAY = 500
_DAY = 86400.0
_STEADY = 3600.0
"""Seconds for which the clock must not have been set before it may say how old a visit is."""

_KEPT_ANYWAY = 10
"""Visits that stay if other programs have filled the disk: to delete them would not help."""

_PLAUSIBLE = 1_700_000_000.0
"""Unix time of November 2023. A clock that says less was never set."""

_SOME = 200
"""Visits that are read at once."""

_LOST_IDS = 1000
"""Ids that are left out after the index was lost, because they may have been used."""

_DAMAGED = "{}: the index of visits is damaged"

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Totals:
    """How many visits there are, and the bytes of all their files."""

    count: int
    bytes: int


def room(folder: Path, space: int) -> int:
    """Return how many bytes fit into a folder that may take so many more. Raises OSError."""
    disk = os.statvfs(folder)
    return min(space, disk.f_frsize * (disk.f_bavail - int(disk.f_blocks * _FREE)))


class _Retention:
    """Which visits are too old or too many, and which are deleted next if there is no room.

    It deletes nothing. A clock that is wrong, or was just set, makes no visit old.
    """

    def __init__(self, index: VisitIndex) -> None:
        self._index = index
        self._ahead = clock.offset()
        self._steady_since = time.monotonic()

    def follow_clock(self) -> float:
        """Return how far ahead of time.monotonic() the clock is; note whether it was set."""
        ahead = clock.offset()
        if ahead != self._ahead:
            self._steady_since, self._ahead = time.monotonic(), ahead
        return ahead

    def _is_known(self, row: Row) -> bool:
        """Return whether the clock, now and then, may say how old a visit is.

        That of this boot is known by time.monotonic().
        """
        is_steady = time.monotonic() - self._steady_since >= _STEADY
        now = time.monotonic() + self._ahead
        return row.is_this_boot or (is_steady and _PLAUSIBLE <= row.until <= now)

    def too_old(self, days: float) -> list[int]:
        """Return the visits that are older than so many days.

        Those before a visit that is too old are so too, whatever their clock said.
        """
        oldest_kept = time.monotonic() + self._ahead - days * _DAY
        passed: list[Row] = []
        count = 0
        for row in self._each_row():
            passed.append(row)
            if self._is_known(row):
                if row.until >= oldest_kept:
                    break
                count = len(passed)
        return [row.id for row in passed[:count] if not row.is_open]

    def _each_row(self) -> Iterator[Row]:
        """Yield the visits, the oldest first, without reading all of them."""
        last = 0
        while rows := self._index.rows(last, _SOME):
            yield from rows
            last = rows[-1].id

    def too_many(self) -> list[int]:
        """Return the visits of the last day that are too many."""
        day_ago = time.monotonic() + self._ahead - _DAY
        newest = self._index.newest_rows(_MOST_A_DAY + _SOME)
        today = [row for row in newest if self._is_known(row) and row.until > day_ago]
        closed = sorted((row for row in today if not row.is_open), key=_of_one_day)
        return [row.id for row in closed[: max(len(today) - _MOST_A_DAY, 0)]]

    def oldest(self, lack: int, kept: Container[int] = ()) -> list[int]:
        """Return the visits to delete next for so many bytes."""
        rows = self._index.oldest_rows_with_files(_SOME)
        rows = [row for row in rows if not row.is_open and row.id not in kept]
        first_day = [row for row in rows if row.until < rows[0].until + _DAY]
        found: list[int] = []
        for row in sorted(first_day, key=_of_one_day):
            if lack <= 0:
                break
            found.append(row.id)
            lack -= row.bytes
        return found


def _of_one_day(row: Row) -> tuple[bool, int]:
    """Return where a visit comes among those of one day that are deleted: motion is first."""
    return row.is_ring, row.id


class _Repair:
    """Lets index and files of a folder agree again. ``delete`` deletes visits with their files."""

    def __init__(
        self, index: VisitIndex, files: VisitFiles, delete: Callable[[Sequence[int]], object]
    ) -> None:
        self._index = index
        self._files = files
        self._delete = delete

    def run(self, *, is_new: bool) -> None:
        """Let index and files agree; ``is_new`` says that the index was made now.

        Only the names of the files are compared: to ask for the size of each would take longer
        than the daemon may need to start.
        """
        there = self._files.names()
        rows, last_id = self._index.files(), self._index.last_id()
        named = {f"{row[0]}.mjpeg" for row in rows if row[1]}
        named |= {f"{row[0]}.jpg" for row in rows if row[2]}
        if named.isdisjoint(there) and named and self._files.ids(there, there):
            # Such as after its log was replaced by that of another: films would be deleted.
            why = f"{_DAMAGED.format(self._index.path)} (it has none of the visits that are there)"
            raise StoreError(why, DAMAGED)
        known = {row[0] for row in rows}
        not_ended = {row[0] for row in rows if row[3]}
        doubtful = self._files.ids(there ^ named, there)
        for number in sorted(not_ended | doubtful & known):
            self._mend(number, self._interrupt if number in not_ended else self._correct)
        for number in sorted(doubtful - known):
            if number > LAST_FOUND:
                continue
            if number > last_id:
                state = VisitState.DONE if is_new else VisitState.INTERRUPTED
                self._mend(number, partial(self._add_found, state=state))
            else:  # It was deleted.
                self._mend(number, lambda each: self._files.remove_all([each]))
        if is_new and doubtful:
            self._index.keep_ids_above(self._index.last_id() + _LOST_IDS)

    def _mend(self, number: int, step: Callable[[int], object]) -> None:
        """Repair one visit: one whose files cannot be read must not cost all others."""
        try:
            step(number)
        except (OSError, FileError) as error:
            known = self._files.explain(error) if isinstance(error, OSError) else error
            _log.warning("visit %d cannot be repaired: %s", number, known)

    def _interrupt(self, number: int) -> None:
        """End a visit in whose middle the daemon was stopped, at its last whole picture."""
        self._index.interrupt(number, 0.0)  # even if its files cannot be read
        frames = self._recover(number)
        if frames:
            self._index.interrupt(number, frames[-1].moment)
        self._check_still(number, frames)

    def _correct(self, number: int) -> None:
        """Let the index know what is left of a visit; without any picture it is deleted."""
        if not self._check_still(number, self._recover(number)):
            self._delete([number])

    def _add_found(self, number: int, state: VisitState) -> None:
        """Add a visit of which the index knows nothing; without a whole picture it is deleted."""
        paths = [self._files.film_path(number), self._files.still_path(number)]
        until = max(path.stat().st_mtime for path in paths if path.exists())
        frames = self._find_frames(number)
        self._index.add_found(number, state, until - films.count(frames).seconds, until)
        self._recover(number)
        self._correct(number)

    def _recover(self, number: int) -> list[FilmFrame]:
        """Find all whole pictures of a film, cut off what is behind them, and return them."""
        path = self._files.film_path(number)
        frames = self._find_frames(number, films.unpack(self._index.frames(number)))
        counts = films.count(frames)
        if not frames:
            self._files.remove(path)
        elif counts.bytes < path.stat().st_size:
            os.truncate(path, counts.bytes)
        self._index.add_frames(number, 0, films.pack(frames), counts, is_last=True)
        return frames

    def _find_frames(self, number: int, known: Sequence[FilmFrame] = ()) -> list[FilmFrame]:
        try:
            return films.find_frames(self._files.film_path(number), known)
        except FileNotFoundError:
            return []

    def _check_still(self, number: int, frames: Sequence[FilmFrame]) -> bool:
        """Let the index know whether there is a still; return whether there is any picture.

        If it is missing or damaged, a picture of the film takes its place.
        """
        data = self._files.still(number) or b""
        if not (data.startswith(_SOI) and data.endswith(_EOI)):
            data = b""
            if frames:
                with Film(self._files.film_path(number), frames) as film:
                    data = film.read(_sharpest(frames))
                self._files.write_still(number, data)
            else:
                self._files.remove(self._files.still_path(number))
        self._index.set_still(number, len(data))
        return bool(data)


def _sharpest(frames: Sequence[FilmFrame]) -> int:
    """Return the number of the best picture of the second before the press: the largest JPEG."""
    last = max((n for n, frame in enumerate(frames) if frame.moment <= 0), default=0)
    second = [n for n in range(last + 1) if frames[n].moment >= frames[last].moment - 1]
    return max(second, key=lambda n: frames[n].length)


class VisitStore:
    """Visits in a folder: at most ``space`` bytes, for at most ``days``.

    Any thread may call its methods once open() has returned. They raise StoreError. Only the
    recorder calls those below "For the recorder". Moments that are passed are time.monotonic()'s.

    All ids are above ``after``; they can be reserved even if the folder cannot be opened.
    """

    def __init__(self, folder: Path, *, space: int, days: float, after: int = 0) -> None:
        self.folder = folder
        self.space = space
        self.days = days
        self._after = after
        self._index = VisitIndex(folder / _INDEX, after=after)
        self._files = VisitFiles(folder)
        self._retention = _Retention(self._index)
        self._writers: dict[int, FilmWriter] = {}
        self.evicted = 0
        """How many visits were deleted because they were too old, or to make room."""

    def open(self) -> None:
        """Open the folder, or make it, and repair what a crash has left.

        That an index was lost is logged. A StoreError has the ``last_id`` that is known.
        """
        try:
            self._files.lock()
            self._open_with_room()
        except Exception as error:  # an index may hold anything
            self.close()
            known = self._files.explain(error)
            known.last_id = max(self._after, self._files.last_id())
            raise known from error

    def _open_with_room(self) -> None:
        """Open the index. If the disk is full, the oldest films make room for what it needs."""
        while True:
            try:
                self._open_index()
                return
            except StoreError:
                if not self._files.remove_oldest_film():
                    raise

    def _open_index(self) -> None:
        last_id = self._index.last_id()  # of ids that were reserved while it was closed
        try:
            self._repair(is_new=self._index.open())
        except StoreError as error:
            if error.reason != DAMAGED:
                raise
            self._rebuild(str(error))
        self._index.keep_ids_above(last_id)

    def _repair(self, *, is_new: bool) -> None:
        _Repair(self._index, self._files, self._delete).run(is_new=is_new)

    def _rebuild(self, why: str) -> None:
        """Make a new index from the files, in place of one that is damaged."""
        last_id = self._index.last_id()
        self._set_aside(why)
        self._index.open()
        self._repair(is_new=True)
        self._index.keep_ids_above(max(last_id, _LOST_IDS))

    def _set_aside(self, why: str) -> None:
        self._index.close()
        aside = self._index.set_aside()
        _log.warning("%s. It is now %s, and a new one is made from the films", why, aside.name)

    def open_to_read(self) -> None:
        """Open the folder beside the daemon that uses it: nothing is repaired or changed."""
        self._index = VisitIndex(self.folder / _INDEX, read_only=True)
        self._index.open()

    def close(self) -> None:
        """Close the folder; may be called twice."""
        for writer in list(self._writers.values()):
            with suppress(StoreError):
                writer.close()
        if self._files.is_locked:
            with suppress(StoreError):
                self.follow_clock()
        self._writers.clear()
        self._index.close()
        if self._index.is_damaged and self._files.is_locked:
            self._set_aside(_DAMAGED.format(self._index.path))
        self._files.unlock()

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
        return self._files.still(number)

    def film(self, number: int) -> Film | None:
        """Open the film of a visit; None if it has none. Of an open visit: what there is of it."""
        path = self._files.film_path(number)
        try:
            frames = self._frames_of(number)
            film = Film(path, frames) if frames else None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._files.explain(error) from error
        if film and not film.frames:
            film.close()
            return None
        return film

    def _frames_of(self, number: int) -> list[FilmFrame]:
        try:
            return films.unpack(self._index.frames(number))
        except StoreError as error:
            if error.reason != DAMAGED:
                raise
            return films.find_frames(self._files.film_path(number))

    # Changing

    def answer(self, number: int, at: float | None = None) -> Visit | None:
        """Mark a visit as answered at a moment, or now, if it is not yet; return it.

        None: there is none.
        """
        if self._index.visit(number):
            self._index.answer(number, time.monotonic() if at is None else at)
        return self._index.visit(number)

    def delete(self, number: int) -> bool:
        """Delete a visit with its files; return whether there was one."""
        return bool(self._delete([number]))

    def delete_all(self) -> int:
        """Delete all visits, the open one too; return how many there were."""
        return self._delete([row.id for row in self._index.rows()])

    def _delete(self, numbers: Sequence[int]) -> int:
        for number in numbers:
            writer = self._writers.pop(number, None)
            if writer:
                writer.abandon()
        try:
            count = self._index.delete(numbers)
        except StoreError as error:
            if error.reason != SPACE:
                raise
            # The index needs room to grow, even for this.
            self._files.remove_all(numbers)
            return self._index.delete(numbers)
        self._files.remove_all(numbers)
        return count

    # For the recorder

    def reserve(self) -> int:
        """Return the id of a new visit, without touching the disk. It is never returned again."""
        return self._index.reserve()

    def begin(self, number: int, kind: Kind, source: str, at: float) -> Visit:
        """Add a visit that began at a moment, with an id that was reserved; return it.

        If the index was found to be damaged, a new one is made first, which takes a while.
        """
        if self._index.is_damaged and not self._writers:
            self._rebuild(_DAMAGED.format(self._index.path))
        self._with_room(lambda: self._index.add(number, kind, source, at))
        found = self._index.visit(number)
        if found is None:
            raise StoreError(f"{self.folder}: visit {number} was deleted")
        return found

    def press(self, number: int, pressed_at: float, presses: int) -> Visit | None:
        """Note the last press of a visit and how many it has; return it."""
        return self._change(number, pressed_at=pressed_at, presses=presses)

    def set_reason(self, number: int, reason: str) -> Visit | None:
        """Note why a visit has no still, a code of docs/live.md."""
        return self._change(number, reason=reason)

    def save_still(self, number: int, data: bytes) -> Visit | None:
        """Replace the still of a visit; return it, or None if it was deleted.

        If there is no room even without all older visits, the film of this one makes room for it.
        """
        try:
            self._with_room(lambda: self._files.write_still(number, data), len(data))
        except StoreError as error:
            writer = self._writers.get(number)
            if error.reason != SPACE or not (writer and writer.give_up()):
                raise
            self._files.write_still(number, data)
        if self._with_room(lambda: self._index.count_still(number, len(data))):
            return self._index.visit(number)
        self._files.remove(self._files.still_path(number))
        return None

    def film_writer(self, number: int, at: float) -> FilmWriter:
        """Return the writer of the film of a visit that began at a moment."""
        path = self._files.film_path(number)
        writer = FilmWriter(path, number, at, self._index, self._make_room)
        self._writers[number] = writer
        return writer

    def finish(
        self, number: int, until: float, state: VisitState = VisitState.DONE
    ) -> Visit | None:
        """End a visit: close its film and put all of it on the disk for good; return it.

        Returns None if it was deleted. It has ended even if this raises StoreError.
        """
        writer = self._writers.pop(number, None)
        try:
            if writer:
                writer.close()
        finally:
            found = self._change(number, until=until, state=state.value)
        self.follow_clock()
        self._files.sync_still(number)
        self._index.sync()
        return found

    def _change(self, number: int, **values: object) -> Visit | None:
        self._with_room(lambda: self._index.change(number, **values))
        return self._index.visit(number)

    # Room and age

    def enforce(self) -> int:
        """Delete what is too old or too much; return how many visits that were.

        Call it after every visit, and now and then: visits also age while nothing happens.
        """
        before = self.evicted
        self.follow_clock()
        self._evict(self._retention.too_old(self.days))
        self._evict(self._retention.too_many())
        self._make_room(0)
        return self.evicted - before

    def follow_clock(self) -> None:
        """Give the visits of this boot other times if the clock was set. It costs nothing else.

        Call it once a minute, or so.
        """
        ahead = self._retention.follow_clock()
        self._with_room(lambda: self._index.follow_clock(ahead))

    def _with_room(self, action: Callable[[], T], size: int = 0) -> T:
        """Do something for which there may be no room: then make some and try again."""
        try:
            return action()
        except StoreError as error:
            if error.reason != SPACE or not self._make_room(size, is_refused=True):
                raise
        return action()

    def _make_room(self, size: int, is_refused: bool = False) -> bool:
        """Delete the oldest visits until ``size`` bytes fit; return whether they do now.

        If the disk has refused them, so many are freed, whatever it says. Otherwise the newest
        visits stay if other programs have filled it: to delete them would not help.
        """
        if is_refused:
            return self._evict(self._retention.oldest(max(size, 1)))
        try:
            while (lack := self._lack(size)) > 0:
                is_hopeless = lack > self.totals().bytes
                kept = self._index.newest_rows(_KEPT_ANYWAY) if is_hopeless else []
                if not self._evict(self._retention.oldest(lack, {row.id for row in kept})):
                    return False
        except OSError as error:
            raise self._files.explain(error) from error
        return True

    def _evict(self, numbers: Sequence[int]) -> bool:
        """Delete these visits; return whether there were any."""
        count = self._delete(numbers)
        self.evicted += count
        return bool(count)

    def _lack(self, size: int) -> int:
        """Return how many bytes have to be freed before ``size`` more fit."""
        return size - room(self.folder, self.space - self.totals().bytes)
