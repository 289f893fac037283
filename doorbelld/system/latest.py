"""Latest: passes the newest item from one thread to another, and drops older ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """A slot for one item. A newer item replaces one that was not taken yet.

    ``on_put`` is called after each put(), in the thread that puts: for a reader that waits for
    other things too, such as sockets. It must not block.
    """

    def __init__(self, on_put: Callable[[], None] | None = None) -> None:
        self._changed = threading.Condition()
        self._on_put = on_put
        self._item: T | None = None
        self._error: Exception | None = None

    def put(self, item: T) -> None:
        """Store ``item``; never waits for the reader."""
        with self._changed:
            self._item = item
            self._changed.notify()
        if self._on_put is not None:
            self._on_put()

    def fail(self, error: Exception) -> None:
        """Make every take() raise ``error`` from now on."""
        with self._changed:
            self._error = error
            self._changed.notify()

    def check(self) -> None:
        """Raise the error, if there is one."""
        with self._changed:
            if self._error:
                raise self._error

    def take(self, timeout: float = 0.0) -> T | None:
        """Return the item and empty the slot; None if no item comes within ``timeout`` seconds."""
        with self._changed:
            if timeout > 0:
                self._changed.wait_for(self._is_ready, timeout)
            if self._error:
                raise self._error
            item, self._item = self._item, None
            return item

    def _is_ready(self) -> bool:
        return self._item is not None or self._error is not None
