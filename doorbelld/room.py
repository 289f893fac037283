"""Room: the memory that the limits of this process leave, before a library asks for it."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

_MB = 2**20

_LIMITS = (
    (resource.RLIMIT_AS, "VmSize:", "ulimit -v"),
    (resource.RLIMIT_DATA, "VmData:", "ulimit -d"),
)
"""Each limit, the line of /proc/self/status that counts against it, and how a shell sets it."""


class NoRoomError(ImportError):
    """A limit leaves too little memory for a library; the text says which, without a full stop."""


def make_sure_of(needed: int, what: str) -> None:
    """Raise NoRoomError if a limit leaves less than ``needed`` bytes for the library ``what``."""
    for limit, line, command in _LIMITS:
        allowed, _ = resource.getrlimit(limit)
        if allowed == resource.RLIM_INFINITY:
            continue
        left = allowed - _used(line)
        if left < needed:
            raise NoRoomError(
                f"the memory limit ({command}) leaves {max(left, 0) // _MB} MB for {what},"
                f" which takes {needed // _MB} MB"
            )


def _used(line: str) -> int:
    """Return how many bytes the kernel counts, 0 where it cannot be read."""
    with suppress(OSError, StopIteration):
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        found = next(each for each in status.splitlines() if each.startswith(line))
        return int(found.split()[1]) * 1024
    return 0
