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

from doorbelld.drivers.errors import Reason
from doorbelld.media.frame import Frame
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.preroll import PreRoll
from doorbelld.system.worker import Worker
from doorbelld.visits.recording import MOST_WAITING, Lengths, Recording, Recordings
from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import Event, Kind, News, StoreError, Visit, VisitState
from doorbelld.visits.writer import VisitWriter

_log = logging.getLogger(__name__)

BUTTON = "button"
"""The source of presses that may bounce."""

_DEBOUNCE = 0.03
"""Seconds after a press of the button in which another one is the same contact closing again."""

_ROUND = 0.25
"""Seconds between two writes while a visit is open: so much a crash may lose."""

_HOUR, _MINUTE = 3600.0, 60.0

_OPENING = 2.0
"""Seconds that the first ring may wait for the index: until then, no id is known."""


@dataclass
class Counts:
    """What has happened since the process began. The recorder's lock guards it.

    ``rings`` are the presses that were announced, ``begun`` is how many visits there were of each
    kind.
    """

    presses: int = 0
    rings: int = 0
    begun: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))


class _Opening:
    """The time until the store is open, in which no id is known."""

    def __init__(self) -> None:
        self._begun_at = 0.0
        self._is_done = threading.Event()

    def begin(self) -> None:
        """Note that the thread is started, which opens the store."""
        self._begun_at = time.monotonic()

    def end(self) -> None:
        """Note that the store is open, or cannot be."""
        self._is_done.set()

    @property
    def has_begun(self) -> bool:
        """Whether the thread was started."""
        return bool(self._begun_at)

    @property
    def seconds_left(self) -> float:
        """How long a ring may wait for it at most."""
        return self._begun_at + _OPENING - time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or takes too long to be waited for."""
        return self.has_begun and (self._is_done.is_set() or self.seconds_left < 0)

    def wait(self, seconds: float) -> None:
        """Wait for its end, or so many seconds."""
        if seconds > 0:
            self._is_done.wait(seconds)


class _Pictures:
    """The pictures around a press: the seconds before it, and the one that becomes its still.

    ``reason`` returns the code for why there is no live picture, "" if there is.
    """

    def __init__(
        self, hub: FrameHub, reason: Callable[[], str], on_frame: Callable[[Frame], None]
    ) -> None:
        self.preroll = PreRoll(hub, on_frame)
        self._hub = hub
        self._reason = reason

    def still_of(self, moment: float) -> tuple[Frame | None, str]:
        """Return the best picture of a moment, or None and the code for why there is none.

        Not with the recorder's lock: the hub may have to make the picture first, and passes it on
        to the recorder.
        """
        found = self.preroll.sharpest(moment)
        if found is None and not (reason := self._reason()):  # Such as a picture every ten seconds.
            found, reason = self._hub.latest, Reason.SILENT
        return (found, "") if found and found.live else (None, reason)


class VisitRecorder(Worker):
    """Begins, extends, records and ends visits; its thread lets ``writer`` write them.

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
        self._open_store = open_store
        self._opening = _Opening()
        self._on_change, self._on_news, self._on_motion = on_change, on_news, on_motion
        self._pictures = _Pictures(hub, reason, self._add)
        self._lengths = Lengths()
        self._lock = threading.Lock()
        self._memory = Recordings()
        self._pressed_at = -_HOUR
        self._jobs: deque[Callable[[], None]] = deque()
        self.writer = VisitWriter(on_deleted=self.look_for_older)
        self.counts = Counts()

    # Called from any thread.

    @property
    def store(self) -> VisitStore | None:
        """The store; None if it takes too long to open, or the thread has not started."""
        self._wait_for_ids()
        return self.writer.store

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if the system is out of threads."""
        self._opening.begin()
        super().start()

    def wait_until_opened(self, seconds: float) -> None:
        """Wait until the store is open, if the thread has started, or so many seconds."""
        if self._thread.ident is not None:
            self._opening.wait(seconds)

    @property
    def knows_older(self) -> bool:
        """Whether the rings of the process before are known, or take too long to be read."""
        return self._opening.is_over

    @property
    def sees_motion(self) -> bool:
        """Whether a visit of motion is open."""
        visit = self._memory.open
        return visit is not None and visit.kind is Kind.MOTION

    @property
    def has_ended(self) -> bool:
        """Whether the thread has failed, also to start, or was stopped."""
        return self._opening.has_begun and not self.alive

    def configure(self, lengths: Lengths) -> None:
        """Record so from now on; a visit that is open stays as it is."""
        self._lengths = lengths
        self._pictures.preroll.start(lengths.before, lengths.framerate)

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
        self._pictures.preroll.clear()

    def ring(self, pressed_at: float, source: str) -> Visit | None:
        """Begin a visit, or continue the one that is open; return it.

        ``pressed_at`` is on time.monotonic()'s clock. None: it was the bounce of a contact.
        """
        self._wait_for_ids()
        pressed_at = min(pressed_at, time.monotonic())
        still = self._pictures.still_of(pressed_at)
        with self._lock:
            if source == BUTTON and abs(pressed_at - self._pressed_at) < _DEBOUNCE:
                return None
            recording = self._memory.open
            if recording and recording.continues_with(pressed_at):
                is_news = recording.press(pressed_at)
            else:
                recording, is_news = self._begin(Kind.RING, source, pressed_at), True
            self._pressed_at = pressed_at
            self.counts.presses += 1
            if is_news:
                self.counts.rings += 1
                recording.stills.show(*still)
                self._memory.newest_ring = recording
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
        still = self._pictures.still_of(moved_at)
        with self._lock:
            recording = self._memory.open
            if recording and recording.lasts_until(moved_at):
                if recording.kind is Kind.MOTION:
                    recording.extend(moved_at)
                return
            self._begin(Kind.MOTION, "motion", moved_at).stills.show(*still)
        self._on_motion()
        self._wakeup.set()

    def news(self) -> Visit | None:
        """Return the newest ring as pages are to see it: with the presses that were announced.

        A page rings when it sees more presses than before. So after a restart there is only one
        of them, because pages may not have seen all that the index has counted.
        """
        with self._lock:
            newest = self._memory.newest_ring
            return newest.announced_visit() if newest else self._memory.older_ring

    def in_memory(self) -> list[Visit]:
        """Return the visits that are not on the disk, or not completely, the newest first."""
        with self._lock:
            return [each.visit() for each in reversed(self._memory.all)]

    def still(self, number: int) -> bytes | None:
        """Return the newest still of such a visit."""
        with self._lock:
            found = self._memory.find(number)
            still = found and found.stills.newest
            return still.data if still else None

    def answer(self, number: int) -> Visit | None:
        """Mark a visit as answered if it is in memory; return it. The first time counts."""
        with self._lock:
            found = self._memory.find(number)
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
            found = self._memory.find(number)
            return found.answered_at if found else None

    def delete(self, number: int) -> bool:
        """Forget a visit if it is in memory; return whether it was. The thread deletes its rest."""
        with self._lock:
            found = self._memory.find(number)
            if found is None:
                return False
            self._memory.remove(found)
            self.writer.delete_later(number)
        self._wakeup.set()
        return True

    def look_for_older(self) -> None:
        """Look again for the newest ring on the disk: visits have changed there."""
        store, newest, found = self.writer.store, self._memory.newest_ring, None
        if store is not None:
            with suppress(StoreError):  # The next visit will say it, too.
                found = store.newest_ring()
                if newest and newest.is_finished and newest.is_kept and not store.visit(newest.id):
                    with self._lock:
                        self._memory.forget_ring(newest)
        self._memory.older_ring = replace(found, presses=1) if found else None
        self._on_change()

    def _report_news(self, event: Event, recording: Recording, at: float) -> None:
        """Report what has happened to a ring, with the lock, so that all comes in order.

        A better picture of an earlier ring is none: what shows the newest ring would show it.
        """
        is_past = event is Event.PICTURE and recording is not self._memory.newest_ring
        if recording.kind is Kind.RING and not is_past:
            still = recording.stills.newest and recording.stills.newest.data
            self._on_news(News(event, recording.announced_visit(), still, at))

    def _wait_for_ids(self) -> None:
        self.wait_until_opened(self._opening.seconds_left)

    def _begin(self, kind: Kind, source: str, at: float) -> Recording:
        """Begin a visit; another one that is open ends. With the lock."""
        last = self._memory.last
        if last and last.is_open:
            last.end(at)
        store = self.writer.store
        number = store.reserve() if store else last.id + 1 if last else 1
        self.counts.begun[kind] += 1
        recording = Recording(number, kind, source, at, self._lengths)
        if self._memory.waiting_bytes < MOST_WAITING:
            # Not before this moment, from which on every new picture comes to it.
            recording.begin_with(self._pictures.preroll.before(at))
        else:
            recording.film.close()  # The disk is not even through with the visits before.
        self._memory.add(recording)
        return recording

    def _add(self, frame: Frame) -> None:
        """Take a picture, in the thread that publishes it."""
        with self._lock:
            last = self._memory.last
            is_still = last is not None and last.add(frame)
            if is_still and last:
                self._report_news(Event.PICTURE, last, time.monotonic())
        if is_still:
            self._on_change()

    # The thread.

    def _loop(self) -> None:
        self.writer.safely(self._begin_with_store)
        self._opening.end()
        while not self._stopping:
            self._wakeup.wait(_ROUND if self._has_work else _MINUTE)
            self._wakeup.clear()
            self.beat = time.monotonic()
            self.writer.safely(self._round)

    def _begin_with_store(self) -> None:
        store = self._open_store()
        with self._lock:
            self.writer.store = store
            for each in self._memory.all:  # The disk was too slow for them to know the last id.
                each.id = store.reserve()
        self.look_for_older()

    @property
    def _has_work(self) -> bool:
        return bool(self._memory.unfinished)

    def _round(self) -> None:
        while self._jobs:
            self.writer.safely(self._jobs.popleft())
        now = time.monotonic()
        with self._lock:
            work = self._memory.unfinished
            saw_motion = self.sees_motion
            improved = [self._settle(each, now) for each in work]
        if any(improved):
            self._on_change()
        if saw_motion and not self.sees_motion:
            self._on_motion()
        for each in work:
            with self._lock:
                batch = each.take_batch()
            self.writer.write(each, batch)
        if any(each.is_finished for each in work):
            self._on_change()
        self.writer.delete_rests()
        self._drop()
        if not self._stopping:
            self.writer.tidy(now, has_ended=any(each.is_finished for each in work))

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
            self._memory.drop()
            left = [each.id for each in self._memory.all]
        self.writer.end_others(left)

    def _close(self) -> None:
        """End an open visit as interrupted, and write all of it."""
        self._pictures.preroll.stop()
        now = time.monotonic()
        with self._lock:
            if self._memory.open:
                self._memory.open.end(now, VisitState.INTERRUPTED)
        self.writer.safely(self._round)
        self.writer.close()
        super()._close()
