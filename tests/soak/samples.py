"""Samples: the resources of the daemon and of a browser over time, and whether they grow."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, median
from typing import NamedTuple

_HOUR = 3600.0


class Sample(NamedTuple):
    """Seconds since the start; the daemon's resident memory in megabytes of 10^6 bytes, its
    descriptors and threads; the memory of the browser, in megabytes.
    """

    seconds: float
    resident: float
    descriptors: float
    threads: float
    browser: float


def slope(samples: Sequence[Sample], column: str) -> float:
    """Return the growth per hour: the slope of the best fitting line."""
    times = [sample.seconds for sample in samples]
    values = [float(getattr(sample, column)) for sample in samples]
    middle, level = mean(times), mean(values)
    spread = sum((at - middle) ** 2 for at in times)
    if not spread:
        return 0.0
    return sum((at - middle) * (value - level) for at, value in zip(times, values)) / spread * _HOUR


def growth(samples: Sequence[Sample], column: str) -> float:
    """Return the difference between the medians of the last and the first third."""
    third = max(1, len(samples) // 3)
    values = [float(getattr(sample, column)) for sample in samples]
    return median(values[-third:]) - median(values[:third])
