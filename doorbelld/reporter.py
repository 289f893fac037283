"""Reporter: tells the log what changes, but not more often than a person wants to read it."""

from __future__ import annotations

import logging
import threading
import time

_BURST = 12
"""Lines in a row that are told at once: a camera lost and found six times."""

_INTERVAL = 120.0
"""Seconds after which one more may be told."""


class Reporter:
    """Logs lines of which only the newest matters, a few at once and then one now and then.

    What comes in between is counted, not told. The newest is told in the end, if it is still
    the newest then: so the log's last word is never out of date for long. Any thread may call it.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._credit = float(_BURST)
        self._counted_at = time.monotonic()
        self._held: tuple[int, str] | None = None
        self._untold = 0

    def tell(self, level: int, text: str) -> None:
        """Log ``text``, now or later."""
        with self._lock:
            self._untold += self._held is not None
            self._held = level, text
            self._tell_what_is_held()

    def turn(self) -> None:
        """Tell what is held back, if it is time; to be called now and then."""
        if self._held is not None:  # Mostly there is nothing, and a camera asks for every frame.
            with self._lock:
                self._tell_what_is_held()

    def _tell_what_is_held(self) -> None:
        if self._held is None:
            return
        now = time.monotonic()
        gained = (now - self._counted_at) / _INTERVAL
        self._credit, self._counted_at = min(self._credit + gained, _BURST), now
        if self._credit < 1:
            return
        self._credit -= 1
        (level, text), self._held = self._held, None
        more = f" (before this, {self._untold} lines were left out)" if self._untold else ""
        self._untold = 0
        self._logger.log(level, "%s%s", text, more)
