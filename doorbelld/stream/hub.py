"""FrameHub: numbers every frame, and passes the newest to everything that wants pictures."""

from __future__ import annotations

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


class _Offer(NamedTuple):
    """A picture that is made into a frame only if something asks for it."""

    load: Callable[[], bytes | None]
    captured_at: float


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
        self._offer: _Offer | None = None
        self._slots: list[Latest[Frame]] = []
        self._wanting: set[Latest[Frame]] = set()

    @property
    def is_wanted(self) -> bool:
        """Whether a subscriber wants frames at the moment."""
        return bool(self._wanting)

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
        """Make this JPEG the newest frame; return the frame, with its number."""
        with self._lock:
            return self._publish(data, captured_at, live=live)

    def offer(self, load: Callable[[], bytes | None], captured_at: float) -> None:
        """Have a live picture ready, instead of publishing it, while no frame is wanted.

        ``load`` returns its JPEG, or None if it cannot be shown; any thread may call it.
        """
        with self._lock:
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

    def _accept(self, offer: _Offer, data: bytes) -> bool:
        """Publish what was on offer; return False if there is something newer by now."""
        with self._lock:
            if self._offer is not offer:
                return False
            self._publish(data, offer.captured_at, live=True)
            return True

    def _publish(self, data: bytes, captured_at: float, *, live: bool) -> Frame:
        timestamp = captured_at + clock.ahead()
        number = self._newest.sequence + 1 if self._newest else 1
        frame = self._newest = Frame(data, number, captured_at, timestamp, live)
        self._offer = None
        for slot in self._slots:
            slot.put(frame)
        return frame
