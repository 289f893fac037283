"""Pace: the even beat at which files and the test pattern deliver their pictures."""

from __future__ import annotations

import time


class Pace:
    """An even beat on ``time.monotonic()``'s clock, counted from its first use.

    The beats are on a fixed grid, so a late one never delays the next. Beats that were missed
    are skipped. ``beats`` counts all beats, skipped ones included.
    """

    def __init__(self, framerate: float) -> None:
        self._framerate = framerate
        self._start: float | None = None
        self.beats = 0

    def wait(self, timeout: float) -> float | None:
        """Sleep until the next beat and return its moment; None if it is not within ``timeout``."""
        now = time.monotonic()
        if self._start is None:
            self._start = now
        self.beats = max(self.beats, int((now - self._start) * self._framerate))
        due = self._start + self.beats / self._framerate
        if due - now > timeout:
            time.sleep(max(timeout, 0))
            return None
        time.sleep(max(due - now, 0))
        self.beats += 1
        return due
