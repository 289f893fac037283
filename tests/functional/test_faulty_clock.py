"""The wall clock is set forward and back by a day while viewers watch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.condition import Condition
from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.faulty_system import FaultySystem
from tests.support.passwords import WORD, cookie_of, log_in, set_password
from tests.support.ports import free_port
from tests.support.raw import read_answer, read_to_end
from tests.support.service_manager import ServiceManager
from tests.support.viewer_group import ViewerGroup

DAY = 86400
JUMPS = (DAY, 0, -DAY, 0)
VIEWERS = 5
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def system(tmp_path: Path) -> Iterator[FaultySystem]:
    with FaultySystem(tmp_path) as found:
        yield found


def is_recent(moment: float, now: float) -> bool:
    """Return whether a moment of this test is given in the time that the clock is set to."""
    return now - 4 * GUARD < moment < now + 0.1


def check(status: dict[str, Any], now: float) -> None:
    """Check all times in /status."""
    camera = status["camera"]
    assert camera["state"] == "streaming"
    assert 0 <= camera["age_ms"] < 1000 * GUARD
    assert camera["fps"] > 1
    assert is_recent(camera["since"], now)
    assert 0 < status["uptime_s"] < 4 * GUARD
    assert len(status["viewers"]) == VIEWERS
    for row in status["viewers"]:
        assert is_recent(row["since"], now)
        assert 0 <= row["age_ms"] < 1000 * GUARD
        assert row["fps"] > 1


def test_clock_that_jumps_costs_no_viewer_a_picture(daemon: Daemon, system: FaultySystem) -> None:
    settings = {"camera.resolution": "160x120", "camera.framerate": 20, "server.max_requests": 1}
    settings["server.header_timeout"] = 3600
    daemon.start(settings, environ=system.environ)
    with ViewerGroup(daemon) as group, daemon.connect() as idle:
        group.join(VIEWERS)
        group.wait_for_parts(50)  # It takes a moment until the frame rate is known.
        before = Condition.of(daemon.pid)
        for jump in JUMPS:
            system.set_clock(jump)
            for viewer in group.viewers:
                viewer.parts.clear()
            group.wait_for_parts(50)
            now = time.time() + jump
            for viewer in group.viewers:
                assert is_recent(float(viewer.parts[-1].headers["x-timestamp"]), now)
            idle.sendall(REQUEST)
            assert read_answer(idle).status == 200
            check(daemon.status(), now)
        before.wait_until_back()
    assert "WARNING" not in daemon.log()


def test_camera_is_offline_since_a_moment_that_follows_the_clock(
    daemon: Daemon, system: FaultySystem
) -> None:
    missing = {"camera.source": "file:/nowhere/at/all", "camera.resolution": "160x120"}
    daemon.start(missing, environ=system.environ)
    first = daemon.wait_for_state("offline")
    with ViewerGroup(daemon) as group:
        group.join(VIEWERS)
        for jump in JUMPS:
            system.set_clock(jump)
            for viewer in group.viewers:
                viewer.parts.clear()
            group.wait_for_parts(2)  # The card goes on, once a second.
            camera = daemon.status()["camera"]
            assert camera["state"] == "offline"
            assert camera["since"] == pytest.approx(first["since"] + jump, abs=2)


def test_notifications_fail_since_a_moment_that_follows_the_clock(
    daemon: Daemon, system: FaultySystem
) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    settings = {"mqtt.broker": nowhere, "notify.ntfy": f"http://{nowhere}/door"}
    daemon.start({**settings, "camera.resolution": "160x120"}, environ=system.environ)

    def states() -> set[str]:
        return {each["state"] for each in daemon.status()["notify"].values()}

    eventually(lambda: "starting" not in states(), "both have started")
    daemon.request("/notify/test", "POST")
    eventually(lambda: states() == {"failed"}, "both have failed")
    first = daemon.status()["notify"]
    for jump in JUMPS:
        system.set_clock(jump)
        for name, each in daemon.status()["notify"].items():
            assert each["since"] == pytest.approx(first[name]["since"] + jump, abs=2)


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_clock_that_jumps_neither_shortens_nor_lengthens_a_wait(
    daemon: Daemon, system: FaultySystem, systemd: ServiceManager, jump: int
) -> None:
    settings = {"server.header_timeout": 1, "camera.resolution": "160x120"}
    environ = {**system.environ, **systemd.environ, "WATCHDOG_USEC": "3000000"}
    daemon.start(settings, environ=environ)
    systemd.wait_for("WATCHDOG=1")
    with daemon.connect() as dripping:
        dripping.sendall(REQUEST[:-2])
        system.set_clock(jump)
        systemd.rest()
        assert read_to_end(dripping).startswith(b"HTTP/1.1 408 ")
        systemd.wait_for("WATCHDOG=1")
    assert daemon.status()["uptime_s"] < 4 * GUARD
    assert daemon.stop() == 0


def test_clock_that_jumps_ends_no_session_before_its_time(
    daemon: Daemon, system: FaultySystem, tmp_path: Path
) -> None:
    set_password(tmp_path / "password", WORD)
    settings = {"camera.resolution": "160x120", "access.password_file": tmp_path / "password"}
    daemon.start(settings, environ=system.environ)
    cookies = set()
    for jump in JUMPS:
        system.set_clock(jump)
        cookies.add(cookie_of(log_in(daemon, WORD)[0]))
        for cookie in cookies:
            assert daemon.request("/snapshot.jpg", headers={"Cookie": cookie})[0].status != 401
    system.set_clock(60 * DAY)
    for cookie in cookies:
        assert daemon.request("/snapshot.jpg", headers={"Cookie": cookie})[0].status == 401
