"""Wakeup: how one thread, or a signal handler, wakes another out of epoll."""

from __future__ import annotations

import select
import socket
from contextlib import suppress


class Wakeup:
    """A socket that becomes readable when :meth:`set` is called and quiet after :meth:`clear`.

    ``set`` may be called from any thread and from a signal handler, and after ``close``.
    """

    def __init__(self) -> None:
        self._reader, self.writer = socket.socketpair()
        self._reader.setblocking(False)
        self.writer.setblocking(False)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._reader.fileno()

    def set(self) -> None:
        """Wake the waiting thread."""
        # Full: it has wake-ups enough. Closed: nobody waits any more.
        with suppress(OSError):
            self.writer.send(b"\0")

    def wait(self, timeout: float) -> None:
        """Return once it is set, or after ``timeout`` seconds.

        However the clock is set meanwhile: those of threading wait by the clock on the wall
        in Pythons before 3.9.8, such as Debian 11's.
        """
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        poll.poll(timeout * 1000)

    def clear(self) -> bytes:
        """Take back the wake-ups; return the bytes that stood for them.

        Were there more than it takes at once, it stays readable: call it again.
        """
        try:
            return self._reader.recv(4096)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Close both ends."""
        self._reader.close()
        self.writer.close()
