"""Many viewers at once: the server's CPU time per delivered frame, and what each viewer gets."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench import procfs, servers, stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.servers import Running, Server

_WARMUP = 1.0
"""Seconds from the last connection to the measurement."""

_ENDLESS = 24 * 3600.0
"""Seconds: longer than any measurement."""


@dataclass(frozen=True)
class Figures:
    """The results of one server with a number of viewers."""

    cpu_us: float
    """The server's CPU time per delivered frame, in microseconds."""
    mean_fps: float
    min_fps: float
    """The frame rate of the slowest viewer."""
    memory_mb: float
    closed: int
    """Connections that the server closed."""


class ViewerGroup:
    """Starts viewers, all of them in one C program: see viewers.c."""

    def __init__(self, build: Path) -> None:
        source = Path(__file__).parent / "viewers.c"
        self._program = servers.compile_c(source, build / "viewers")

    def measure(self, server: Server, count: int, seconds: float) -> Figures:
        """Start a server and ``count`` viewers, and measure for ``seconds``."""
        with server.run() as running:
            running.wait_listening()
            size = stream.part_size(running.host, running.port, server.path)
            return self.measure_running(running, size, count, seconds)

    def measure_running(self, running: Running, size: int, count: int, seconds: float) -> Figures:
        """Do the same with a server that is already running and sends parts of ``size`` bytes."""
        with self._viewers(running, count, seconds) as viewers:
            _expect(viewers, "started")
            before = procfs.cpu_seconds(running.pid)
            words = _line(viewers).split()
            cpu = procfs.cpu_seconds(running.pid) - before
            memory = procfs.resident_mb(running.pid)
        closed, window = int(words[1]), float(words[2])
        total, lowest = int(words[3]) / size, int(words[4]) / size
        return Figures(
            cpu_us=cpu / total * 1e6 if total else float("inf"),
            mean_fps=total / count / window,
            min_fps=lowest / window,
            memory_mb=memory,
            closed=closed,
        )

    @contextmanager
    def watching(self, running: Running, count: int) -> Iterator[None]:
        """Run ``count`` viewers until the block ends."""
        if not count:
            yield
            return
        with self._viewers(running, count, _ENDLESS) as viewers:
            _expect(viewers, "started")
            yield

    @contextmanager
    def _viewers(
        self, running: Running, count: int, seconds: float
    ) -> Iterator[subprocess.Popen[str]]:
        url = [running.host, str(running.port), running.server.path]
        command = [str(self._program), *url, str(count), str(_WARMUP), str(seconds)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def _line(viewers: subprocess.Popen[str]) -> str:
    line = viewers.stdout.readline() if viewers.stdout else ""
    if not line:
        raise RuntimeError("the viewers could not connect")
    return line.strip()


def _expect(viewers: subprocess.Popen[str], word: str) -> None:
    if _line(viewers) != word:
        raise RuntimeError(f"the viewers did not print {word!r}")


@dataclass(frozen=True)
class Plan:
    """A number of viewers, and for how many seconds to measure them."""

    viewers: int
    seconds: float


PLANS = (Plan(1, 6), Plan(30, 2), Plan(100, 2), Plan(300, 3), Plan(1000, 5))
"""Longer where a single frame more or less would change the result."""

Results = dict[tuple[str, int], Figures]


def compare(group: ViewerGroup, candidates: Sequence[Server], rounds: int) -> Results:
    """Measure all servers with all numbers of viewers; return the median of the rounds.

    Every round measures all of them, so that other load on the machine affects all alike.
    """
    samples: dict[tuple[str, int], list[Figures]] = {}
    for _ in range(rounds):
        for plan in PLANS:
            for server in candidates:
                figures = group.measure(server, plan.viewers, plan.seconds)
                samples.setdefault((server.name, plan.viewers), []).append(figures)
    return {key: _median(found) for key, found in samples.items()}


def _median(found: list[Figures]) -> Figures:
    return Figures(
        cpu_us=median(figures.cpu_us for figures in found),
        mean_fps=median(figures.mean_fps for figures in found),
        min_fps=median(figures.min_fps for figures in found),
        memory_mb=median(figures.memory_mb for figures in found),
        closed=max(figures.closed for figures in found),
    )
