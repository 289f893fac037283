"""FrameHub: numbers every frame, and passes the newest to everything that wants pictures."""

from __future__ import annotations

import threading
from collections.abc import Callable

from doorbelld.media.frame import Frame
from doorbelld.system import clock
from doorbelld.system.latest import Latest


class FrameHub:
    """Any thread may publish, and any thread may subscribe.

    A frame gets its number and reaches every subscriber under one lock. Otherwise two threads
    that publish at the same time could do it in different orders, and a viewer would see
    numbers go back. No subscriber can delay another: each has a slot that holds the newest
    frame only, and putting a frame there never waits.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: Frame | None = None
        self._slots: list[Latest[Frame]] = []

    @property
    def latest(self) -> Frame | None:
        """The newest frame, live or placeholder; None before the first."""
        return self._latest

    def publish(self, data: bytes, captured_at: float, *, live: bool) -> Frame:
        """Make this JPEG the newest frame; return the frame, with its number."""
        timestamp = captured_at + clock.ahead()
        with self._lock:
            number = self._latest.sequence + 1 if self._latest else 1
            frame = self._latest = Frame(data, number, captured_at, timestamp, live)
            for slot in self._slots:
                slot.put(frame)
        return frame

    def subscribe(self, on_put: Callable[[], None] | None = None) -> Latest[Frame]:
        """Return a new slot; it holds the newest frame already, if there is one.

        ``on_put`` is called for each frame in the thread that publishes it, see :class:`Latest`.
        """
        slot: Latest[Frame] = Latest(on_put)
        with self._lock:
            self._slots.append(slot)
            if self._latest:
                slot.put(self._latest)
        return slot

    def unsubscribe(self, slot: Latest[Frame]) -> None:
        """Put no more frames into ``slot``."""
        with self._lock:
            self._slots = [each for each in self._slots if each is not slot]
