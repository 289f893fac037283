"""Outputs that are not read: the daemon's log, and its messages to the service manager."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.condition import Condition
from tests.support.daemon import Daemon, eventually
from tests.support.pipe_camera import PipeCamera
from tests.support.service_manager import ServiceManager, socket_unit
from tests.support.stream import Stream
from tests.support.viewer_group import ViewerGroup

VIEWERS = 5
VISITS = 100
"""More lines than the log has room for."""

LOST = "lines before this one could not be logged"
F_SETPIPE_SZ = 1031


@pytest.fixture
def listener(daemon: Daemon) -> Iterator[socket.socket]:
    """Return a socket for the daemon, as its port cannot be read from the log here."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        daemon.port = found.getsockname()[1]
        yield found


def start(
    daemon: Daemon, listener: socket.socket, camera: PipeCamera | None, *command: str
) -> None:
    """Start the daemon by a command that sends the log somewhere else."""
    settings = {"server.max_requests": 1, "camera.source": camera.source if camera else "pattern"}
    prefix = [*socket_unit([listener]), *command]
    daemon.start(
        settings, arguments=["-v"], prefix=prefix, pass_fds=[listener.fileno()], wait=False
    )


def visit(daemon: Daemon, count: int = VISITS) -> None:
    """Open and close streams, each of which makes some lines in the log."""
    for _ in range(count):
        with Stream(daemon) as stream:
            assert stream.status == 200


def fill(disk: Path) -> None:
    with suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(512))


# The log.


def test_log_on_a_full_disk_costs_lines_and_nothing_else(
    daemon: Daemon, listener: socket.socket, pipe_camera: PipeCamera, tmp_path: Path
) -> None:
    as_user = ["--map-root-user"] if os.geteuid() else []
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o size=16k none {disk} && exec "$@" 2>{disk}/log'
    command = ["/usr/bin/unshare", "--mount", *as_user, "sh", "-c", script, "sh"]
    start(daemon, listener, pipe_camera, *command)
    with ViewerGroup(daemon, pipe_camera) as group:
        group.join_one_by_one(VIEWERS)
        before = Condition.of(daemon.pid)
        inside = Path(f"/proc/{daemon.pid}/root{disk}")
        fill(inside)
        visit(daemon)
        group.show_next(30)
        assert daemon.request("/healthz")[0].status == 200
        assert LOST not in (inside / "log").read_text()
        (inside / "filler").unlink()
        visit(daemon, 1)
        assert LOST in (inside / "log").read_text()
        group.show_next(30)
        assert [row["dropped"] for row in daemon.wait_for_viewers(VIEWERS)] == [0] * VIEWERS
        before.wait_until_back()
        log = (inside / "log").read_text()
        fill(inside)
    assert daemon.stop() == 0, "and not a code for what could not be written"
    assert log.count(LOST) == 1
    assert "Traceback" not in log


def test_log_that_is_not_read_costs_lines_and_nothing_else(
    daemon: Daemon, listener: socket.socket, pipe_camera: PipeCamera, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        fcntl.fcntl(reader, F_SETPIPE_SZ, 4096)
        start(daemon, listener, pipe_camera, "/bin/sh", "-c", f'exec "$@" 2>{pipe}', "sh")
        with ViewerGroup(daemon, pipe_camera) as group:
            group.join_one_by_one(VIEWERS)
            before = Condition.of(daemon.pid)
            visit(daemon)
            group.show_next(30)
            early = os.read(reader, 1 << 16)
            visit(daemon, 1)
            late = os.read(reader, 1 << 16).decode()
            group.show_next(30)
            assert [row["dropped"] for row in daemon.wait_for_viewers(VIEWERS)] == [0] * VIEWERS
            before.wait_until_back()
    finally:
        os.close(reader)
    visit(daemon)  # Also after the reader is gone.
    assert daemon.stop() == 0
    assert early.startswith(b"doorbelld ")
    assert late.startswith("WARNING: ")
    assert LOST in late


def test_closed_standard_streams_are_replaced_by_null(
    daemon: Daemon, listener: socket.socket
) -> None:
    start(daemon, listener, None, "/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")
    with Stream(daemon) as stream:
        stream.part()
        for number in range(3):
            assert Path(f"/proc/{daemon.pid}/fd/{number}").readlink() == Path(os.devnull)
        stream.part()
    assert daemon.stop() == 0


# The manager.


@pytest.fixture
def watched(daemon: Daemon) -> Iterator[ServiceManager]:
    """Return the manager of a daemon that sends a watchdog message every tenth of a second."""
    with ServiceManager() as found:
        daemon.start(environ={**found.environ, "WATCHDOG_USEC": "300000"})
        found.wait_for("WATCHDOG=1")
        yield found


def test_manager_that_leaves_does_no_harm(daemon: Daemon, watched: ServiceManager) -> None:
    with Stream(daemon) as stream:
        stream.part()
        before = Condition.of(daemon.pid)
        watched.leave()
        for _ in range(30):
            stream.part()
        daemon.send(signal.SIGHUP)
        daemon.wait_for_log("read again")
        stream.part()
        assert Condition.of(daemon.pid).descriptors <= before.descriptors
    assert daemon.stop() == 0


def test_manager_that_does_not_read_delays_nothing_for_long(
    daemon: Daemon, watched: ServiceManager
) -> None:
    with Stream(daemon) as stream:
        stream.part()
        eventually(lambda: watched.is_full, "as many messages as the kernel keeps")
        for _ in range(30):
            stream.part()
        daemon.send(signal.SIGHUP)
        daemon.wait_for_log("read again")
        watched.rest()
        watched.wait_for("WATCHDOG=1")
        eventually(lambda: watched.is_full, "once more")
        stream.part()
    assert daemon.stop() == 0
