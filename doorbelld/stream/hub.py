"""FrameHub: numbers every frame, and passes the newest to everything that wants pictures."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from doorbelld.media.frame import Frame
from doorbelld.system import clock
from doorbelld.system.latest import Latest

_TRIES = 5
_PAUSE = 0.002
"""Seconds between tries to load a picture. A picture can only be missing for the moment between
the camera's next one and its offer."""

_SLACK = 1 / 4
_MOST_SLACK = 0.02
"""How early a sample may come: a part of the time between two, and seconds. No camera is exact."""


class _Offer(NamedTuple):
    """A picture that is made into a frame only if something asks for it."""

    load: Callable[[], bytes | None]
    captured_at: float


class Sampling:
    """Live frames at an even pace: what a subscriber gets that does not need all of them.

    ``take`` gets each of them in the thread that publishes it, and must not block. ``due`` is the
    moment from which a picture is the next one.
    """

    def __init__(self, take: Callable[[Frame], None], framerate: float) -> None:
        self.take = take
        self.due = 0.0
        self._interval = 1 / framerate
        self._next_at = 0.0

    def advance(self, captured_at: float) -> None:
        """Count a frame. The moments are on a grid, so that small delays do not add up."""
        self._next_at += self._interval
        if self._next_at <= captured_at:  # It is the first one, or some were missed.
            self._next_at = captured_at + self._interval
        self.due = self._next_at - min(self._interval * _SLACK, _MOST_SLACK)


class FrameHub:
    """Any thread may publish, and any thread may subscribe.

    A frame gets its number and reaches every subscriber under one lock. Otherwise two threads
    that publish at the same time could do it in different orders, and a viewer would see
    numbers go back. No subscriber can delay another: each has a slot that holds the newest
    frame only, and putting a frame there never waits.

    While no subscriber wants frames, a picture is only offered: it becomes a frame if something
    asks for the newest one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Turning a large picture takes 120 MB, and any number of clients may ask at once.
        self._loading = threading.Lock()
        self._newest: Frame | None = None
        self._count = 0
        self._offer: _Offer | None = None
        self._slots: list[Latest[Frame]] = []
        self._wanting: set[Latest[Frame]] = set()
        self._samplings: list[Sampling] = []
        self._due = math.inf
        self._takes_live = True

    @property
    def takes_live(self) -> bool:
        """Whether live pictures are taken at the moment."""
        return self._takes_live

    def wants(self, captured_at: float) -> bool:
        """Return whether a frame has to be made of the picture of this moment."""
        return bool(self._wanting) or captured_at >= self._due

    @property
    def count(self) -> int:
        """How many frames were published, live ones and placeholders."""
        return self._count

    @property
    def latest(self) -> Frame | None:
        """The newest frame, live or placeholder; None before the first."""
        self.load_offer()
        return self._newest

    def load_offer(self) -> None:
        """Publish the picture that is on offer, if there is one that can be shown."""
        for _ in range(_TRIES):
            with self._loading:
                offer = self._offer
                if offer is None:
                    break
                data = offer.load()
                if data is not None and self._accept(offer, data):
                    break
            if self._offer is offer:
                time.sleep(_PAUSE)

    def publish(self, data: bytes, captured_at: float, *, live: bool) -> Frame:
        """Make this JPEG the newest frame; return the frame, with its number.

        While no live ones are taken (:meth:`take_live`), a live one reaches no subscriber.
        """
        with self._lock:
            return self._publish(data, captured_at, live=live)

    def take_live(self, takes: bool) -> None:
        """Set whether live pictures are taken from this moment on."""
        with self._lock:
            self._takes_live = takes
            if not takes:
                self._offer = None

    def forget_live(self) -> bool:
        """Take no live pictures from this moment on, and forget the newest if it is one.

        Returns whether it was.
        """
        with self._lock:
            self._takes_live, self._offer = False, None
            was_live = self._newest is not None and self._newest.live
            if was_live:
                self._newest = None
            return was_live

    def offer(self, load: Callable[[], bytes | None], captured_at: float) -> None:
        """Have a live picture ready, instead of publishing it, while no frame is wanted.

        ``load`` returns its JPEG, or None if it cannot be shown; any thread may call it.
        """
        with self._lock:
            if self._takes_live:
                self._offer = _Offer(load, captured_at)

    def subscribe(
        self, on_put: Callable[[], None] | None = None, *, wants: bool = True
    ) -> Latest[Frame]:
        """Return a new slot; it holds the newest frame already, if there is one.

        ``on_put`` is called for each frame in the thread that publishes it, see :class:`Latest`.
        ``wants`` is whether frames have to be made for it, see :meth:`want`.
        """
        slot: Latest[Frame] = Latest(on_put)
        with self._lock:
            self._slots.append(slot)
            if self._newest:
                slot.put(self._newest)
        self.want(slot, wants)
        return slot

    def want(self, slot: Latest[Frame], wants: bool) -> None:
        """Set whether frames have to be made for ``slot``; others reach it all the same."""
        with self._lock:
            if wants:
                self._wanting.add(slot)
            else:
                self._wanting.discard(slot)

    def unsubscribe(self, slot: Latest[Frame]) -> None:
        """Put no more frames into ``slot``."""
        self.want(slot, wants=False)
        with self._lock:
            self._slots = [each for each in self._slots if each is not slot]

    def sample(self, take: Callable[[Frame], None], framerate: float) -> Sampling:
        """Pass ``take`` so many live frames a second; each is made, whether others want it or not.

        Until :meth:`end_sampling`. ``take`` must not call the hub.
        """
        sampling = Sampling(take, framerate)
        with self._lock:
            self._samplings = [*self._samplings, sampling]
            self._due = 0.0
        return sampling

    def end_sampling(self, sampling: Sampling) -> None:
        """Pass it no more frames."""
        with self._lock:
            self._samplings = [each for each in self._samplings if each is not sampling]
            self._due = min((each.due for each in self._samplings), default=math.inf)

    def _accept(self, offer: _Offer, data: bytes) -> bool:
        """Publish what was on offer; return False if there is something newer by now."""
        with self._lock:
            if self._offer is not offer:
                return False
            self._publish(data, offer.captured_at, live=True)
            return True

    def _publish(self, data: bytes, captured_at: float, *, live: bool) -> Frame:
        timestamp = captured_at + clock.ahead()
        frame = Frame(data, self._count + 1, captured_at, timestamp, live)
        if live and not self._takes_live:
            return frame
        self._count += 1
        self._newest = frame
        self._offer = None
        for slot in self._slots:
            slot.put(frame)
        if live and captured_at >= self._due:
            self._sample(frame)
        return frame

    def _sample(self, frame: Frame) -> None:
        for sampling in self._samplings:
            if frame.captured_at >= sampling.due:
                sampling.advance(frame.captured_at)
                sampling.take(frame)
        self._due = min((each.due for each in self._samplings), default=math.inf)
