"""What a network camera costs: read by us, read by OpenCV, and its pictures from a pipe."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench import material, procfs, servers, startup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.load import ViewerGroup
    from bench.material import Material
    from bench.servers import Running, Server

OURS, OPENCV, PIPE = "network camera", "the same through OpenCV", ".mjpeg pipe"
_STARTS = 3
_SETTLE = 2.0
_SECONDS = 5.0

_WITH_OPENCV = """
import sys
from doorbelld import cli
from doorbelld.camera import factory, video
factory._make_network = video.RtspCamera
sys.exit(cli.main())
"""


class Cost(NamedTuple):
    """Megabytes, microseconds of CPU time a frame, and seconds from the start of the process."""

    memory_mb: float
    cpu_us: float
    first_frame: float


def measure(group: ViewerGroup, frames: Material, build: Path) -> dict[str, Cost]:
    """Return what each way of reading the same pictures costs the daemon, with one viewer."""
    found = {}
    with servers.recipe(frames).run() as camera:
        camera.wait_listening()
        ours = servers.doorbelld(f"http://{camera.host}:{camera.port}/")
        command = [ours.command[0], "-c", _WITH_OPENCV, *ours.command[3:]]
        found[OURS] = _measure(group, ours)
        found[OPENCV] = _measure(group, replace(ours, command=command))
    with _fed_pipe(build / "camera.mjpeg", frames) as pipe:
        found[PIPE] = _measure(group, servers.doorbelld(f"file:{pipe}"))
    return found


def _measure(group: ViewerGroup, server: Server) -> Cost:
    first = median(_first_frame(server) for _ in range(_STARTS))
    with server.run() as running:
        startup.wait_frame(running)
        with group.watching(running, 1):
            time.sleep(_SETTLE)
            cpu, frames = procfs.cpu_seconds(running.pid), _frames(running)
            time.sleep(_SECONDS)
            cpu = procfs.cpu_seconds(running.pid) - cpu
            frames = _frames(running) - frames
            return Cost(procfs.resident_mb(running.pid), cpu / frames * 1e6, first)


def _first_frame(server: Server) -> float:
    begin = time.monotonic()
    with server.run() as running:
        startup.wait_frame(running)
        return time.monotonic() - begin


def _frames(running: Running) -> int:
    connection = http.client.HTTPConnection(running.host, running.port, timeout=5)
    try:
        connection.request("GET", "/status")
        return int(json.loads(connection.getresponse().read())["camera"]["frames"])
    finally:
        connection.close()


@contextmanager
def _fed_pipe(path: Path, frames: Material) -> Iterator[Path]:
    """Write the pictures into a named pipe, at their rate, until the block ends."""
    with suppress(FileExistsError):
        os.mkfifo(path)
    ended = threading.Event()

    def feed() -> None:
        pictures = [each.read_bytes() for each in sorted(frames.folder.glob("*.jpg"))]
        # For reading too: then it can be opened, and written to, before there is a reader.
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        number = 0
        while not ended.wait(1 / material.FPS):
            _write(fd, pictures[number % len(pictures)], ended)
            number += 1
        os.close(fd)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield path
    finally:
        ended.set()
        thread.join()
        path.unlink()


def _write(fd: int, data: bytes, ended: threading.Event) -> None:
    while data and not ended.is_set():
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            ended.wait(0.002)
