"""A simulated V4L2 camera, and a child process that reads it.

The camera is a library that is preloaded (v4l2_camera.c), so only a new process sees it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import preload
from tests.support.daemon import GUARD, ROOT
from tests.support.reasons import reason_for

if TYPE_CHECKING:
    from collections.abc import Iterable

DEVICE = "/dev/video9"
"""The camera's path; the file need not exist."""


def build(folder: Path) -> Path:
    """Compile the camera into ``folder``; return the library."""
    return preload.build("v4l2_camera", folder)


class V4l2Device:
    """The camera: its pictures and its faults."""

    def __init__(self, library: Path, folder: Path, pictures: Iterable[bytes]) -> None:
        self._control = folder / "control"
        self._log = folder / "v4l2-log"
        frames = folder / "frames"
        frames.mkdir()
        for number, data in enumerate(pictures):
            (frames / f"{number:03d}.jpg").write_bytes(data)
        self.environ = {
            "LD_PRELOAD": str(library),
            "FAKE_V4L2_DEVICE": DEVICE,
            "FAKE_V4L2_FRAMES": str(frames),
            "FAKE_V4L2_CONTROL": str(self._control),
            "FAKE_V4L2_LOG": str(self._log),
        }
        """What a process needs in its environment to see the camera."""

    @property
    def log(self) -> list[str]:
        """What was set, in its order: ``"S_FMT MJPG 640x480"``, ``"S_CTRL Gain 3"``, …"""
        return self._log.read_text().splitlines() if self._log.exists() else []

    def become(self, state: str) -> None:
        """Make it ``streaming``, ``silent``, ``unplugged``, ``busy``, ``garbage``, …"""
        written = self._control.with_suffix(".new")
        written.write_text(state)
        written.replace(self._control)  # never half written


class Watcher:
    """A child process that opens a camera by its source, and reports what it reads."""

    def __init__(self, source: str, environ: dict[str, str], **settings: object) -> None:
        pairs = [f"{key}={value}" for key, value in settings.items()]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.watch_camera", source, *pairs],
            cwd=ROOT,
            env={**os.environ, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._unread = b""
        self.errors = ""
        """What it wrote to its standard error, once it has ended."""

    def next(self, *keys: str) -> dict[str, Any]:
        """Return the next event that has all of ``keys``."""
        give_up_at = time.monotonic() + GUARD
        while time.monotonic() < give_up_at:
            event: dict[str, Any] = json.loads(self._line())
            if sentence := event.get("refused") or event.get("error"):
                assert event["reason"] == reason_for(sentence)
            if all(key in event for key in keys):
                return event
        raise AssertionError(f"never: {keys}")

    def pause(self) -> None:
        """Make it read nothing for a second."""
        self._tell("pause")

    def rest(self) -> dict[str, Any]:
        """Make it read for a second without loading a picture; return what it reports."""
        self._tell("rest")
        return self.next("rested")

    def load_late(self) -> None:
        """Make it load pictures too late, close the camera and open it again."""
        self._tell("late")

    def _tell(self, word: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{word}\n".encode())
        self._process.stdin.flush()

    def interrupt(self) -> None:
        """Send it a signal that it ignores in its handler."""
        self._process.send_signal(signal.SIGUSR1)

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        errors = self._process.communicate(timeout=GUARD)[1]
        self.errors = errors.decode()

    def _line(self) -> bytes:
        assert self._process.stdout
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._process.stdout], [], [], GUARD)
            assert ready, "the child process says nothing"
            chunk = os.read(self._process.stdout.fileno(), 65536)
            assert chunk, "the child process has ended"
            self._unread += chunk
        line, self._unread = self._unread.split(b"\n", 1)
        return line
