"""Frame age: the time from a frame's X-Timestamp until a viewer has received its last byte.

The reader is a separate process (``python -m bench.age HOST PORT PATH WARMUP SECONDS``), so that
it can run in another network namespace than the bench.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from bench import servers, stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.servers import Running

_CONNECT_TIMEOUT = 10.0
"""Seconds to wait for a server that is still starting."""


@dataclass(frozen=True)
class Ages:
    """The ages of all received frames, in milliseconds, and their rate."""

    sorted_ms: Sequence[float]
    fps: float
    part_size: int

    def percentile(self, percent: float) -> float:
        """Return the age that ``percent`` of the frames do not exceed."""
        last = len(self.sorted_ms) - 1
        return self.sorted_ms[min(last, int(len(self.sorted_ms) * percent / 100))]


def merged(found: Sequence[Ages]) -> Ages:
    """Merge the ages of several measurements into one."""
    return Ages(
        sorted_ms=sorted(age for ages in found for age in ages.sorted_ms),
        fps=median(ages.fps for ages in found),
        part_size=found[0].part_size,
    )


class Reader:
    """A viewer that reads for ``seconds``, starting ``warmup`` seconds after the first frame."""

    def __init__(
        self, running: Running, warmup: float, seconds: float, prefix: Sequence[str] = ()
    ) -> None:
        url = [running.host, str(running.port), running.server.path]
        command = [*prefix, sys.executable, "-m", "bench.age", *url, str(warmup), str(seconds)]
        self._process = subprocess.Popen(
            command, cwd=servers.ROOT, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Reader:
        """Return the reader, which runs until the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the process, even if it is still measuring."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def ages(self) -> Ages:
        """Wait until the measurement has finished; return its result."""
        output, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError("the reader of frame ages failed")
        return Ages(**json.loads(output))


def measure(running: Running, warmup: float, seconds: float, prefix: Sequence[str] = ()) -> Ages:
    """Run a reader, and wait for its result."""
    with Reader(running, warmup, seconds, prefix) as reader:
        return reader.ages()


def _read(host: str, port: int, path: str, warmup: float, seconds: float) -> Ages:
    found: list[stream.Part] = []
    begin = 0.0
    for part in stream.parts(host, port, path, connect_timeout=_CONNECT_TIMEOUT):
        begin = begin or part.arrived + warmup
        if part.arrived >= begin:
            found.append(part)
        if part.arrived >= begin + seconds:
            break
    # The first frame starts the interval, so it is not counted.
    fps = (len(found) - 1) / (found[-1].arrived - found[0].arrived)
    ages = sorted((part.arrived - part.stamp) * 1000 for part in found)
    return Ages(ages, fps, found[-1].size)


def _main() -> None:
    host, port, path, warmup, seconds = sys.argv[1:]
    ages = _read(host, int(port), path, float(warmup), float(seconds))
    json.dump(vars(ages), sys.stdout)


if __name__ == "__main__":
    _main()
