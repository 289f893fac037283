"""Cost: how much processor time foreign bytes may take. Waiting time does not count."""

from __future__ import annotations

import gc
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.processes import cpu_seconds

UNIT = 16 * 1024
"""Bytes: the length of the longest head."""

BOUND = 0.1
"""Seconds of processor time for so many bytes, whatever they are. Linear work takes a few
milliseconds, quadratic work takes seconds."""

_BACKGROUND = 0.25
"""Seconds of processor time that a daemon may take per second for its camera and its viewers."""


def allowed(size: int) -> float:
    """Return the seconds that so many bytes may take."""
    return BOUND * max(1, math.ceil(size / UNIT))


def assert_cheap(work: Callable[[], object], size: int = UNIT) -> None:
    """Check how long this process works on so many bytes: the best of three attempts."""
    found = []
    for _ in range(3):
        with _by_itself():
            begin = time.process_time()
            work()
            found.append(time.process_time() - begin)
        if found[-1] <= allowed(size):
            return
    raise AssertionError(f"{size} bytes took {min(found):.3f} s of processor time")


@contextmanager
def cpu_bound(size: int, bound: float = BOUND) -> Iterator[None]:
    """Fail if the block takes this process more than ``bound`` seconds for each 16 KiB."""
    with _by_itself():
        started = time.process_time()
        yield
        spent = time.process_time() - started
    most = bound * max(1.0, size / UNIT)
    assert spent <= most, f"{size} bytes took {spent:.2f} s of processor time, more than {most:.2f}"


@contextmanager
def assert_cheap_for(pid: int, size: int, times: int = 1) -> Iterator[None]:
    """Check how long a daemon works on so many bytes, so many times."""
    begin, before = time.monotonic(), cpu_seconds(pid)
    yield
    spent = cpu_seconds(pid) - before
    besides = _BACKGROUND * (time.monotonic() - begin)
    most = times * allowed(size) + besides
    assert spent <= most, f"{size} bytes took {spent / times:.3f} s of processor time"


@contextmanager
def _by_itself() -> Iterator[None]:
    """Measure the block alone.

    Coverage would take many times longer than what is measured, and so would the collector if it
    looked through all that the tests before have left in this process.
    """
    tracer = sys.gettrace()
    sys.settrace(None)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.settrace(tracer)
