"""What looking for motion costs: time for each look, looks a second, and memory beyond OpenCV.

The looks are measured in a process of their own (``python -m bench.motion FOLDER``), which has
loaded OpenCV and nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench import procfs, servers

if TYPE_CHECKING:
    from bench.material import Material

_ROUNDS = 10
"""How often all pictures are looked at; the median counts."""


class Looks(NamedTuple):
    """Milliseconds of CPU time for a look, and megabytes that the looks take beyond OpenCV."""

    milliseconds: float
    megabytes: float


def measure(frames: Material) -> Looks:
    """Look at all pictures a few times."""
    command = [sys.executable, "-m", "bench.motion", str(frames.folder)]
    return Looks(**json.loads(subprocess.check_output(command, cwd=servers.ROOT)))


def _look(folder: Path) -> Looks:
    from doorbelld.media import codec

    pictures = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
    next(codec.shrink(pictures[0], [codec.Size(80, 60, 80)]))
    before = procfs.resident_mb(os.getpid())
    finder, found = codec.ChangeFinder(), []
    for picture in pictures * _ROUNDS:
        begin = time.thread_time()
        finder.look(picture)
        found.append(time.thread_time() - begin)
    return Looks(1000 * median(found), procfs.resident_mb(os.getpid()) - before)


if __name__ == "__main__":
    json.dump(_look(Path(sys.argv[1]))._asdict(), sys.stdout)
