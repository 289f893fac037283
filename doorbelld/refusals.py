"""Refusals: who was turned away, told in the log without letting strangers fill it."""

from __future__ import annotations

import logging
import threading
import time

_log = logging.getLogger(__name__)

_WINDOW = 60.0
"""Seconds for which a refusal is not repeated."""

_MOST = 10
"""Lines in that time; what is more is counted, and told with the next one."""


class Refusals:
    """Logs refusals; may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: set[tuple[str, str]] = set()
        self._untold = 0
        self._window_ends = 0.0

    def note(self, address: str, why: str) -> None:
        """Log that ``address`` was refused and why; once a minute, and ten lines in all."""
        with self._lock:
            untold = self._turn_the_page()
            is_news = (address, why) not in self._told and len(self._told) < _MOST
            if is_news:
                self._told.add((address, why))
            else:
                self._untold += 1
        if untold:
            _log.warning("refused %d more times since the last minute's lines", untold)
        if is_news:
            _log.warning("%s: refused: %s", address, why)

    def _turn_the_page(self) -> int:
        """Begin a new window if it is time; return how many were not told in the last one."""
        now = time.monotonic()
        if now < self._window_ends:
            return 0
        untold, self._untold = self._untold, 0
        self._told.clear()
        self._window_ends = now + _WINDOW
        return untold
