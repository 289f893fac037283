"""A webcam that makes JPEG: what the daemon costs that reads it, and through OpenCV."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench import procfs, startup, stream

if TYPE_CHECKING:
    from bench.servers import Running, Server

_STARTS = 3
_SETTLE = 3.0
_SECONDS = 8.0

_CAMERA = "fake camera"
"""The thread of the simulated camera, which runs in the process; its cost is left out."""


class Costs(NamedTuple):
    """Medians of one server with this camera."""

    memory_mb: float
    frame_us: float
    """CPU time for each frame that its only viewer gets, in microseconds."""
    first_picture: float
    """Seconds from the start of the process."""
    rest_percent: float
    """Of one core, while no one watches."""


def measure(server: Server) -> Costs:
    """Start a server a few times, and measure it at rest and with one viewer."""
    first = median(_first_picture(server) for _ in range(_STARTS))
    with server.run() as running:
        startup.wait_frame(running)
        time.sleep(_SETTLE)
        begin, before = time.monotonic(), procfs.cpu_seconds(running.pid, but=_CAMERA)
        time.sleep(_SECONDS)
        spent = procfs.cpu_seconds(running.pid, but=_CAMERA) - before
        rest = spent / (time.monotonic() - begin) * 100
        frame = _frame_us(running)
        return Costs(procfs.resident_mb(running.pid), frame, first, rest)


def _first_picture(server: Server) -> float:
    begin = time.monotonic()
    with server.run() as running:
        running.wait_listening()
        startup.wait_frame(running)
        return time.monotonic() - begin


def _frame_us(running: Running) -> float:
    parts = stream.parts(running.host, running.port, running.server.path)
    end = time.monotonic() + _SETTLE
    while time.monotonic() < end:
        next(parts)
    count, before = 0, procfs.cpu_seconds(running.pid, but=_CAMERA)
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        next(parts)
        count += 1
    spent = procfs.cpu_seconds(running.pid, but=_CAMERA) - before
    parts.close()
    return spent / count * 1e6
