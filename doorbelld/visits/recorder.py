"""VisitRecorder: begins a visit when the bell rings, records it, and writes it to the disk.

A press is answered from memory, in the thread that rings: the visit has its id and its still at
once, whatever the disk does. The recorder's thread writes everything a moment later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from doorbelld.drivers.errors import Reason, describe
from doorbelld.media.frame import Frame
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.preroll import PreRoll
from doorbelld.system import clock
from doorbelld.system.limited_log import OnceLog
from doorbelld.system.worker import Worker
from doorbelld.visits.film import FilmWriter
from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import Event, Kind, News, StoreError, Visit, VisitState

_log = logging.getLogger(__name__)

BUTTON = "button"
"""The source of presses that may bounce."""

_DEBOUNCE = 0.03
"""Seconds after a press of the button in which another one is the same contact closing again."""

_BETTER = 3.0
"""Seconds after a ring in which a sharper still may replace the first one."""

_CLEARLY_BETTER = 1.05
"""How much larger than the still a picture has to be to replace it: pages must load it again."""

_MOST_WAITING = 8 << 20
"""Bytes of the pictures that wait for the disk, besides those from before the press."""

_ROUND = 0.25
"""Seconds between two writes while a visit is open: so much a crash may lose."""

_HOUR, _MINUTE = 3600.0, 60.0
_MOST_IN_MEMORY = 10
"""Visits that are remembered with their stills if they cannot be written."""

_OPENING = 2.0
"""Seconds that the first ring may wait for the index: until then, no id is known."""


class Problem(NamedTuple):
    """Why something is not kept, in a sentence, and since when on time.monotonic()'s clock."""

    detail: str
    since: float


class Lengths(NamedTuple):
    """How long visits are, in seconds; see the section [visits] of doorbelld.conf(5)."""

    before: float = 5.0
    after: float = 15.0
    longest: float = 60.0
    framerate: float = 10.0
    again: float = 10.0


class Recording:
    """A visit of this process, as it is in memory. Its moments are time.monotonic()'s.

    The recorder's lock guards it. ``waiting`` are the pictures that are not written yet.
    ``is_finished`` is set when nothing more will be written, ``is_kept`` is false if the disk has
    not all that matters.
    """

    def __init__(self, number: int, kind: Kind, source: str, at: float, lengths: Lengths) -> None:
        self.id, self.kind, self.source = number, kind, source
        self.first_at = self.last_at = self.announced_at = at
        self.presses = self.announced = 1
        self.state = VisitState.OPEN
        self.ended_at: float | None = None
        self.answered_at: float | None = None
        self.reason = ""
        self.still: Frame | None = None
        self.stills = 0
        self.better: Frame | None = None
        self.waiting: deque[Frame] = deque()
        self.waiting_bytes = 0  # without those from before the press
        self.left_out = 0
        self.is_deleted = False
        self.has_film = True  # until the disk fails
        self._lengths = lengths
        self._newest = 0
        self.is_finished = False
        self.is_kept = True

    @property
    def ends_at(self) -> float:
        """When it ends if nothing more happens."""
        lengths = self._lengths
        return min(self.last_at + lengths.after, self.first_at + lengths.longest)

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.state is VisitState.OPEN

    def lasts_until(self, moment: float) -> bool:
        """Return whether it is open, and what happens at this moment belongs to it."""
        return self.is_open and moment <= self.ends_at

    def continues_with(self, pressed_at: float) -> bool:
        """Return whether a press of this moment belongs to it.

        After an answer, a new ring begins another visit: pages show no ring of this one any more.
        """
        is_over = self.answered_at is not None and self._rings_at(pressed_at)
        return self.kind is Kind.RING and self.lasts_until(pressed_at) and not is_over

    def _rings_at(self, pressed_at: float) -> bool:
        return pressed_at - self.announced_at >= self._lengths.again

    def visit(self) -> Visit:
        """Return it as it is now. It has not ended for others before all of it can be read."""
        ended_at = self.ended_at if self.is_finished else None
        answered_at = self.answered_at
        return Visit(
            self.id,
            self.kind,
            self.source,
            self.state if self.is_finished else VisitState.OPEN,
            clock.unix(self.first_at),
            clock.unix(self.last_at),
            None if ended_at is None else clock.unix(ended_at),
            self.presses,
            self.stills,
            self.reason,
            None if answered_at is None else clock.unix(answered_at),
        )

    def announced_visit(self) -> Visit:
        """Return it as pages see it: with the presses that were announced."""
        pressed_at = clock.unix(self.announced_at)
        return replace(self.visit(), presses=self.announced, pressed_at=pressed_at)

    def press(self, at: float) -> bool:
        """Count one more press; return whether it is announced, and not part of the last ring."""
        self.presses += 1
        self.last_at = max(at, self.last_at)
        if not self._rings_at(at):
            return False
        self.announced, self.announced_at = self.presses, at
        return True

    def show(self, still: Frame | None, reason: str) -> None:
        """Take a still, or note why there is none."""
        self.better = None
        if still is not None:
            self.still, self.reason = still, ""
            self.stills += 1
        elif self.still is None:
            self.reason = reason

    def take(self, frames: list[Frame]) -> None:
        """Begin with the pictures from before the press; they wait for the disk without limit."""
        self.waiting.extend(frames)
        self._newest = frames[-1].sequence if frames else 0

    def add(self, frame: Frame) -> bool:
        """Take a new picture; return whether it is the first still."""
        if frame.sequence <= self._newest or frame.captured_at > self.ends_at or not self.is_open:
            return False
        self._newest = frame.sequence
        if self.has_film:
            self._append(frame)
        if self.still is None:
            self.show(frame, "")
            return True
        if frame.captured_at <= self.announced_at + _BETTER:
            than = len((self.better or self.still).data)
            if len(frame.data) > than * (1 if self.better else _CLEARLY_BETTER):
                self.better = frame
        return False

    def improve(self, now: float) -> bool:
        """Take a sharper still, if there is one and it is time; return whether it did."""
        if self.better is None or (self.is_open and now < self.announced_at + _BETTER):
            return False
        self.show(self.better, "")
        return True

    def take_batch(self) -> Batch:
        """Return it as it is now, with the pictures that wait; they wait no more."""
        frames = list(self.waiting)
        self.waiting.clear()
        self.waiting_bytes = 0
        return Batch(
            self.visit(),
            self.last_at,
            self.ended_at,
            self.answered_at,
            self.state,
            self.still,
            frames,
        )

    def end(self, at: float, state: VisitState = VisitState.DONE) -> None:
        """End it at a moment."""
        self.state, self.ended_at = state, max(self.last_at, min(at, self.ends_at))

    def _append(self, frame: Frame) -> None:
        if self.waiting and self.waiting_bytes + len(frame.data) > _MOST_WAITING:
            self.left_out += 1
            return
        self.waiting_bytes += len(frame.data)
        self.waiting.append(frame)


