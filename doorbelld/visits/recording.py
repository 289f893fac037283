"""Recording: a visit of this process, as it is in memory, its parts, and all of them together.

The recorder's lock guards all of it. Moments are time.monotonic()'s.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from doorbelld.media.frame import Frame
from doorbelld.system import clock
from doorbelld.visits.visit import Kind, Visit, VisitState

_BETTER = 3.0
"""Seconds after a ring in which a sharper still may replace the first one."""

_CLEARLY_BETTER = 1.05
"""How much larger than the still a picture has to be to replace it: pages must load it again."""

MOST_WAITING = 8 << 20
"""Bytes of the pictures that wait for the disk, besides those from before the press."""

_MOST_IN_MEMORY = 10
"""Visits that are remembered with their stills if they cannot be written."""


class Lengths(NamedTuple):
    """How long visits are, in seconds; see the section [visits] of doorbelld.conf(5)."""

    before: float = 5.0
    after: float = 15.0
    longest: float = 60.0
    framerate: float = 10.0
    again: float = 10.0


class Presses:
    """How often the bell was pressed, and the last press that was announced as a ring.

    Those that follow it within ``again`` seconds belong to the same ring.
    """

    def __init__(self, at: float, again: float) -> None:
        self.count = self.announced = 1
        self.announced_at = at
        self._again = again

    def is_ring(self, at: float) -> bool:
        """Return whether a press of this moment is announced."""
        return at - self.announced_at >= self._again

    def add(self, at: float) -> bool:
        """Count one more; return whether it is announced."""
        self.count += 1
        if not self.is_ring(at):
            return False
        self.announced, self.announced_at = self.count, at
        return True


class Stills:
    """The picture that stands for a visit. A sharper one may replace it.

    ``reason`` is a code for why there is none, ``better`` a sharper one that was not shown yet.
    """

    def __init__(self) -> None:
        self.newest: Frame | None = None
        self.count = 0
        self.reason = ""
        self.better: Frame | None = None

    def show(self, still: Frame | None, reason: str = "") -> None:
        """Take a still, or note why there is none."""
        self.better = None
        if still is not None:
            self.newest, self.reason = still, ""
            self.count += 1
        elif self.newest is None:
            self.reason = reason

    def compare(self, frame: Frame) -> None:
        """Remember a picture if it is sharper: a larger JPEG of the same scene."""
        if self.better is not None:
            is_better = len(frame.data) > len(self.better.data)
        else:
            assert self.newest
            is_better = len(frame.data) > len(self.newest.data) * _CLEARLY_BETTER
        if is_better:
            self.better = frame


class FilmQueue:
    """The pictures of a film that wait for the disk.

    ``bytes`` is their size without those from before the press, which have no limit. ``left_out``
    counts those for which there was no room.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self.left_out = 0
        self._frames: list[Frame] = []
        self._is_closed = False

    def begin(self, frames: list[Frame]) -> None:
        """Take the pictures from before the press."""
        self._frames.extend(frames)

    def add(self, frame: Frame) -> None:
        """Take a new picture, if there is room."""
        if self._is_closed:
            return
        size = self.bytes + len(frame.data)
        if size > MOST_WAITING and self._frames:
            self.left_out += 1
            return
        self.bytes = size
        self._frames.append(frame)

    def take(self) -> list[Frame]:
        """Return the pictures; they wait no more."""
        frames, self._frames = self._frames, []
        self.bytes = 0
        return frames

    def close(self) -> None:
        """Take no more pictures, because the disk has failed."""
        self._is_closed = True


class Batch(NamedTuple):
    """What there is to write of a visit."""

    visit: Visit
    last_at: float
    ended_at: float | None
    answered_at: float | None
    state: VisitState
    still: Frame | None
    frames: list[Frame]


