"""Fixtures for all tests: a daemon, cameras, and a check for threads that a test leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import fuzzing, pictures, v4l2
from tests.support.daemon import Daemon
from tests.support.input_devices import InputKernel
from tests.support.pipe_camera import PipeCamera
from tests.support.process_guard import ProcessGuard

fuzzing.set_up()

_PROCESS_FOLDERS = {"appliance", "browser", "functional"}
"""Folders in which every test has the marker ``process``."""

_guard = ProcessGuard()


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start processes: by folder, or because a fixture of theirs does."""
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in _PROCESS_FOLDERS or "starts_processes" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.process)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each module to one worker as a whole, and all tests of a browser to the same one."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    scheduling = LoadFileScheduling(config, log)
    by_module = scheduling._split_scope

    def by_module_or_browser(nodeid: str) -> str:
        if nodeid.startswith("tests/browser/engines/"):
            return nodeid.rpartition("[")[2]
        return "browser" if nodeid.startswith("tests/browser/") else str(by_module(nodeid))

    scheduling._split_scope = by_module_or_browser
    return scheduling


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a test start processes only if it has the marker ``process``; its fixtures as well."""
    if not item.get_closest_marker("process"):
        _guard.forbid()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Fail the test if it has started one all the same."""
    _guard.allow()


@pytest.fixture
def process_guard() -> ProcessGuard:
    """Return what fails a test that starts a process without the marker."""
    return _guard


@pytest.fixture(scope="session")
def starts_processes() -> None:
    """Give the tests of every fixture that asks for this one the marker ``process``."""


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
def daemon(
    tmp_path: Path,
    starts_processes: None,  # noqa: ARG001  # for the marker
) -> Iterator[Daemon]:
    """Return a daemon that is not started yet; it is stopped, and its log checked, at the end."""
    found = Daemon(tmp_path)
    with found:
        yield found


@pytest.fixture
def pipe_camera(tmp_path: Path) -> Iterator[PipeCamera]:
    """Return a camera that shows the frames that the test writes; see its ``source``."""
    with PipeCamera(tmp_path / "camera.mjpeg") as found:
        yield found


@pytest.fixture
def input_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InputKernel]:
    """Return a kernel without any input device, for code that runs in this process."""
    found = InputKernel(tmp_path, monkeypatch)
    yield found
    found.close()


@pytest.fixture(scope="session")
def v4l2_library(
    tmp_path_factory: pytest.TempPathFactory,
    starts_processes: None,  # noqa: ARG001  # gcc, and later the camera's readers
) -> Path:
    """Return the preloaded camera, compiled once."""
    return v4l2.build(tmp_path_factory.mktemp("v4l2"))


@pytest.fixture
def device(v4l2_library: Path, tmp_path: Path) -> v4l2.V4l2Device:
    """Return a webcam that shows sixteen numbered pictures in a loop."""
    shown = [pictures.jpeg(number, 640, 480) for number in range(16)]
    return v4l2.V4l2Device(v4l2_library, tmp_path, shown)