@dataclass
class Counts:
    """What has happened since the process began. The recorder's lock guards it.

    ``rings`` are the presses that were announced, ``begun`` is how many visits there were of each
    kind.
    """

    presses: int = 0
    rings: int = 0
    begun: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))


class Batch(NamedTuple):
    """What there is to write of a visit. The moments are time.monotonic()'s."""

    visit: Visit
    last_at: float
    ended_at: float | None
    answered_at: float | None
    state: VisitState
    still: Frame | None
    frames: list[Frame]


@dataclass
class Copy:
    """What the disk has of a visit. The recorder's thread alone uses it; all raise StoreError."""

    store: VisitStore
    recording: Recording
    writer: FilmWriter | None = None
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
        if batch.frames and self.writer is None:
            self.writer = self.store.film_writer(each.id, each.first_at)
        for frame in batch.frames:
            assert self.writer
            self.writer.append(frame)

    def finish(self, batch: Batch) -> None:
        """End it on the disk, if it has ended."""
        if batch.ended_at is not None:
            try:
                self.store.finish(batch.visit.id, batch.ended_at, batch.state)
            finally:
                self.recording.is_finished = True


class VisitRecorder(Worker):
    """Begins, extends, records and ends visits; its thread writes them to the store.

    ``open_store`` opens the store, or another one in its place; the thread calls that first.
    ``reason`` returns the code for why there is no live picture, "" if there is. ``on_change`` is
    called when the newest ring has changed, ``on_motion`` when a visit of motion begins or ends,
    and ``on_news`` with what happens to the rings of this process, in order. All of them are called
    in any thread, and must not block.

    A disk that is slow or fails costs pictures, and never a ring.
    """

    def __init__(
        self,
        hub: FrameHub,
        open_store: Callable[[], VisitStore],
        reason: Callable[[], str],
        on_change: Callable[[], None],
        on_news: Callable[[News], None] = lambda _news: None,
        on_motion: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__("visits")
        self._hub = hub
        self._open_store = open_store
        self._reason = reason
        self._on_change, self._on_news, self._on_motion = on_change, on_news, on_motion
        self._preroll = PreRoll(hub, self._add)
        self._lock = threading.Lock()
        self._lengths = Lengths()
        self._store: VisitStore | None = None
        self._is_opened = threading.Event()
        self._open: Recording | None = None
        # Those that are not written completely, or cannot be.
        self._recordings: list[Recording] = []
        self._newest: Recording | None = None
        self._older: Visit | None = None
        self._pressed_at = -_HOUR
        self._started_at = 0.0
        self._jobs: deque[Callable[[], None]] = deque()
        self._copies: dict[int, Copy] = {}
        self._deleted: set[int] = set()
        self._tidied_at = -_HOUR
        self._once = OnceLog(_log)
        self.each_hour: Callable[[], None] = lambda: None
        self.problem: Problem | None = None
        self.counts = Counts()

    # Called from any thread.

    @property
    def store(self) -> VisitStore | None:
        """The store; None if it takes too long to open, or the thread has not started."""
        self._wait_for_ids()
        return self._store

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if the system is out of threads."""
        self._started_at = time.monotonic()
        super().start()

    def wait_until_opened(self, seconds: float) -> None:
        """Wait until the store is open, if the thread has started, or so many seconds."""
        if self._thread.ident is not None and seconds > 0:
            self._is_opened.wait(seconds)

    @property
    def knows_older(self) -> bool:
        """Whether the rings of the process before are known, or take too long to be read."""
        has_waited = time.monotonic() > self._started_at + _OPENING
        return bool(self._started_at) and (has_waited or self._is_opened.is_set())

    @property
    def sees_motion(self) -> bool:
        """Whether a visit of motion is open."""
        newest = self._open
        return newest is not None and newest.kind is Kind.MOTION and newest.is_open

    @property
    def has_ended(self) -> bool:
        """Whether the thread has failed, also to start, or was stopped."""
        return bool(self._started_at) and not self.alive

    def configure(self, lengths: Lengths) -> None:
        """Record so from now on; a visit that is open stays as it is."""
        self._lengths = lengths
        self._preroll.start(lengths.before, lengths.framerate)

    def do(self, job: Callable[[], None]) -> None:
        """Let the thread call this soon: it may wait for the disk."""
        self._jobs.append(job)
        self._wakeup.set()

    def do_now(self, job: Callable[[], None], seconds: float) -> None:
        """The same, and wait until that is done, but no longer than so many seconds."""
        is_done = threading.Event()

        def work() -> None:
            try:
                job()
            finally:
                is_done.set()

        self.do(work)
        if self.alive:
            is_done.wait(seconds)

    def forget_pictures(self) -> None:
        """Forget the pictures of the last seconds: the shutter is closed, or the camera another."""
        self._preroll.clear()

    def ring(self, pressed_at: float, source: str) -> Visit | None:
        """Begin a visit, or continue the one that is open; return it.

        ``pressed_at`` is on time.monotonic()'s clock. None: it was the bounce of a contact.
        """
        self._wait_for_ids()
        pressed_at = min(pressed_at, time.monotonic())
        still = self._still_of(pressed_at)
        with self._lock:
            if source == BUTTON and abs(pressed_at - self._pressed_at) < _DEBOUNCE:
                return None
            recording = self._open
            if recording and recording.continues_with(pressed_at):
                is_news = recording.press(pressed_at)
            else:
                recording, is_news = self._begin(Kind.RING, source, pressed_at), True
            self._pressed_at = pressed_at
            self.counts.presses += 1
            if is_news:
                self.counts.rings += 1
                recording.show(*still)
                self._newest = recording
                self._report_news(Event.RING, recording, pressed_at)
            visit = recording.visit()
        if visit.presses == 1:
            _log.info("the bell has rung: visit %d", visit.id)
        if is_news:
            self._on_change()
        self._wakeup.set()
        return visit

    def move(self, moved_at: float) -> None:
        """Begin a visit because something has moved, or let the one that did so go on."""
        self._wait_for_ids()
        still = self._still_of(moved_at)
        with self._lock:
            recording = self._open
            if recording and recording.lasts_until(moved_at):
                if recording.kind is Kind.MOTION:
                    recording.last_at = max(moved_at, recording.last_at)
                return
            self._begin(Kind.MOTION, "motion", moved_at).show(*still)
        self._on_motion()
        self._wakeup.set()

    def news(self) -> Visit | None:
        """Return the newest ring as pages are to see it: with the presses that were announced.

        A page rings when it sees more presses than before. So after a restart there is only one
        of them, because pages may not have seen all that the index has counted.
        """
        with self._lock:
            newest = self._newest
            if newest is None:
                return self._older
            return newest.announced_visit()

    def in_memory(self) -> list[Visit]:
        """Return the visits that are not on the disk, or not completely, the newest first."""
        with self._lock:
            return [each.visit() for each in reversed(self._recordings)]

    def still(self, number: int) -> bytes | None:
        """Return the newest still of such a visit."""
        with self._lock:
            found = self._find(number)
            return found.still.data if found and found.still else None

    def answer(self, number: int) -> Visit | None:
        """Mark a visit as answered if it is in memory; return it. The first time counts."""
        with self._lock:
            found = self._find(number)
            if found is None:
                return None
            if found.answered_at is None:
                found.answered_at = time.monotonic()
                self._report_news(Event.ANSWERED, found, found.answered_at)
            visit = found.visit()
        self._wakeup.set()
        return visit

    def answered_at(self, number: int) -> float | None:
        """Return the moment at which a visit in memory was answered, if it was."""
        with self._lock:
            found = self._find(number)
            return found.answered_at if found else None

    def delete(self, number: int) -> bool:
        """Forget a visit if it is in memory; return whether it was. The thread deletes its rest."""
        with self._lock:
            found = self._find(number)
            if found is None:
                return False
            found.is_deleted = True
            if found is self._newest:
                self._newest = None
            if found is self._open:
                self._open = None
            self._deleted.add(number)
            self._recordings = [each for each in self._recordings if each is not found]
        self._wakeup.set()
        return True

    def look_for_older(self) -> None:
        """Look again for the newest ring on the disk: visits have changed there."""
        store, newest, found = self._store, self._newest, None
        if store is not None:
            with suppress(StoreError):  # The next visit will say it, too.
                found = store.newest_ring()
                if newest and newest.is_finished and newest.is_kept and not store.visit(newest.id):
                    self._forget(newest)
        self._older = replace(found, presses=1) if found else None
        self._on_change()

    def fail(self, why: str) -> None:
        """Note that something is not kept, and log it once an hour."""
        if self.problem is None or self.problem.detail != why:
            self.problem = Problem(why, time.monotonic())
        self._once.log(logging.ERROR, why)

    def _forget(self, newest: Recording) -> None:
        """Show this ring no more, unless the bell has rung again since."""
        with self._lock:
            if self._newest is newest:
                self._newest = None

    def _report_news(self, event: Event, recording: Recording, at: float) -> None:
        """Report what has happened to a ring, with the lock, so that all comes in order.

        A better picture of an earlier ring is none: what shows the newest ring would show it.
        """
        is_past = event is Event.PICTURE and recording is not self._newest
        if recording.kind is Kind.RING and not is_past:
            still = recording.still and recording.still.data
            self._on_news(News(event, recording.announced_visit(), still, at))

    def _wait_for_ids(self) -> None:
        self.wait_until_opened(self._started_at + _OPENING - time.monotonic())

    def _find(self, number: int) -> Recording | None:
        known = [*self._recordings, *([self._newest] if self._newest else [])]
        return next((each for each in known if each.id == number), None)

    def _begin(self, kind: Kind, source: str, at: float) -> Recording:
        """Begin a visit; another one that is open ends. With the lock."""
        if self._open and self._open.is_open:
            self._open.end(at)
        last = self._recordings[-1].id if self._recordings else 0
        number = self._store.reserve() if self._store else last + 1
        self.counts.begun[kind] += 1
        recording = self._open = Recording(number, kind, source, at, self._lengths)
        if sum(each.waiting_bytes for each in self._recordings) < _MOST_WAITING:
            # Not before this moment, from which on every new picture comes to it.
            recording.take(self._preroll.before(at))
        else:
            recording.has_film = False  # The disk is not even through with the visits before.
        self._recordings = [*self._recordings[1 - _MOST_IN_MEMORY :], recording]
        return recording

    def _still_of(self, moment: float) -> tuple[Frame | None, str]:
        """Return the best picture of a moment, or None and the code for why there is none.

        Not with the lock: the hub may have to make the picture first, and passes it on to here.
        """
        found = self._preroll.sharpest(moment)
        if found is None and not (reason := self._reason()):  # Such as a picture every ten seconds.
            found, reason = self._hub.latest, Reason.SILENT
        return (found, "") if found and found.live else (None, reason)

    def _add(self, frame: Frame) -> None:
        """Take a picture, in the thread that publishes it."""
        with self._lock:
            is_still = self._open is not None and self._open.add(frame)
            if is_still and self._open:
                self._report_news(Event.PICTURE, self._open, time.monotonic())
        if is_still:
            self._on_change()

    # The thread.

    def _loop(self) -> None:
        self._safely(self._begin_with_store)
        self._is_opened.set()
        while not self._stopping:
            self._wakeup.wait(_ROUND if self._has_work else _MINUTE)
            self._wakeup.clear()
            self.beat = time.monotonic()
            self._safely(self._round)

    def _begin_with_store(self) -> None:
        store = self._open_store()
        with self._lock:
            self._store = store
            for each in self._recordings:  # The disk was too slow for them to know the last id.
                each.id = store.reserve()
        self.look_for_older()

    @property
    def _has_work(self) -> bool:
        return any(not each.is_finished for each in self._recordings)

    def _safely(self, step: Callable[[], object]) -> bool:
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

    def _round(self) -> None:
        while self._jobs:
            self._safely(self._jobs.popleft())
        now = time.monotonic()
        with self._lock:
            work = [each for each in self._recordings if not each.is_finished]
            saw_motion = self.sees_motion
            improved = [self._settle(each, now) for each in work]
        if any(improved):
            self._on_change()
        if saw_motion and not self.sees_motion:
            self._on_motion()
        for each in work:
            self._write(each)
        if any(each.is_finished for each in work):
            self._on_change()
        self._delete_rests()
        self._drop()
        if not self._stopping:
            self._tidy(now, has_ended=any(each.is_finished for each in work))

    def _tidy(self, now: float, *, has_ended: bool) -> None:
        """Keep to the limits of space and age, and follow the clock."""
        if not self._store:
            return
        if has_ended or now - self._tidied_at >= _HOUR:
            self._tidied_at = now
            self._safely(self._enforce)
            self._safely(self.each_hour)
        else:
            self._safely(self._store.follow_clock)

    def _settle(self, recording: Recording, now: float) -> bool:
        """End a visit that is over, and take a better still; return whether there was one."""
        if recording.is_open and now > recording.ends_at:
            recording.end(recording.ends_at)
        has_improved = recording.improve(now)
        if has_improved:
            self._report_news(Event.PICTURE, recording, now)
        return has_improved

    def _drop(self) -> None:
        """Forget what is on the disk, and the oldest of what could not be written."""
        with self._lock:
            kept = [each for each in self._recordings if not (each.is_finished and each.is_kept)]
            self._recordings = kept[-_MOST_IN_MEMORY:]
            left = self._copies.keys() - {each.id for each in self._recordings}
        for number in left:  # The disk was so slow that there were too many of them.
            end = self._copies.pop(number).recording.first_at
            if self._store:
                self._safely(partial(self._store.finish, number, end, VisitState.INTERRUPTED))

    def _enforce(self) -> None:
        if self._store and self._store.enforce():
            self.look_for_older()

    def _write(self, recording: Recording) -> None:
        """Write what has changed since the last time, as far as the disk allows."""
        with self._lock:
            batch = recording.take_batch()
        copy = self._copies.get(recording.id)
        if copy is None:
            assert self._store
            copy = self._copies[recording.id] = Copy(self._store, recording)
        if not (copy.has_begun or self._safely(copy.begin)):
            self._give_up(recording)
            return
        for step in (copy.save_still, copy.save_presses, copy.save_frames, copy.finish):
            if not self._safely(partial(step, batch)):
                copy.has_failed = True
                recording.has_film &= step != copy.save_frames
                recording.is_kept &= step != copy.save_still
        if recording.is_finished:
            del self._copies[recording.id]
            self._report(recording, copy)

    def _give_up(self, recording: Recording) -> None:
        """Keep a visit in memory alone."""
        self._copies.pop(recording.id, None)
        recording.has_film = recording.is_kept = False
        recording.is_finished = not recording.is_open

    def _report(self, recording: Recording, copy: Copy) -> None:
        """Note how a visit was written."""
        if recording.left_out:
            text = "the disk was too slow for a visit: %d pictures of its film were left out"
            _log.warning(text, recording.left_out)
        if not copy.has_failed:
            self.problem = None

    def _delete_rests(self) -> None:
        """Delete what was written of visits that were deleted at the same time."""
        while self._deleted:
            number = self._deleted.pop()
            self._copies.pop(number, None)
            if self._store:
                self._safely(partial(self._store.delete, number))

    def _close(self) -> None:
        """End an open visit as interrupted, and write all of it."""
        self._preroll.stop()
        now = time.monotonic()
        with self._lock:
            for each in self._recordings:
                if each.is_open:
                    each.end(now, VisitState.INTERRUPTED)
        self._safely(self._round)
        if self._store:
            self._safely(self._store.close)
        super()._close()
