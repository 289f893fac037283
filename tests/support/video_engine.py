"""VideoEngine: an RTSP server to which a program publishes, and from which others read."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.daemon import GUARD
from tests.support.numbered_pictures import numbers_in

_PROGRAM = Path(__file__).with_name("gstreamer_relay.py")
_PYTHON = "/usr/bin/python3"
"""Debian's, for which its packages install GStreamer."""


class VideoEngine:
    """GStreamer's, as a child process. ``address`` is where to publish."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [_PYTHON, str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout
        server = f"rtsp://127.0.0.1:{int(self._process.stdout.readline())}"
        self.address = f"{server}/doorbell"
        self._watch = f"{server}/watch"

    def __enter__(self) -> VideoEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # It ends with its standard input.

    @contextmanager
    def publisher(self, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
        """Run a program that publishes."""
        with (
            (self._folder / "publisher.log").open("ab") as log,
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process,
        ):
            try:
                yield process
            finally:
                process.terminate()

    def numbers(self, count: int) -> list[int]:
        """Read so many pictures as a new client; return their numbers."""
        path = self._folder / "read.mkv"
        options = ["-nostdin", "-loglevel", "error", "-rtsp_transport", "tcp", "-i", self._watch]
        subprocess.run(
            ["ffmpeg", *options, "-frames:v", str(count), "-y", str(path)],
            check=True,
            timeout=2 * GUARD,
        )
        return list(numbers_in(path))
