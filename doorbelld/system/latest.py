"""Mailbox: hands the newest thing from a library's thread to the thread that reads."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Room for one item. A newer one takes the place of one that nobody has fetched."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._error: Exception | None = None

    def put(self, item: T) -> None:
        """Leave ``item``; never waits for the reader."""
        with self._changed:
            self._item = item
            self._changed.notify()

    def fail(self, error: Exception) -> None:
        """Let every take() raise ``error`` from now on."""
        with self._changed:
            self._error = error
            self._changed.notify()

    def check(self) -> None:
        """Raise the error, if there is one."""
        with self._changed:
            if self._error:
                raise self._error

    def take(self, timeout: float) -> T | None:
        """Return the item, or None if none comes within ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._item or self._error, timeout)
            if self._error:
                raise self._error
            item, self._item = self._item, None
            return item
