"""Latest: passes the newest item from one thread to another, and drops older ones."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """A slot for one item. A newer item replaces one that was not taken yet.

    With ``on_put`` it is called after each put(), in the thread that puts, and must not block.
    That is for a reader that waits for sockets too: take() without a timeout is for it. Other
    readers wait in take().
    """

    def __init__(self, on_put: Callable[[], None] | None = None) -> None:
        # Its append() and popleft() are atomic, and cost much less than a lock around them.
        self._items: deque[T] = deque(maxlen=1)
        self._changed = threading.Condition()
        self._on_put = on_put or self._notify
        self._error: Exception | None = None

    def put(self, item: T) -> None:
        """Store ``item``; never waits for the reader."""
        self._items.append(item)
        self._on_put()

    def fail(self, error: Exception) -> None:
        """Make every take() raise ``error`` from now on."""
        self._error = error
        self._on_put()

    def check(self) -> None:
        """Raise the error, if there is one."""
        if self._error:
            raise self._error

    def take(self, timeout: float = 0.0) -> T | None:
        """Return the item and empty the slot; None if no item comes within ``timeout`` seconds."""
        if timeout > 0:
            with self._changed:
                self._changed.wait_for(self._is_ready, timeout)
        if self._error:
            raise self._error
        try:
            return self._items.popleft()
        except IndexError:
            return None

    def _is_ready(self) -> bool:
        return bool(self._items) or self._error is not None

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify()
