"""Condition: the resources that a process holds, before an abuse and after it."""

from __future__ import annotations

import time
from typing import NamedTuple

from tests.support import processes
from tests.support.daemon import GUARD, eventually

MARGIN = 16 * 1024 * 1024
"""Bytes of memory by which a process may grow, if a test sets no other limit.

An allocator keeps some of what was freed, and OpenCV takes its tables when it first needs
them. A leaked frame of 30 MB, or a hundred leaked connections with their buffers, is more.
"""

_MEASUREMENTS = 10


class Condition(NamedTuple):
    """A process's open descriptors, threads, and resident memory in bytes.

    Measure it after everything that the test uses has been used once (a viewer has joined and
    left, a card has been drawn), because what is loaded then stays. So do the handler threads,
    up to ``server.max_requests``: with one, after one request, their number does not change.
    """

    pid: int
    descriptors: int
    threads: int
    resident: int

    @classmethod
    def now(cls, pid: int) -> Condition:
        """Return the condition at this moment."""
        counts = len(processes.descriptors(pid)), processes.threads(pid)
        return cls(pid, *counts, processes.resident(pid))

    @classmethod
    def of(cls, pid: int) -> Condition:
        """Return the least of several measurements: threads for requests come and go."""
        found = []
        for _ in range(_MEASUREMENTS):
            found.append(cls.now(pid))
            time.sleep(0.01)
        return cls(pid, *(min(column) for column in list(zip(*found))[1:]))

    def is_back(self, memory: int = MARGIN, threads: int = 0) -> bool:
        """Return whether the process holds no more than this now, within these margins."""
        now = Condition.now(self.pid)
        return (
            now.descriptors <= self.descriptors
            and now.threads <= self.threads + threads
            and now.resident <= self.resident + memory
        )

    def wait_until_back(self, memory: int = MARGIN, threads: int = 0, guard: float = GUARD) -> None:
        """Wait until the process holds no more than this, within these margins."""
        try:
            eventually(lambda: self.is_back(memory, threads), "back", guard)
        except AssertionError:
            left = "\n".join(sorted(processes.descriptors(self.pid)))
            now = Condition.now(self.pid)
            raise AssertionError(f"from {self} to {now}, and not back; open:\n{left}") from None
