"""Shutter: whether the camera was closed on purpose, which outlives the daemon."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from doorbelld.system import clock, files, secretfile

_log = logging.getLogger(__name__)

_OPEN, _CLOSED = "open", "closed"


class ShutterState(NamedTuple):
    """``since`` is in Unix seconds."""

    closed: bool
    since: float


class Shutter:
    """Keeps its state in a file of ``folder``; without one, only in memory.

    A file that cannot be understood counts as closed: it may have been. ``pause`` closes the
    camera, or opens it again; it waits for nothing. Any thread may call the methods.
    """

    def __init__(self, folder: Path | None, pause: Callable[[bool], None]) -> None:
        self._path = folder / "shutter" if folder else None
        self._pause = pause
        self._lock = threading.Lock()
        self._closed = False
        self._since = 0.0
        # Of a change in this process; its Unix time follows the clock when that is set.
        self._changed_at: float | None = time.monotonic()
        self._is_saved = True
        self.problem = ""
        self._read()

    @property
    def state(self) -> ShutterState:
        """The state as it is now."""
        changed_at = self._changed_at
        since = self._since if changed_at is None else clock.unix(changed_at)
        return ShutterState(self._closed, round(since, 3))

    def close(self, closed: bool) -> ShutterState:
        """Close or open it, at once; :meth:`save` keeps that."""
        with self._lock:
            if closed != self._closed:
                self._closed = closed
                self._changed_at = time.monotonic()
                self._is_saved = False
                _log.info("the shutter is %s", _CLOSED if closed else _OPEN)
                self._pause(closed)
            return self.state

    def save(self) -> None:
        """Write the state to the disk if it has changed, or could not be written before."""
        with self._lock:
            if self._is_saved or self._path is None:
                return
            closed, since = self.state
            self._is_saved = True
        text = f"{_CLOSED if closed else _OPEN} {since}\n"
        try:
            secretfile.write(self._path, text.encode())
        except OSError as error:
            self._is_saved = False
            problem = (
                f"{self._path}: {error.strerror}; the shutter stays"
                f" {_CLOSED if closed else _OPEN}, but not after a restart"
            )
            if problem != self.problem:
                _log.error("%s", problem)
            self.problem = problem
        else:
            self.problem = ""

    def _read(self) -> None:
        """Begin with what the file says."""
        if self._path is None:
            return
        try:
            word, _, since = files.read(self._path).decode().strip().partition(" ")
            self._closed = {_OPEN: False, _CLOSED: True}[word]
            self._since = float(since)
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is damaged"
            self._closed = True
            self.problem = (
                f"{self._path}: {why}; the camera stays closed until the shutter is opened"
            )
            _log.error("%s", self.problem)
            with suppress(OSError):
                self._since = self._path.stat().st_mtime
        self._changed_at = None
        if self._closed:
            self._pause(True)
