"""Counters: what the capture thread has counted and measured, the frame rate among it."""

from __future__ import annotations

import time

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