class Recording:
    """A visit from its beginning until all of it is written.

    ``is_finished`` is set when nothing more will be written, ``is_kept`` is false if the disk has
    not all that matters.
    """

    def __init__(self, number: int, kind: Kind, source: str, at: float, lengths: Lengths) -> None:
        self.id, self.kind, self.source = number, kind, source
        self.first_at = self.last_at = at
        self.state = VisitState.OPEN
        self.ended_at: float | None = None
        self.answered_at: float | None = None
        self.presses = Presses(at, lengths.again)
        self.stills = Stills()
        self.film = FilmQueue()
        self.is_finished = False
        self.is_kept = True
        self._lengths = lengths
        self._newest = 0  # the number of the last picture

    @property
    def ends_at(self) -> float:
        """When it ends if nothing more happens."""
        lengths = self._lengths
        return min(self.last_at + lengths.after, self.first_at + lengths.longest)

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.state is VisitState.OPEN

    @property
    def waiting_bytes(self) -> int:
        """How much waits for the disk, besides the pictures from before the press."""
        return self.film.bytes

    def lasts_until(self, moment: float) -> bool:
        """Return whether it is open, and what happens at this moment belongs to it."""
        return self.is_open and moment <= self.ends_at

    def continues_with(self, pressed_at: float) -> bool:
        """Return whether a press of this moment belongs to it.

        After an answer, a new ring begins another visit: pages show no ring of this one any more.
        """
        is_over = self.answered_at is not None and self.presses.is_ring(pressed_at)
        return self.kind is Kind.RING and self.lasts_until(pressed_at) and not is_over

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
            self.presses.count,
            self.stills.count,
            self.stills.reason,
            None if answered_at is None else clock.unix(answered_at),
        )

    def announced_visit(self) -> Visit:
        """Return it as pages see it: with the presses that were announced."""
        pressed_at = clock.unix(self.presses.announced_at)
        return replace(self.visit(), presses=self.presses.announced, pressed_at=pressed_at)

    def extend(self, moment: float) -> None:
        """Let it go on from this moment."""
        self.last_at = max(moment, self.last_at)

    def press(self, at: float) -> bool:
        """Count one more press; return whether it is announced, and not part of the last ring."""
        self.extend(at)
        return self.presses.add(at)

    def begin_with(self, frames: list[Frame]) -> None:
        """Begin with the pictures from before the press."""
        self.film.begin(frames)
        self._newest = frames[-1].sequence if frames else 0

    def add(self, frame: Frame) -> bool:
        """Take a new picture; return whether it is the first still."""
        is_open = self.state is VisitState.OPEN
        if not is_open or frame.sequence <= self._newest or frame.captured_at > self.ends_at:
            return False
        self._newest = frame.sequence
        self.film.add(frame)
        if self.stills.newest is None:
            self.stills.show(frame)
            return True
        if frame.captured_at <= self.presses.announced_at + _BETTER:
            self.stills.compare(frame)
        return False

    def improve(self, now: float) -> bool:
        """Take a sharper still, if there is one and it is time; return whether it did."""
        better = self.stills.better
        if better is None or (self.is_open and now < self.presses.announced_at + _BETTER):
            return False
        self.stills.show(better)
        return True

    def take_batch(self) -> Batch:
        """Return it as it is now, with the pictures that wait; they wait no more."""
        return Batch(
            self.visit(),
            self.last_at,
            self.ended_at,
            self.answered_at,
            self.state,
            self.stills.newest,
            self.film.take(),
        )

    def end(self, at: float, state: VisitState = VisitState.DONE) -> None:
        """End it at a moment."""
        self.state, self.ended_at = state, max(self.last_at, min(at, self.ends_at))


class Recordings:
    """The visits that are in memory, and the newest ring.

    ``all`` are those that are not written completely, or cannot be; only the last one may be open.
    The list is replaced, and never changed, so it may be read without the lock. ``newest_ring`` may
    be on the disk already. ``older_ring`` is that of an earlier process, as pages are to see it.
    """

    def __init__(self) -> None:
        self.all: list[Recording] = []
        self.newest_ring: Recording | None = None
        self.older_ring: Visit | None = None

    @property
    def last(self) -> Recording | None:
        """The one that began last."""
        found = self.all
        return found[-1] if found else None

    @property
    def open(self) -> Recording | None:
        """The one that goes on."""
        last = self.last
        return last if last and last.is_open else None

    @property
    def unfinished(self) -> list[Recording]:
        """Those of which more will be written."""
        return [each for each in self.all if not each.is_finished]

    @property
    def waiting_bytes(self) -> int:
        """How much waits for the disk, besides the pictures from before the presses."""
        return sum(each.waiting_bytes for each in self.all)

    def find(self, number: int) -> Recording | None:
        """Return the one with this id."""
        known = [*self.all, *([self.newest_ring] if self.newest_ring else [])]
        return next((each for each in known if each.id == number), None)

    def add(self, recording: Recording) -> None:
        """Add a visit that begins; if there are too many, the first is forgotten."""
        self.all = [*self.all[1 - _MOST_IN_MEMORY :], recording]

    def remove(self, recording: Recording) -> None:
        """Forget one that is deleted."""
        self.all = [each for each in self.all if each is not recording]
        self.forget_ring(recording)

    def forget_ring(self, recording: Recording) -> None:
        """Show this ring no more, unless the bell has rung again since."""
        if self.newest_ring is recording:
            self.newest_ring = None

    def drop(self) -> None:
        """Forget what is on the disk, and the first of what could not be written."""
        kept = [each for each in self.all if not (each.is_finished and each.is_kept)]
        self.all = kept[-_MOST_IN_MEMORY:]
