"""A webcam that makes JPEG: what the daemon costs that reads it, and through OpenCV.

The time to the first picture is that of the camera alone, see first_picture.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench import procfs, servers, startup, stream

if TYPE_CHECKING:
    from bench.servers import Running, Server

_STARTS = 5
_SETTLE = 3.0
_SECONDS = 8.0

_CAMERA = "fake camera"
"""The thread of the simulated camera, which runs in the process; its cost is left out."""


class Costs(NamedTuple):
    """Medians of one server with this camera."""

    memory_mb: float
    frame_us: float
    """CPU time for each frame that its only viewer gets, in microseconds."""
    first_picture_ms: float
    """Milliseconds from opening the camera, with the libraries that this takes."""
    rest_percent: float
    """Of one core, while no one watches."""


def measure(server: Server, *, opencv: bool) -> Costs:
    """Open the camera a few times, and measure the server at rest and with one viewer."""
    first = median(_first_picture_ms(server, opencv=opencv) for _ in range(_STARTS))
    with server.run() as running:
        startup.wait_frame(running)
        time.sleep(_SETTLE)
        begin, before = time.monotonic(), procfs.cpu_seconds(running.pid, but=_CAMERA)
        time.sleep(_SECONDS)
        spent = procfs.cpu_seconds(running.pid, but=_CAMERA) - before
        rest = spent / (time.monotonic() - begin) * 100
        frame = _frame_us(running)
        return Costs(procfs.resident_mb(running.pid), frame, first, rest)


def _first_picture_ms(server: Server, *, opencv: bool) -> float:
    command = [sys.executable, "-m", "bench.first_picture", servers.WEBCAM]
    command += ["opencv"] if opencv else []
    environ = {**os.environ, **server.environment}
    return float(subprocess.check_output(command, cwd=servers.ROOT, env=environ))


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
