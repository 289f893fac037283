"""Cost: how much processor time strangers' bytes may take. Waiting costs nothing here."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.processes import cpu_seconds

UNIT = 16 * 1024
"""Bytes: as many as the longest head has."""

BOUND = 0.1
"""Seconds of processor time for so many bytes, whatever they are. What is linear takes a few
milliseconds, what is quadratic takes seconds."""

_BESIDES = 0.25
"""Seconds that a daemon may take in a second for what it does anyway: its camera, its viewers."""


def allowed(size: int) -> float:
    """Return the seconds that bytes of this number may take."""
    return BOUND * max(1, math.ceil(size / UNIT))


def assert_cheap(work: Callable[[], object], size: int = UNIT) -> None:
    """Check what it takes this process to do something with so many bytes, at best of three."""
    found = []
    for _ in range(3):
        with untraced():
            begin = time.process_time()
            work()
            found.append(time.process_time() - begin)
        if found[-1] <= allowed(size):
            return
    raise AssertionError(f"{size} bytes took {min(found):.3f} s of processor time")


@contextmanager
def untraced() -> Iterator[None]:
    """Do not count what coverage takes to follow every line of this thread."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


@contextmanager
def cpu_bound(size: int, bound: float = BOUND) -> Iterator[None]:
    """Fail if the block takes this process more than ``bound`` seconds for each 16 KiB."""
    with untraced():
        started = time.process_time()
        yield
        spent = time.process_time() - started
    most = bound * max(1.0, size / UNIT)
    assert spent <= most, f"{size} bytes took {spent:.2f} s of processor time, more than {most:.2f}"


@contextmanager
def assert_cheap_for(pid: int, size: int, times: int = 1) -> Iterator[None]:
    """Check what it takes a daemon to bear so many bytes, so many times."""
    begin, before = time.monotonic(), cpu_seconds(pid)
    yield
    spent = cpu_seconds(pid) - before
    besides = _BESIDES * (time.monotonic() - begin)
    most = times * allowed(size) + besides
    assert spent <= most, f"{size} bytes took {spent / times:.3f} s of processor time"
