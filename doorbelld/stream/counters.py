"""Counters: what the capture thread has counted and measured, and what viewers were sent."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple, Protocol

_INTERVALS = 30
"""About how many intervals the mean goes back."""

_SHORTEST_INTERVAL = 1 / 240
"""Seconds between frames at the highest rate that can be configured."""


class FrameRate:
    """The mean interval between frames.

    It is not the mean of rates: that would jump with every frame that comes early.
    """

    def __init__(self) -> None:
        self._interval = 0.0
        self._intervals = 0
        self._last_at: float | None = None

    @property
    def fps(self) -> float:
        """Frames a second; 0 before the second frame."""
        interval = self._interval
        return 1 / interval if interval > 0 else 0.0

    @property
    def pause(self) -> float:
        """Seconds to wait before the next frame, so that a driver that never waits is slowed down.

        It would take a whole processor, and every viewer's link.
        """
        is_flood = self._intervals == _INTERVALS and self._interval < _SHORTEST_INTERVAL
        return _SHORTEST_INTERVAL if is_flood else 0.0

    def reset(self) -> None:
        """Measure from the next frame on."""
        self._interval, self._intervals, self._last_at = 0.0, 0, None

    def add(self, captured_at: float) -> None:
        """Count a frame."""
        if self._last_at is not None:
            self._intervals = min(self._intervals + 1, _INTERVALS)
            self._interval += (captured_at - self._last_at - self._interval) / self._intervals
        self._last_at = captured_at


class Counters:
    """Written by the capture thread alone; any thread may read.

    ``size`` is (width, height) of the last live picture, ``captured_at`` the moment of its
    capture on time.monotonic()'s clock. ``frames`` counts live pictures, ``opened`` how often a
    camera was opened, ``invalid`` the pictures that could not be shown, of all cameras that are
    closed by now.
    """

    def __init__(self) -> None:
        self.size: tuple[int, int] | None = None
        self.captured_at: float | None = None
        self.frames = 0
        self.opened = 0
        self.invalid = 0
        self.rate = FrameRate()

    @property
    def reopened(self) -> int:
        """How often a camera was opened after the first time."""
        return max(0, self.opened - 1)

    @property
    def age_ms(self) -> int | None:
        """How old the last live picture is, in milliseconds; None before the first."""
        captured_at = self.captured_at
        return None if captured_at is None else round((time.monotonic() - captured_at) * 1000)


class Counted(Protocol):
    """A viewer, as far as it is counted here."""

    sent: int
    dropped: int


class Deliveries(NamedTuple):
    """Frames that were sent to viewers, and frames that viewers have missed."""

    sent: int
    dropped: int


class DeliveryCounter:
    """Counts the frames of all viewers of this process, also of those that have left.

    It adds up what each viewer counts anyway, so sending a frame costs no more. Those that are
    here are added up only when something asks. Any thread may call the methods.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._here: dict[Counted, Deliveries] = {}
        self._gone = Deliveries(0, 0)
        self._most = self._gone

    def begin(self, viewer: Counted) -> None:
        """Count this viewer from now on. It may have been sent frames by the process before."""
        with self._lock:
            self._here[viewer] = Deliveries(viewer.sent, viewer.dropped)

    def end(self, viewer: Counted) -> None:
        """Keep what was counted for this viewer, which has left."""
        with self._lock:
            self._gone = _added(self._gone, viewer, self._here.pop(viewer))

    def total(self) -> Deliveries:
        """Return all of them; neither number is ever lower than the time before.

        A viewer takes a miss back when it is given a second chance.
        """
        with self._lock:
            total = self._gone
            for viewer, before in self._here.items():
                total = _added(total, viewer, before)
            self._most = Deliveries(*map(max, total, self._most))
            return self._most


def _added(total: Deliveries, viewer: Counted, before: Deliveries) -> Deliveries:
    sent, dropped = viewer.sent - before.sent, viewer.dropped - before.dropped
    return Deliveries(total.sent + sent, total.dropped + dropped)
