"""Room: how much memory the limit of this process (ulimit -v) leaves for a library."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

_MB = 2**20
_M_ARENA_MAX = -8  # of malloc.h


class NoRoomError(ImportError):
    """The limit leaves too little memory for a library; the text says how much."""


def make_sure_of(needed: int, what: str) -> None:
    """Raise NoRoomError if less than ``needed`` bytes of address space are left for ``what``."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    if allowed == resource.RLIM_INFINITY:
        return
    left = max(allowed - _used(), 0)
    if left < needed:
        raise NoRoomError(
            f"the memory limit (ulimit -v) leaves {left // _MB} MB for {what},"
            f" which takes {needed // _MB} MB"
        )


def use_sparingly() -> None:
    """Make all threads share one malloc arena if address space is limited.

    Call this before they start. Otherwise glibc reserves 128 MB for a moment, and 64 MB for
    good, at the first allocation of each thread, and the next thread may not start.
    """
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return
    import ctypes  # It needs memory, and such limits are rare.

    with suppress(OSError, AttributeError):  # Another C library may not have it.
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _used() -> int:
    """Return how many bytes of address space this process has taken, 0 where that is unknown."""
    with suppress(OSError):
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
        return int(pages) * resource.getpagesize()
    return 0
