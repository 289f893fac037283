"""Adaptive quality: what a viewer gets behind links of several speeds, and when a link changes.

The reader is a separate process (``python -m bench.quality HOST PORT PATH SECONDS``), so that it
can run in another network namespace than the bench.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench import material, servers, stream
from bench.stream import Part
from doorbelld.media import codec
from doorbelld.stream.tiers import ladder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.material import Material
    from bench.servers import Running, Server
    from bench.weak_link import Link

GOOD, BAD = 20_000_000, 1_000_000
"""Bits a second of the link that falls and recovers."""

_WARMUP, _SECONDS = 8.0, 15.0
"""All buffers have to be full, and the quality found, before the measurement begins."""

_GOOD_SECONDS, _BAD_SECONDS, _RECOVERY_SECONDS = 6.0, 12.0, 20.0
_CONNECT_TIMEOUT = 10.0


@dataclass(frozen=True)
class Change:
    """What a viewer gets while its link falls and recovers.

    ``gap`` is the longest time without a picture, ``recovery`` how long it takes until the camera's
    own pictures are back, both in seconds. ``steps`` is how often the quality changed.
    """

    gap: float
    recovery: float
    steps: int


def adaptive(server: Server) -> Server:
    """Return the daemon as a viewer with adaptive quality asks for its stream."""
    path = f"{server.path}?quality=auto"
    return replace(server, name=f"{server.name}, quality=auto", path=path)


class Viewer:
    """A viewer that reads for so many seconds from now on."""

    def __init__(self, running: Running, seconds: float, prefix: Sequence[str] = ()) -> None:
        url = [running.host, str(running.port), running.server.path]
        command = [*prefix, sys.executable, "-m", "bench.quality", *url, str(seconds)]
        self._process = subprocess.Popen(
            command, cwd=servers.ROOT, stdout=subprocess.PIPE, text=True
        )

    def parts(self) -> list[Part]:
        """Wait for its end; return what it has read."""
        output, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError("the viewer failed")
        return [Part(*each) for each in json.loads(output)]


def steady(link: Link, server: Server, rate: int) -> list[Part]:
    """Return what a viewer gets behind a link that stays as it is, once all has settled."""
    link.set_rate(rate)
    with link.run(server) as running:
        parts = Viewer(running, _WARMUP + _SECONDS, link.at_phone).parts()
    return [part for part in parts if part.arrived >= parts[0].arrived + _WARMUP]


def change(link: Link, server: Server) -> Change:
    """Measure what happens while the link falls and recovers."""
    link.set_rate(GOOD)
    with link.run(server) as running:
        viewer = Viewer(running, _GOOD_SECONDS + _BAD_SECONDS + _RECOVERY_SECONDS, link.at_phone)
        time.sleep(_GOOD_SECONDS)
        link.set_rate(BAD)
        time.sleep(_BAD_SECONDS)
        link.set_rate(GOOD)
        recovered_at = time.time()
        parts = viewer.parts()
    arrived = [part.arrived for part in parts]
    gap = max(after - before for before, after in zip(arrived, arrived[1:]))
    smaller = [part.arrived for part in parts if part.width and part.arrived > recovered_at]
    sizes = [part.width for part in parts]
    return Change(
        gap=gap,
        recovery=max(smaller, default=recovered_at) - recovered_at,
        steps=sum(before != after for before, after in zip(sizes, sizes[1:])),
    )


def encoder_share(frames: Material) -> float:
    """Return the part of a core that the encoder takes for three steps at the camera's rate."""
    pictures = [path.read_bytes() for path in sorted(frames.folder.glob("*.jpg"))]
    sizes = ladder(material.WIDTH, material.HEIGHT)
    wanted = [sizes[1], sizes[2], sizes[4]]
    deque(codec.shrink(pictures[0], wanted), maxlen=0)  # OpenCV is loaded.
    begin = time.process_time()
    for picture in pictures:
        deque(codec.shrink(picture, wanted), maxlen=0)
    return (time.process_time() - begin) / len(pictures) * material.FPS


def fps(parts: Sequence[Part]) -> float:
    """Return the pictures a second."""
    return (len(parts) - 1) / (parts[-1].arrived - parts[0].arrived)


def age_ms(parts: Sequence[Part], percent: float) -> float:
    """Return the age in milliseconds that so many percent of the pictures do not exceed."""
    ages = sorted((part.arrived - part.stamp) * 1000 for part in parts)
    return ages[min(len(ages) - 1, int(len(ages) * percent / 100))]


def _main() -> None:
    host, port, path, seconds = sys.argv[1:]
    found: list[Part] = []
    for part in stream.parts(host, int(port), path, connect_timeout=_CONNECT_TIMEOUT):
        found.append(part)
        if part.arrived >= found[0].arrived + float(seconds):
            break
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    _main()
