"""Loop: a thread that waits for many sockets with one epoll, and can be woken, watched, stopped."""

from __future__ import annotations

import logging
import select
import threading
import time

from doorbelld.system.wakeup import Wakeup

_log = logging.getLogger(__name__)


class Loop:
    """The thread, its epoll and its wake-up. A subclass says what it does in between.

    ``beat`` is the time.monotonic() of its last turn, for the watchdog: ``_loop`` sets it, and
    returns soon once ``_stopping`` is set.
    """

    def __init__(self, name: str) -> None:
        self.beat = time.monotonic()
        self._stopping = False
        self._epoll = select.epoll()
        self._wakeup = Wakeup()
        self._epoll.register(self._wakeup, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs; false after start() means that it failed."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread. Raises RuntimeError where the system has none."""
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> bool:
        """Let the thread end and close all; return whether it did within ``timeout`` seconds."""
        self._stopping = True
        self._wakeup.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        elif not self._epoll.closed:
            self._close()
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._loop()
        except Exception:  # noqa: BLE001  # the thread ends, and the daemon with it
            _log.exception("the %s loop failed", self._thread.name)
        finally:
            self._stopping = True
            self._close()

    def _loop(self) -> None:
        """Wait and serve until told to stop."""
        raise NotImplementedError

    def _close(self) -> None:
        """Close everything; the last that is called."""
        self._epoll.close()
        self._wakeup.close()
