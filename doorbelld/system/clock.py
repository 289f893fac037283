"""The clock on the wall, for moments that were taken by the one that nobody sets.

A machine without a battery believes itself to be in the past until it has asked a time server.
What was noted before must not look a day old then, so moments are kept in time.monotonic(),
and told in the time that the wall has now.
"""

from __future__ import annotations

import time

_SLACK = 1.0
"""Seconds that the clock may be moved without a moment being told anew: it is always moved a
little, and what is told twice should be the same."""

_PAUSE = 0.001
"""Seconds between looks at the two clocks that are too many: the thread was held up."""


def ahead() -> float:
    """Return how many seconds the wall's clock is ahead of time.monotonic() now."""
    for _ in range(5):
        before, wall, after = time.monotonic(), time.time(), time.monotonic()
        if after - before < _PAUSE:
            break
    return wall - before


class _Wall:
    def __init__(self) -> None:
        self._ahead = ahead()

    def unix(self, moment: float) -> float:
        """Return the Unix time of a moment of time.monotonic(), by the clock as it is set now."""
        now = ahead()
        if abs(now - self._ahead) > _SLACK:
            self._ahead = now
        return moment + self._ahead


unix = _Wall().unix
