"""What an open page costs the daemon, compared with a plain viewer."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench import stream

if TYPE_CHECKING:
    from bench.load import ViewerGroup
    from bench.servers import Server

_PATH = "/live?v=1&quality=auto"
"""What a page asks for: all that it needs comes in this one stream."""

_SECONDS = 4.0


class Costs(NamedTuple):
    """The daemon's CPU time per delivered picture, in microseconds."""

    plain: float
    pages: float


def measure(group: ViewerGroup, server: Server, count: int, rounds: int = 3) -> Costs:
    """Measure so many plain viewers, and as many pages; return the medians of the rounds."""
    found = [
        Costs(*(_cost(group, server, path, count) for path in (server.path, _PATH)))
        for _ in range(rounds)
    ]
    return Costs(median(each.plain for each in found), median(each.pages for each in found))


def _cost(group: ViewerGroup, server: Server, path: str, count: int) -> float:
    asked = replace(server, path=path)
    with asked.run() as running:
        running.wait_listening()
        size = stream.part_size(running.host, running.port, server.path)
        return group.measure_running(running, size, count, _SECONDS).cpu_us
