"""The fault matrix, drivers: a camera's library that fails, hangs, or floods.

The faults happen inside the shipped daemon's own process; see FaultInjector. ::

    read() that never returns      test_driver_that_hangs_gets_the_daemon_restarted
    the same, and it returns       test_driver_that_comes_back_is_taken_up_again
    open() that never returns      test_opening_that_hangs_is_reported
    close() that never returns     test_library_that_hangs_at_the_end_gets_the_daemon_restarted
    stop while a driver hangs      test_life_cycle.py
    encoder that fails for good    test_driver_that_fails_for_good_is_logged_once
    no memory for any picture      the same
    library that raises anything   the same
    and raises when it is closed   test_library_that_fails_at_the_end_too_is_opened_again
    1000 frames a second           test_flood_of_frames_is_slowed_down
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.cards import SIZE, is_card, see, see_card, see_picture
from tests.support.daemon import Daemon, eventually
from tests.support.fault_injector import FaultInjector
from tests.support.fault_observer import FaultObserver
from tests.support.pictures import jpeg
from tests.support.service_manager import ServiceManager
from tests.support.stream import Stream

SETTINGS = {**SIZE, "server.max_requests": 1, "camera.stall_timeout": 1}

PATTERN = "doorbelld.camera.pattern:PatternCamera"
FAILED = "The camera's driver failed; the log tells more"
DAMAGED = "Test pattern has sent only damaged pictures for 1 s"
NO_MEMORY = "Test pattern has had too little memory for its pictures for 1 s"

HANG = "while os.path.exists(flag): time.sleep(0.02)"
HANGS = "The camera's driver hangs"

UNCLOSABLE = """
def close():
    raise RuntimeError("and that too")
"""

STUCK = """
import threading
from doorbelld.drivers.errors import CameraError
from doorbelld.camera.closing import close_in_time, refuse_if_stuck
from doorbelld.camera.pattern import PatternCamera

open_it = PatternCamera.open

def open_unless_stuck(self):
    refuse_if_stuck(self.name)
    open_it(self)

PatternCamera.open = open_unless_stuck
PatternCamera.close = lambda self: close_in_time(self.name, threading.Event().wait)
"""

SPEECHLESS = """
class Speechless(Exception):
    def __str__(self):
        raise ValueError("not even this")
