"""Closes what may hang while it is closed, without hanging with it."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from doorbelld.camera.base import CameraStuckError, describe

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

PATIENCE = 1.5
"""Seconds a library gets to close its camera; the daemon promises to stop within two."""

_hanging: list[threading.Thread] = []


def close_in_time(name: str, close: Callable[[], None]) -> None:
    """Call ``close``, and wait for it, but not for ever; log if it fails or goes on."""

    def run() -> None:
        try:
            close()
        except Exception as error:  # noqa: BLE001  # camera libraries raise what they like
            logger.warning("%s: error while it was closed: %s", name, describe(error))

    thread = threading.Thread(target=run, name=f"close {name}", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        run()  # The system is out of threads, and a camera that stays open cannot be opened again.
        return
    thread.join(PATIENCE)
    if thread.is_alive():
        _hanging.append(thread)
        logger.error("%s: its library hangs while it is closed", name)


def join_receiver(name: str, thread: threading.Thread) -> None:
    """Wait a second for the thread that reads from the network, if it was started."""
    if thread.ident is not None:
        thread.join(1)
        if thread.is_alive():
            logger.info("%s: waiting for the network to give up", name)


def refuse_if_stuck(name: str) -> None:
    """Raise CameraStuckError if a library that was to close its camera still hangs."""
    _hanging[:] = [thread for thread in _hanging if thread.is_alive()]
    if _hanging:
        raise CameraStuckError(f"{name} hangs; only a restart of doorbelld can help")
