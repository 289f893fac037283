"""What every test has: a clean end, and a daemon of its own where it asks for one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.pipe_camera import PipeCamera


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
