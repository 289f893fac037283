"""Threads of cameras that may hang: each is given some time to end, and then left behind."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from doorbelld.drivers.errors import CameraError, CameraStuckError, Reason, describe
from doorbelld.system.latest import Latest

logger = logging.getLogger(__name__)

PATIENCE = 1.5
"""Seconds a library gets to close its camera; the daemon promises to stop within two."""

_OPENING = 1.0
"""Seconds that opening a network camera may take, before read() reports what becomes of it."""

_NETWORK_PATIENCE = 1.0
"""Seconds a network connection gets to end."""

_hanging: list[threading.Thread] = []

T = TypeVar("T")


class Receiver(Generic[T]):
    """A thread that reads from the network all the time, and the newest thing it received.

    ``receive`` runs in that thread. It calls :meth:`put` and :meth:`opened`, returns when
    :attr:`closing` is set, and raises what :meth:`take` then raises.
    """

    def __init__(self, name: str, receive: Callable[[], None]) -> None:
        self.closing = threading.Event()
        self._name = name
        self._receive = receive
        self._newest: Latest[T] = Latest()
        self._opened = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"receive {name}", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread; wait a second for the connection.

        Raises what goes wrong in that time; after that, :meth:`take` does.
        """
        try:
            self._thread.start()
        except RuntimeError as error:
            text = f"The system is out of threads: {error}"
            raise CameraError(text, Reason.SOFTWARE) from error
        if self._opened.wait(_OPENING):
            self._newest.check()

    def take(self, timeout: float) -> T | None:
        """Return the newest thing received, or None if there is none within ``timeout``."""
        return self._newest.take(timeout)

    def stop(self) -> None:
        """Wait a second for the thread, if it was started; ``closing`` must have an effect."""
        self.closing.set()
        if self._thread.ident is not None:
            self._thread.join(_NETWORK_PATIENCE)
            if self._thread.is_alive():
                logger.info("%s: waiting for the network to give up", self._name)

    # In the thread.

    def opened(self) -> None:
        """Let :meth:`start` return: the connection works."""
        self._opened.set()

    def put(self, item: T) -> None:
        """Replace the newest thing."""
        self._newest.put(item)

    def _run(self) -> None:
        try:
            self._receive()
        except Exception as error:  # noqa: BLE001  # take() reports it, whatever it is
            self._newest.fail(error)
        self._opened.set()


def close_in_time(name: str, close: Callable[[], None]) -> None:
    """Call ``close`` in a thread, and wait for it, but not for ever; log if it fails or hangs."""

    def run() -> None:
        try:
            close()
        except Exception as error:  # noqa: BLE001  # camera libraries raise what they like
            logger.warning("%s: error while it was closed: %s", name, describe(error))

    thread = threading.Thread(target=run, name=f"close {name}", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        run()  # The system is out of threads, and a camera left open cannot be opened again.
        return
    thread.join(PATIENCE)
    if thread.is_alive():
        _hanging.append(thread)
        logger.error("%s: its library hangs while it is closed", name)


def refuse_if_stuck(name: str) -> None:
    """Raise CameraStuckError if a library is still hanging while it closes a camera."""
    _hanging[:] = [thread for thread in _hanging if thread.is_alive()]
    if _hanging:
        raise CameraStuckError(f"{name} hangs; only a restart of doorbelld can help")
