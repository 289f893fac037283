"""InFlight: keeps an encoder from having so many frames that its pictures are old."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress

_MOST = 2
_LOST = 5.0
"""Seconds after which a frame does not count any more: encoders may lose one."""


class InFlight:
    """Counts the frames that an encoder has at the moment: the newest, and one before it.

    enter() and leave() may be called by different threads.
    """

    def __init__(self) -> None:
        self._entered: deque[float] = deque()

    def enter(self) -> bool:
        """Return whether the encoder may get one more frame, and count that."""
        now = time.monotonic()
        if len(self._entered) >= _MOST and now - self._entered[0] > _LOST:
            self._entered.clear()
        if len(self._entered) >= _MOST:
            return False
        self._entered.append(now)
        return True

    def leave(self) -> None:
        """Count a frame as done."""
        with suppress(IndexError):
            self._entered.popleft()