"""


def start(daemon: Daemon, injector: FaultInjector, **settings: object) -> FaultObserver:
    """Start a daemon with a camera that works for now."""
    daemon.start({**SETTINGS, **settings}, environ=injector.environ)
    daemon.wait_for_state("streaming")
    return FaultObserver(daemon)


def turn(daemon: Daemon, systemd: ServiceManager) -> list[str]:
    """Return the messages between two reloads, which is a whole turn of the main loop."""
    daemon.send(signal.SIGHUP)
    systemd.wait_for("RELOADING=1")
    start = len(systemd.heard)
    daemon.send(signal.SIGHUP)
    systemd.wait_for("RELOADING=1")
    return systemd.heard[start:]


@pytest.mark.parametrize(
    ("target", "fault", "why", "clue"),
    [
        ("cv2:imencode", "import cv2; raise cv2.error('it failed')", DAMAGED, ""),
        ("cv2:imencode", "return False, None", DAMAGED, ""),
        ("cv2:imencode", "raise OSError('no such luck')", FAILED, "OSError: no such luck, at "),
        ("cv2:imencode", "raise MemoryError", NO_MEMORY, ""),
        (f"{PATTERN}.read", "raise MemoryError", NO_MEMORY, ""),
        (f"{PATTERN}.read", "raise KeyError('frame\\n2')", FAILED, r"KeyError: 'frame\n2', at "),
        (f"{PATTERN}.read", "raise Speechless", FAILED, "Speechless: <"),
        (f"{PATTERN}.read", "raise SystemExit(3)", FAILED, "SystemExit: 3, at "),
        (f"{PATTERN}.read", "return 'nonsense'", FAILED, "AttributeError: 'str' object has no"),
    ],
    ids=[
        "encoder raises",
        "encoder refuses",
        "encoder raises another thing",
        "no memory to encode",
        "no memory to read",
        "something unexpected",
        "something without words",
        "the end of the program",
        "nonsense",
    ],
)
def test_driver_that_fails_for_good_is_logged_once(
    daemon: Daemon, tmp_path: Path, target: str, fault: str, why: str, clue: str
) -> None:
    injector = FaultInjector(tmp_path, target, fault, SPEECHLESS)
    observer = start(daemon, injector)
    with Stream(daemon) as stream:
        see_picture(stream)
        injector.fail_always()
        observer.sees_camera_offline(f"^{why}$")
        # It has been tried again without success.
        eventually(lambda: daemon.status()["camera"]["reopened"], "another try")
        observer.sees_camera_offline(f"^{why}$")
        stream.part()
        injector.stop()
        observer.sees_camera_streaming()
        see_picture(stream)
    lines = observer.logged()
    assert len([line for line in lines if f"camera offline: {why}" in line]) == 1, lines
    assert clue in "\n".join(lines)
    assert len(lines) <= 5, lines
    observer.sees_resources_released()


def test_library_that_fails_at_the_end_too_is_opened_again(daemon: Daemon, tmp_path: Path) -> None:
    fault = "arguments[0].close = close; raise KeyError"
    injector = FaultInjector(tmp_path, f"{PATTERN}.read", fault, UNCLOSABLE)
    observer = start(daemon, injector)
    with Stream(daemon) as stream:
        injector.fail_once()
        see_card(stream)
        see_picture(stream)
    assert observer.sees_camera_streaming()["reopened"] == 1
    lines = observer.logged()
    assert len(lines) == 3, lines
    assert "the camera could not be closed properly: RuntimeError: and that too" in lines[0]
    observer.sees_resources_released()


def test_driver_that_hangs_gets_the_daemon_restarted(
    daemon: Daemon, systemd: ServiceManager, tmp_path: Path
) -> None:
    injector = FaultInjector(tmp_path, f"{PATTERN}.read", HANG)
    environ = {**injector.environ, **systemd.environ, "WATCHDOG_USEC": "3000000"}
    daemon.start(SETTINGS, environ=environ)
    daemon.wait_for_state("streaming")
    observer = FaultObserver(daemon)
    with Stream(daemon) as stream, Stream(daemon) as left:
        systemd.wait_for("WATCHDOG=1")
        injector.fail_always()
        # Viewers see it, although the thread that draws the card is the one that hangs.
        see_card(stream)
        observer.sees_camera_offline(HANGS)
        with Stream(daemon) as late:
            assert is_card(late.part().body)
        left.close()
        systemd.wait_for(f"STATUS=Offline: {HANGS}")
        eventually(lambda: "WATCHDOG=1" not in turn(daemon, systemd), "no WATCHDOG=1")
        daemon.send(signal.SIGABRT)  # as systemd does when the watchdog was not fed
        daemon.wait()
    assert observer.logged()[0] == f"WARNING: camera offline: {HANGS}"
    injector.stop()
    systemd.rest()
    daemon.start(SETTINGS, environ=environ)
    systemd.wait_for("READY=1")
    daemon.wait_for_state("streaming")
    systemd.wait_for("WATCHDOG=1")
    with Stream(daemon) as stream:
        see_picture(stream)


def test_driver_that_comes_back_is_taken_up_again(daemon: Daemon, tmp_path: Path) -> None:
    injector = FaultInjector(tmp_path, f"{PATTERN}.read", HANG)
    observer = start(daemon, injector)
    with Stream(daemon) as stream:
        for _ in range(2):
            injector.fail_always()
            see_card(stream)
            observer.sees_camera_offline(HANGS)
            injector.stop()
            assert observer.sees_camera_streaming()["reopened"] == 0
            see_picture(stream)
    lines = eventually(
        lambda: [line for line in observer.logged() if len(observer.logged()) == 4],
        "four lines in the log",
    )
    assert [HANGS in line for line in lines] == [True, False, True, False]
    observer.sees_resources_released()


def test_opening_that_hangs_is_reported(daemon: Daemon, tmp_path: Path) -> None:
    injector = FaultInjector(tmp_path, f"{PATTERN}.open", HANG)
    injector.fail_always()
    daemon.start(SETTINGS, environ=injector.environ)
    assert daemon.status()["camera"]["state"] == "starting"
    with Stream(daemon) as stream:
        see_card(stream)  # after ten seconds
        FaultObserver(daemon).sees_camera_offline(HANGS)
        injector.stop()
        see_picture(stream)
    FaultObserver(daemon).sees_camera_streaming()


def test_library_that_hangs_at_the_end_gets_the_daemon_restarted(
    daemon: Daemon, systemd: ServiceManager, tmp_path: Path
) -> None:
    # Closed like the Raspberry Pi's libraries, which may never return.
    lost = "raise CameraError('Test pattern is lost')"
    injector = FaultInjector(tmp_path, f"{PATTERN}.read", lost, STUCK)
    environ = {**injector.environ, **systemd.environ}
    daemon.start(SETTINGS, environ=environ)
    with Stream(daemon) as stream:
        see_picture(stream)
        injector.fail_once()
        see_card(stream)
        observer = FaultObserver(daemon)
        observer.sees_camera_offline("Test pattern hangs; only a restart of doorbelld can help")
        assert daemon.wait() == 1, "so that systemd starts it again"
    assert "CRITICAL: a thread has failed: stopping, to be started again" in daemon.log()
    systemd.rest()
    daemon.start(SETTINGS, environ=environ)
    systemd.wait_for("READY=1")
    with Stream(daemon) as stream:
        see_picture(stream)


def test_flood_of_frames_is_slowed_down(daemon: Daemon, tmp_path: Path) -> None:
    picture = jpeg(7)
    injector = FaultInjector(
        tmp_path,
        f"{PATTERN}.read",
        "return Shot(picture, time.monotonic())",
        f"from doorbelld.camera.base import Shot\npicture = {picture!r}",
    )
    observer = start(daemon, injector)
    with Stream(daemon) as stream:
        before = daemon.status()["camera"]["frames"]
        injector.fail_always()
        see(stream, picture)
        for _ in range(500):
            assert stream.part().body == picture
        camera = observer.sees_camera_streaming()
        assert camera["frames"] > before + 400
        assert camera["fps"] < 260, "the most that can be asked for is 240"
        injector.stop()
        see_picture(stream)
    eventually(lambda: daemon.status()["camera"]["fps"] < 35, "its own rate again")
    observer.sees_resources_released()
