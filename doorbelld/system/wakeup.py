"""Wakeup: lets a thread or a signal handler wake a thread that waits in poll or epoll."""

from __future__ import annotations

import os
import select
from io import FileIO


class Wakeup:
    """A pipe that becomes readable when :meth:`set` is called, until :meth:`clear`.

    ``set`` may be called from any thread and from a signal handler, and after ``close``.
    """

    def __init__(self) -> None:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._reader, self.writer = FileIO(reader, "rb"), FileIO(writer, "wb")

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._reader.closed

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._reader.fileno()

    def set(self) -> None:
        """Wake the waiting thread."""
        # If it is full, there are enough wake-ups in it, and nothing is written. If it is closed,
        # or is being closed by another thread, no thread waits any more.
        try:  # noqa: SIM105  # suppress() costs several calls, and this is done for every frame.
            self.writer.write(b"\0")
        except (ValueError, OSError):
            pass

    def wait(self, timeout: float) -> None:
        """Return once it is set, or after ``timeout`` seconds.

        Changes of the system clock make no difference. The waits of ``threading`` use that
        clock in Python before 3.9.8, such as Debian 11's.
        """
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        poll.poll(timeout * 1000)

    def clear(self) -> bytes:
        """Make it quiet again; return the bytes that were sent to it.

        If there are more than it reads at once, it stays readable: call it again.
        """
        return self._reader.read(256) or b""

    def close(self) -> None:
        """Close both ends."""
        self._reader.close()
        self.writer.close()
