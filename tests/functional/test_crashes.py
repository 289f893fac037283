"""Crashes under a service manager that keeps descriptors: only torn streams end."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.managed import BIG, go_on, going_on, kill, read_part, restart, settings, slow
from tests.support.numbered_pictures import numbered
from tests.support.pipe_camera import PipeCamera
from tests.support.raw import read_to_end
from tests.support.service_manager import VIEWER, ServiceManager
from tests.support.sitecustomize import sitecustomize
from tests.support.stream import Stream
from tests.support.viewer_group import ViewerGroup

CRASHES = 5

KILLED = """
import os, signal
before = os.write
def write(fd, data):
    if len(data) > 1_000_000:
        before(fd, data[:1000])
        os.kill(os.getpid(), signal.SIGKILL)
    return before(fd, data)
os.write = write
"""
"""A sitecustomize module: the daemon is killed while it writes a big picture."""


@pytest.fixture
def door(daemon: Daemon, manager: ServiceManager, pipe_camera: PipeCamera) -> Daemon:
    """Return a managed daemon that shows what the pipe camera is given."""
    return manager.start(daemon, settings(pipe_camera))


def test_after_a_crash_only_those_are_closed_whose_part_was_torn(
    manager: ServiceManager, door: Daemon, pipe_camera: PipeCamera
) -> None:
    with slow(door, "torn") as torn, slow(door, "idle") as idle, Stream(door, "/stream") as well:
        manager.wait_for_stored(VIEWER, 3)
        pipe_camera.show(numbered(1, BIG))
        assert well.part().body == numbered(1, BIG)
        read_part(idle, 1, BIG)
        door.wait_for_counts(("idle", 1, 0), ("", 1, 0), ("torn", 0, 0))
        kill(manager, door, pipe_camera)
        assert {row["key"] for row in door.wait_for_viewers(2)} == {"idle", ""}
        manager.wait_for_stored(VIEWER, 2)
        rest = read_to_end(torn)
        assert 0 < len(rest) < len(numbered(1, BIG))
        pipe_camera.show(numbered(2))
        read_part(idle, 2)
        assert well.part().body == numbered(2)


def test_part_that_got_through_in_the_end_is_torn_no_more(
    manager: ServiceManager, door: Daemon, pipe_camera: PipeCamera
) -> None:
    with slow(door) as sock:
        manager.wait_for_stored(VIEWER, 1)
        pipe_camera.show(numbered(1, BIG))
        read_part(sock, 1, BIG)
        door.wait_for_counts(("slow", 1, 0))
        kill(manager, door, pipe_camera)
        pipe_camera.show(numbered(2))
        read_part(sock, 2)


def test_crash_while_a_part_of_before_is_being_finished(
    manager: ServiceManager, door: Daemon, pipe_camera: PipeCamera
) -> None:
    with slow(door) as sock:
        pipe_camera.show(numbered(1, BIG))
        sock.recv(1, socket.MSG_PEEK)  # It has begun.
        restart(manager, door, pipe_camera)
        kill(manager, door, pipe_camera)
        door.wait_for_viewers(0)
        manager.wait_for_stored(VIEWER, 0)
        assert len(read_to_end(sock)) < len(numbered(1, BIG))


def test_crashes_at_full_speed_close_only_what_they_tore(
    daemon: Daemon, manager: ServiceManager
) -> None:
    fast = {"camera.framerate": 50, "camera.resolution": "320x240"}
    manager.start(daemon, fast)
    with ViewerGroup(daemon) as group:
        for count in range(1, CRASHES + 1):
            new = group.join(20 - going_on(group))
            group.wait_for_parts(1, new)
            manager.wait_for_stored(VIEWER, 20)
            alive = [viewer for viewer in group.viewers if not viewer.ended]
            seen = max(len(viewer.parts) for viewer in alive)
            group.wait_for_parts(seen + 10, alive)
            daemon.process.kill()
            daemon.wait()
            manager.start(daemon, fast)
            group.wait(
                lambda: len(daemon.status()["viewers"]) == going_on(group),
                "everybody goes on or was closed",
            )
            # Each time one of them may have been in the middle of a write, with nothing torn.
            whole = [viewer for viewer in group.viewers if viewer.ended and not viewer.torn]
            assert len(whole) <= count
        for viewer in group.viewers:
            stamps = [part.headers["x-timestamp"] for part in viewer.parts]
            assert stamps == sorted(set(stamps))


def test_crash_in_the_middle_of_a_write_costs_that_stream_alone(
    daemon: Daemon, manager: ServiceManager, pipe_camera: PipeCamera, tmp_path: Path
) -> None:
    killed = sitecustomize(tmp_path, "killed", KILLED)
    manager.start(daemon, settings(pipe_camera), environ=killed)
    with ViewerGroup(daemon) as group:
        group.join(5)
        manager.wait_for_stored(VIEWER, 5)
        pipe_camera.show(numbered(1))
        group.wait_for_parts(1)
        pipe_camera.show(numbered(2, BIG))
        daemon.wait()
        go_on(manager, daemon, pipe_camera)
        group.wait(lambda: going_on(group) == 4, "one was closed")
        pipe_camera.show(numbered(3))
        alive = [viewer for viewer in group.viewers if not viewer.ended]
        group.wait_for_parts(2, alive)
        assert all(viewer.bodies == [numbered(1), numbered(3)] for viewer in alive)
        daemon.wait_for_viewers(4)
