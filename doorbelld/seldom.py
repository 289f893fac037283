"""Seldom: for what may happen all the time, and is to be said now and then."""

from __future__ import annotations

import time

_INTERVAL = 60.0


class Seldom:
    """Tells whether it is time to say something again: at once, then once a minute at most.

    For sentences that are always the same, so that nothing is lost. Where the newest is what
    matters there is Reporter, and where each is of another client, Refusals. Two threads that
    ask at the very same time may both say it.
    """

    def __init__(self) -> None:
        self._again_at = 0.0

    def is_time(self) -> bool:
        """Return whether to say it now; if so, a minute begins."""
        now = time.monotonic()
        if now < self._again_at:
            return False
        self._again_at = now + _INTERVAL
        return True
