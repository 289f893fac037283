"""VisitWriter: writes the visits of this process to the disk, as far as it allows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from doorbelld.drivers.errors import describe
from doorbelld.system.limited_log import OnceLog
from doorbelld.visits.film import FilmWriter
from doorbelld.visits.recording import Batch, Recording
from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import StoreError, VisitState

_log = logging.getLogger(__name__)

_HOUR = 3600.0


class Problem(NamedTuple):
    """Why something is not kept, in a sentence, and since when on time.monotonic()'s clock."""

    detail: str
    since: float


@dataclass
class Copy:
    """What the disk has of a visit. All methods raise StoreError."""

    store: VisitStore
    recording: Recording
    film: FilmWriter | None = None
    has_begun: bool = False
    has_failed: bool = False
    is_answered: bool = False
    presses: int = 1
    stills: int = 0
    reason: str = ""

    def begin(self) -> None:
        """Add it to the index."""
        if not self.has_begun:
            each = self.recording
            self.store.begin(each.id, each.kind, each.source, each.first_at)
            self.has_begun = True

    def save_still(self, batch: Batch) -> None:
        """Save the newest still, or why there is none."""
        visit, still = batch.visit, batch.still
        while still and self.stills < visit.still:  # They are counted in the index, too.
            self.stills += 1
            self.store.save_still(visit.id, still.data)
        if visit.reason != self.reason:
            self.reason = visit.reason
            if visit.reason:
                self.store.set_reason(visit.id, visit.reason)

    def save_presses(self, batch: Batch) -> None:
        """Save how often and when the bell was pressed, and whether it was answered."""
        visit = batch.visit
        if visit.presses != self.presses:
            self.presses = visit.presses
            self.store.press(visit.id, batch.last_at, visit.presses)
        if batch.answered_at is not None and not self.is_answered:
            self.is_answered = True
            self.store.answer(visit.id, batch.answered_at)

    def save_frames(self, batch: Batch) -> None:
        """Add pictures to the film."""
        each = self.recording
        if batch.frames and self.film is None:
            self.film = self.store.film_writer(each.id, each.first_at)
        for frame in batch.frames:
            assert self.film
            self.film.append(frame)

    def finish(self, batch: Batch) -> None:
        """End it on the disk, if it has ended."""
        if batch.ended_at is not None:
            try:
                self.store.finish(batch.visit.id, batch.ended_at, batch.state)
            finally:
                self.recording.is_finished = True


class VisitWriter:
    """Writes to ``store``, which is None until it is open, and keeps it to its limits.

    What the disk refuses raises nothing: ``problem`` is why something is not kept. The recorder's
    thread alone uses it; any other may call fail() and delete_later(). ``on_deleted`` is called
    when the oldest visits were deleted, ``each_hour`` once an hour.
    """

    def __init__(self, on_deleted: Callable[[], None]) -> None:
        self.store: VisitStore | None = None
        self.problem: Problem | None = None
        self.each_hour: Callable[[], None] = lambda: None
        self._on_deleted = on_deleted
        self._copies: dict[int, Copy] = {}
        self._deleted: set[int] = set()
        self._evicted = 0
        self._tidied_at = -_HOUR
        self._once = OnceLog(_log)

    def fail(self, why: str) -> None:
        """Note that something is not kept, and log it once an hour."""
        if self.problem is None or self.problem.detail != why:
            self.problem = Problem(why, time.monotonic())
        self._once.log(logging.ERROR, why)

    def safely(self, step: Callable[[], object]) -> bool:
        """Do something; if it fails, say so, and go on: nothing here may end the daemon."""
        try:
            step()
            return True
        except StoreError as error:
            self.fail(str(error))
        except Exception as error:  # noqa: BLE001  # the bell has to ring whatever happens here
            _log.debug("visits cannot be written", exc_info=True)
            self.fail(describe(error))
        return False

    def write(self, recording: Recording, batch: Batch) -> None:
        """Write what has changed of a visit since the last time, as far as the disk allows."""
        copy = self._copies.get(recording.id)
        if copy is None:
            assert self.store
            copy = self._copies[recording.id] = Copy(self.store, recording)
        if not (copy.has_begun or self.safely(copy.begin)):
            self._give_up(recording)
            return
        for step in (copy.save_still, copy.save_presses, copy.save_frames, copy.finish):
            if not self.safely(partial(step, batch)):
                copy.has_failed = True
                recording.is_kept &= step != copy.save_still
                if step == copy.save_frames:
                    recording.film.close()
        if recording.is_finished:
            del self._copies[recording.id]
            self._report(recording, copy)

    def end_others(self, known: Iterable[int]) -> None:
        """End all visits but these: the disk was so slow that too many had to wait for it."""
        for number in self._copies.keys() - known:
            end = self._copies.pop(number).recording.first_at
            if self.store:
                self.safely(partial(self.store.finish, number, end, VisitState.INTERRUPTED))

    def delete_later(self, number: int) -> None:
        """Let the thread delete what was written of a visit at the same time."""
        self._deleted.add(number)

    def delete_rests(self) -> None:
        """Delete what delete_later() was called for."""
        while self._deleted:
            number = self._deleted.pop()
            self._copies.pop(number, None)
            if self.store:
                self.safely(partial(self.store.delete, number))

    def tidy(self, now: float, *, has_ended: bool) -> None:
        """Keep to the limits of space and age, and follow the clock."""
        if not self.store:
            return
        if has_ended or now - self._tidied_at >= _HOUR:
            self._tidied_at = now
            self.safely(self.store.enforce)
            self.safely(self.each_hour)
        else:
            self.safely(self.store.follow_clock)
        if self.store.evicted != self._evicted:  # Also while a visit was written.
            self._evicted = self.store.evicted
            self._on_deleted()

    def close(self) -> None:
        """Close the store."""
        if self.store:
            self.safely(self.store.close)

    def _give_up(self, recording: Recording) -> None:
        """Keep a visit in memory alone."""
        self._copies.pop(recording.id, None)
        recording.film.close()
        recording.is_kept = False
        recording.is_finished = not recording.is_open

    def _report(self, recording: Recording, copy: Copy) -> None:
        """Note how a visit was written."""
        if recording.film.left_out:
            text = "the disk was too slow for a visit: %d pictures of its film were left out"
            _log.warning(text, recording.film.left_out)
        if not copy.has_failed:
            self.problem = None
