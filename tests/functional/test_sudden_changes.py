"""What comes without warning: a kill, and a broken configuration."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.condition import Condition
from tests.support.daemon import Daemon, eventually
from tests.support.pipe_camera import PipeCamera
from tests.support.viewer_group import ViewerGroup

VIEWERS = 100
KILLS = 3
FEW = 10


def start_again(daemon: Daemon) -> None:
    """Start at the same port as before, and wait until it listens there."""
    opened = daemon.log().count(": open http://")
    daemon.start({"camera.resolution": "160x120", "server.max_requests": 1}, wait=False)
    eventually(lambda: daemon.log().count(": open http://") > opened, "it listens")
    assert daemon.log().count(f"http://127.0.0.1:{daemon.port}/") == opened + 1


def watch_until_killed(daemon: Daemon) -> Condition:
    """Kill the daemon under many viewers; return its condition before."""
    with ViewerGroup(daemon) as group, daemon.connect() as idle:
        group.join(VIEWERS)
        group.wait_for_parts(10)
        condition = Condition.of(daemon.pid)
        daemon.send(signal.SIGKILL)
        assert daemon.wait() == -signal.SIGKILL
        group.wait(lambda: all(each.ended for each in group.viewers), "all see the end")
        assert idle.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            daemon.connect()
        return condition


def test_kill_under_a_hundred_viewers_is_over_with_the_next_start(daemon: Daemon) -> None:
    daemon.start({"camera.resolution": "160x120"})
    first = watch_until_killed(daemon)
    for _ in range(KILLS):
        start_again(daemon)
        again = watch_until_killed(daemon)
        assert again.descriptors == first.descriptors
        assert again.threads <= first.threads


# A broken file.


def with_bytes(data: bytes) -> Callable[[Path], None]:
    def break_it(path: Path) -> None:
        path.write_bytes(data)

    return break_it


def make_it_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_it_point_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("break_it", "place"),
    [
        (with_bytes(b"[server]\nmax_viewers = 1\n[camera\n"), ":3: "),
        (with_bytes(b"[server]\nmax_viewers = 1\n[sever]\n"), ":3: "),
        (with_bytes(b"[server]\nmax_viewers = 1\nmax_viewers = 2\n"), ":3: "),
        (with_bytes(b"max_viewers = 1\n"), ":1: "),
        (with_bytes(b"[server]\nmax_viewers = 1\nlisten = :70000\n"), ":3: "),
        (with_bytes(b"[server]\nmax_viewers = 1\nlisten = \xff\xfe\n"), ":3: "),
        (with_bytes(b"[server]\nmax_viewers = 1\n\0\n"), ":3: "),
        (with_bytes(b"[server]\nmax_viewers = 1\n" + b"x" * 1_000_000), ":3: "),
        (with_bytes(b"[server]\nmax_viewers = 1\n" + b"#" * (1 << 20)), ": "),
        (make_it_a_folder, ": "),
        (make_it_point_to_itself, ": "),
        (Path.unlink, ": "),
    ],
    ids=[
        *("bracket", "section", "twice", "none", "value", "text", "nul", "long", "large"),
        *("folder", "loop", "gone"),
    ],
)
def test_reload_of_a_broken_file_costs_no_viewer_a_picture(
    daemon: Daemon,
    pipe_camera: PipeCamera,
    tmp_path: Path,
    break_it: Callable[[Path], None],
    place: str,
) -> None:
    path = tmp_path / "x.conf"
    path.write_text("[server]\nmax_requests = 1\nmax_viewers = 50\n")
    settings = {"camera.source": pipe_camera.source, "camera.stall_timeout": 3600}
    daemon.start(settings, arguments=["--config", str(path)])
    with ViewerGroup(daemon, pipe_camera) as group:
        group.join_one_by_one(FEW)
        before, said = Condition.of(daemon.pid), len(daemon.log())
        limits = daemon.status()["limits"]
        break_it(path)
        daemon.send(signal.SIGHUP)
        group.show_next(30)
        daemon.wait_for_log("the configuration stays as it was")
        group.show_next(30)
        assert daemon.status()["limits"] == limits
        assert [row["dropped"] for row in daemon.wait_for_viewers(FEW)] == [0] * FEW
        before.wait_until_back()
    lines = [line for line in daemon.log()[said:].splitlines() if line.startswith("ERROR")]
    assert lines[0].startswith(f"ERROR: {path}{place}")
    assert max(map(len, lines)) < 1000
