"""Worker: a thread that lives as long as the daemon, and can be watched and stopped."""

from __future__ import annotations

import logging
import threading
import time

from doorbelld.system.wakeup import Wakeup

_log = logging.getLogger(__name__)


class Worker:
    """Life cycle, beat and failure of one thread. A subclass defines its work.

    ``_loop`` does the work. It sets ``beat``, the time.monotonic() of its last round, for the
    watchdog; it returns soon after ``_stopping`` is set and ``_wakeup`` wakes it. ``_close``
    releases everything; it runs once, in the thread, or in stop() if the thread never started.
    """

    def __init__(self, name: str) -> None:
        self.beat = time.monotonic()
        self._stopping = False
        self._wakeup = Wakeup()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs; false after start() means that it has failed."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if the system is out of threads."""
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> bool:
        """Ask the thread to end; return whether it did within ``timeout`` seconds.

        May be called more than once, and for a thread that was never started.
        """
        self._stopping = True
        self._wakeup.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        elif not self._wakeup.closed:
            self._close()
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._loop()
        except Exception:  # noqa: BLE001  # main sees that the thread ended, and stops the daemon
            _log.exception("the %s thread failed", self._thread.name)
        finally:
            self._stopping = True
            self._close()

    def _loop(self) -> None:
        """Do the work until ``_stopping`` is set."""
        raise NotImplementedError

    def _close(self) -> None:
        """Release everything. Overrides call this last."""
        self._wakeup.close()
