"""Condition: what a process holds of the machine, before an abuse and after it."""

from __future__ import annotations

import time
from typing import NamedTuple

from tests.support import processes
from tests.support.daemon import GUARD, eventually

MARGIN = 16 * 1024 * 1024
"""Bytes of memory that a process may have more than before, if a test says nothing else.

An allocator keeps some of what was freed, and OpenCV takes its tables when it first needs
them. A leaked frame of 30 MB, or a hundred leaked connections with their buffers, is more.
"""

_LOOKS = 10


class Condition(NamedTuple):
    """A process's open descriptors, threads, and resident memory in bytes.

    Take it when what the abuse will need anyway has been used once (a viewer has joined and
    left, a card has been drawn): what is loaded then, stays. So do the handler threads, of
    which there may come to be ``server.max_requests``: with one, after one request, they are
    as many before as after.
    """

    pid: int
    descriptors: int
    threads: int
    resident: int

    @classmethod
    def now(cls, pid: int) -> Condition:
        """Return what it is at this very moment."""
        counts = len(processes.descriptors(pid)), processes.threads(pid)
        return cls(pid, *counts, processes.resident(pid))

    @classmethod
    def of(cls, pid: int) -> Condition:
        """Return the least of several looks: a thread that answers a request comes and goes."""
        looks = []
        for _ in range(_LOOKS):
            looks.append(cls.now(pid))
            time.sleep(0.01)
        return cls(pid, *(min(column) for column in list(zip(*looks))[1:]))

    def is_back(self, memory: int = MARGIN, threads: int = 0) -> bool:
        """Tell whether the process has no more than this now, but for so much."""
        now = Condition.now(self.pid)
        return (
            now.descriptors <= self.descriptors
            and now.threads <= self.threads + threads
            and now.resident <= self.resident + memory
        )

    def wait_until_back(self, memory: int = MARGIN, threads: int = 0, guard: float = GUARD) -> None:
        """Wait until the process has no more than this, but for so much."""
        try:
            eventually(lambda: self.is_back(memory, threads), "back", guard)
        except AssertionError:
            left = "\n".join(sorted(processes.descriptors(self.pid)))
            now = Condition.now(self.pid)
            raise AssertionError(f"from {self} to {now}, and not back; open:\n{left}") from None
