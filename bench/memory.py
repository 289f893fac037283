"""Resident memory of the daemon: with few and many viewers, for a while, and with OpenCV."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench import procfs, servers

if TYPE_CHECKING:
    from bench.load import Crowd
    from bench.material import Material
    from bench.servers import Running

_SETTLE = 3.0
_SAMPLES = 60


class Memory(NamedTuple):
    """Megabytes, and by how many it grew while it was watched."""

    one_viewer: float
    many_viewers: float
    growth: float
    opencv: float


def measure(crowd: Crowd, of: Material, viewers: int, soak: float) -> Memory:
    """Measure with 1 and with ``viewers`` viewers, the latter for ``soak`` seconds."""
    with servers.doorbelld(f"file:{of.mjpeg}").run() as running:
        running.wait_listening()
        one = _settled(crowd, running)
        with crowd.watching(running, viewers):
            time.sleep(_SETTLE)
            samples = _sample(running, soak)
    with servers.doorbelld(f"file:{of.video}").run() as running:
        running.wait_listening()
        opencv = _settled(crowd, running)
    quarter = len(samples) // 4
    growth = median(samples[-quarter:]) - median(samples[:quarter])
    return Memory(one, max(samples), growth, opencv)


def _settled(crowd: Crowd, running: Running) -> float:
    with crowd.watching(running, 1):
        time.sleep(_SETTLE)
        return procfs.resident_mb(running.pid)


def _sample(running: Running, seconds: float) -> list[float]:
    samples = []
    for _ in range(_SAMPLES):
        samples.append(procfs.resident_mb(running.pid))
        time.sleep(seconds / _SAMPLES)
    return samples
