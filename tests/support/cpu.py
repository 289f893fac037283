"""CPU time: what a piece of code costs, however busy the machine is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

ALLOWED = 0.1
"""Seconds of this process's CPU time that 16 KiB from outside may cost."""

_UNIT = 16 * 1024


@contextmanager
def cpu_bound(length: int, allowed: float = ALLOWED) -> Iterator[None]:
    """Fail if the block costs more than ``allowed`` for each 16 KiB of its ``length`` bytes."""
    started = time.process_time()
    yield
    spent = time.process_time() - started
    bound = allowed * max(1.0, length / _UNIT)
    assert spent <= bound, f"{length} bytes cost {spent:.2f} s of CPU time, more than {bound:.2f} s"
