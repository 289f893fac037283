"""Resident memory of the daemon: with one and with many viewers, over time, and with OpenCV."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench import procfs, servers

if TYPE_CHECKING:
    from bench.load import ViewerGroup
    from bench.material import Material
    from bench.servers import Running

_SETTLE = 3.0
_SAMPLES = 60


class Memory(NamedTuple):
    """All in megabytes; ``growth`` is that of many viewers, from the first samples to the last."""

    one_viewer: float
    many_viewers: float
    growth: float
    opencv: float


def measure(group: ViewerGroup, frames: Material, viewers: int, soak: float) -> Memory:
    """Measure with one viewer, and with ``viewers`` viewers for ``soak`` seconds."""
    with servers.doorbelld(f"file:{frames.mjpeg}").run() as running:
        running.wait_listening()
        one = _settled(group, running)
        with group.watching(running, viewers):
            time.sleep(_SETTLE)
            samples = _sample(running, soak)
    with servers.doorbelld(f"file:{frames.video}").run() as running:
        running.wait_listening()
        opencv = _settled(group, running)
    quarter = len(samples) // 4
    growth = median(samples[-quarter:]) - median(samples[:quarter])
    return Memory(one, max(samples), growth, opencv)


def _settled(group: ViewerGroup, running: Running) -> float:
    with group.watching(running, 1):
        time.sleep(_SETTLE)
        return procfs.resident_mb(running.pid)


def _sample(running: Running, seconds: float) -> list[float]:
    samples = []
    for _ in range(_SAMPLES):
        samples.append(procfs.resident_mb(running.pid))
        time.sleep(seconds / _SAMPLES)
    return samples
