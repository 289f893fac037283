"""Limited log: four ways to log what may happen all the time without filling the journal.

Sentences that are always the same, so that nothing is lost by skipping one: OncePerMinute.
Lines that repeat themselves, such as those of a library: OnceLog.
States of which only the newest matters: StateLog. Clients that are turned away: RefusalLog.
"""

from __future__ import annotations

import logging
import threading
import time

MINUTE = 60.0
_HOUR = 3600.0

_BURST = 12
"""State lines in a row that are logged at once: a camera lost and found six times."""

_INTERVAL = 120.0
"""Seconds after which one more state line may be logged."""

_MOST_REFUSALS = 10
"""Lines about refusals a minute; the others are counted, and the count is logged."""

_MOST_LINES = 20
"""Different lines that an OnceLog logs in its window."""

_log = logging.getLogger(__name__)


class OncePerMinute:
    """Says whether a line is due: at once, and then at most once a minute.

    Two threads that ask at the same moment may both get True.
    """

    def __init__(self) -> None:
        self._again_at = 0.0

    def is_due(self) -> bool:
        """Return whether to log the line now; if so, a minute begins."""
        now = time.monotonic()
        if now < self._again_at:
            return False
        self._again_at = now + MINUTE
        return True


class OnceLog:
    """Logs each line once in ``window`` seconds, and a few different ones.

    Any thread may call it.
    """

    def __init__(self, logger: logging.Logger, window: float = _HOUR) -> None:
        self._logger = logger
        self._window = window
        self._lock = threading.Lock()
        self._logged: set[str] = set()
        self._window_ends = 0.0

    def log(self, level: int, text: str) -> None:
        """Log ``text``, if it is new and not too much was logged before it."""
        with self._lock:
            now = time.monotonic()
            if now >= self._window_ends:
                self._logged.clear()
                self._window_ends = now + self._window
            is_news = text not in self._logged and len(self._logged) < _MOST_LINES
            if is_news:
                self._logged.add(text)
        if is_news:
            self._logger.log(level, "%s", text)


class StateLog:
    """Logs lines of which only the newest matters: a few at once, then one every two minutes.

    Lines in between are counted and left out. The newest is logged in the end if it is still the
    newest then, so the log's last line is never out of date for long. Any thread may call it.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._credit = float(_BURST)
        self._counted_at = time.monotonic()
        self._held: tuple[int, str] | None = None
        self._left_out = 0

    def log(self, level: int, text: str) -> None:
        """Log ``text``, now or later."""
        with self._lock:
            self._left_out += self._held is not None
            self._held = level, text
            self._log_held()

    def flush(self) -> None:
        """Log the line that is held back, if it is time. Call this now and then."""
        if self._held is not None:  # Mostly there is none, and a camera asks for every frame.
            with self._lock:
                self._log_held()

    def _log_held(self) -> None:
        if self._held is None:
            return
        now = time.monotonic()
        gained = (now - self._counted_at) / _INTERVAL
        self._credit, self._counted_at = min(self._credit + gained, _BURST), now
        if self._credit < 1:
            return
        self._credit -= 1
        (level, text), self._held = self._held, None
        more = f" (before this, {self._left_out} lines were left out)" if self._left_out else ""
        self._left_out = 0
        self._logger.log(level, "%s%s", text, more)


class RefusalLog:
    """Logs refused clients, however many there are. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logged: set[tuple[str, str]] = set()
        self._left_out = 0
        self._window_ends = 0.0

    def note(self, address: str, why: str) -> None:
        """Log that ``address`` was refused and why: each once a minute, and ten lines in all."""
        with self._lock:
            left_out = self._begin_window()
            is_news = (address, why) not in self._logged and len(self._logged) < _MOST_REFUSALS
            if is_news:
                self._logged.add((address, why))
            else:
                self._left_out += 1
        if left_out:
            _log.warning("refused %d more times since the last minute's lines", left_out)
        if is_news:
            _log.warning("%s: refused: %s", address, why)

    def _begin_window(self) -> int:
        """Begin a new minute if it is time; return how many lines the last one left out."""
        now = time.monotonic()
        if now < self._window_ends:
            return 0
        left_out, self._left_out = self._left_out, 0
        self._logged.clear()
        self._window_ends = now + MINUTE
        return left_out
