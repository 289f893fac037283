"""Clock: turns moments of time.monotonic() into Unix time.

A machine without a battery has a wrong system clock until it has asked a time server. Moments
from before must not look a day old after that. So moments are kept on time.monotonic()'s clock,
which is never set, and converted by the system clock as it is now.
"""

from __future__ import annotations

import time

_SLACK = 1.0
"""Seconds by which the system clock may be moved without any effect here: it is always moved a
little, and the same moment should have the same Unix time when it is asked for again."""

_PAUSE = 0.001
"""Seconds between two readings of the clock; if there are more, the thread was interrupted."""


def ahead() -> float:
    """Return how many seconds the system clock is ahead of time.monotonic() now."""
    for _ in range(5):
        before, system, after = time.monotonic(), time.time(), time.monotonic()
        if after - before < _PAUSE:
            break
    return system - before


class _SystemClock:
    def __init__(self) -> None:
        self._ahead = ahead()

    def offset(self) -> float:
        """Return what has to be added to a moment of time.monotonic() for its Unix time.

        It is by the system clock of now, but ignores small changes.
        """
        now = ahead()
        if abs(now - self._ahead) > _SLACK:
            self._ahead = now
        return self._ahead

    def follow(self, before: float) -> None:
        """Go on from what another process on this boot used, unless the clock was set since."""
        if abs(ahead() - before) <= _SLACK:
            self._ahead = before


_system = _SystemClock()
offset, follow = _system.offset, _system.follow


def unix(moment: float) -> float:
    """Return the Unix time of a moment of time.monotonic(), by the system clock of now."""
    return moment + offset()
