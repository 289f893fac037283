"""What every test has: a clean end, and a daemon of its own where it asks for one."""

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
    """Fail the test that leaves a thread behind; pytest fails it for sockets and files."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(5)
    assert not [thread.name for thread in left if thread.is_alive()]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Return a daemon that is not started yet; it is stopped, and its log checked, at the end."""
    found = Daemon(tmp_path)
    with found:
        yield found


@pytest.fixture
def pipe_camera(tmp_path: Path) -> Iterator[PipeCamera]:
    """Return a camera whose every frame the test decides; see its ``source``."""
    with PipeCamera(tmp_path / "camera.mjpeg") as found:
        yield found


@pytest.fixture(scope="session")
def v4l2_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the preloaded camera, compiled once."""
    return v4l2.build(tmp_path_factory.mktemp("v4l2"))


@pytest.fixture
def device(v4l2_library: Path, tmp_path: Path) -> v4l2.V4l2Device:
    """Return a webcam that shows sixteen pictures, by their number, over and over."""
    shown = [pictures.jpeg(number, 640, 480) for number in range(16)]
    return v4l2.V4l2Device(v4l2_library, tmp_path, shown)
