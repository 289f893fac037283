"""Fixtures for all tests: a daemon, cameras, and a check for threads that a test leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import fuzzing, pictures, v4l2
from tests.support.daemon import Daemon
from tests.support.pipe_camera import PipeCamera

fuzzing.set_up()


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Fail a test that leaves a thread behind; pytest itself does that for sockets and files."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(5)
    assert not [thread.name for thread in left if thread.is_alive()]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Return a daemon that is not started yet; at the end it is stopped and its log is checked."""
    found = Daemon(tmp_path)
    with found:
        yield found


@pytest.fixture
def pipe_camera(tmp_path: Path) -> Iterator[PipeCamera]:
    """Return a camera that shows the frames that the test writes; see its ``source``."""
    with PipeCamera(tmp_path / "camera.mjpeg") as found:
        yield found


@pytest.fixture(scope="session")
def v4l2_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the library that simulates a camera when it is preloaded; it is compiled once."""
    return v4l2.build(tmp_path_factory.mktemp("v4l2"))


@pytest.fixture
def device(v4l2_library: Path, tmp_path: Path) -> v4l2.V4l2Device:
    """Return a webcam that shows sixteen numbered pictures in a loop."""
    shown = [pictures.jpeg(number, 640, 480) for number in range(16)]
    return v4l2.V4l2Device(v4l2_library, tmp_path, shown)
