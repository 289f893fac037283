"""A network that goes away and comes back: cables, addresses, and both at the daemon's start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.condition import Condition
from tests.support.crowd import Crowd, Watcher
from tests.support.daemon import Daemon, eventually
from tests.support.place import DaemonThere, Place
from tests.support.systemd import Systemd

FAR = 3
NEAR = 2
MISSED = 15
"""Pictures that those far away have missed when the link comes back: a second and a half."""

SETTINGS = {"camera.resolution": "160x120", "camera.framerate": 10, "server.max_requests": 1}
DOOR, PHONE, OTHER = "192.168.77.1", "192.168.77.2", "192.168.77.3"
DOOR_V6, PHONE_V6 = "fd77::1", "fd77::2"


@pytest.fixture
def door() -> Iterator[Place]:
    """Return where the daemon is; it has a link to the phone's place, and no address there."""
    with Place() as found:
        yield found


@pytest.fixture
def phone(door: Place) -> Iterator[Place]:
    with Place(within=door) as found:
        door.link(found, "door0", "phone0")
        for address in (PHONE, PHONE_V6):
            found.ip("address", "add", *_with_prefix(address), "dev", "phone0")
        yield found


@pytest.fixture
def daemon(door: Place, tmp_path: Path) -> Iterator[DaemonThere]:
    found = DaemonThere(tmp_path, door)
    with found:
        yield found


def give(door: Place, address: str) -> None:
    door.ip("address", "add", *_with_prefix(address), "dev", "door0")


def take(door: Place, address: str) -> None:
    door.ip("address", "delete", *_with_prefix(address)[:1], "dev", "door0")


def _with_prefix(address: str) -> list[str]:
    # Nobody else is there who could have the same address, so it need not be asked for.
    return [f"{address}/64", "nodad"] if ":" in address else [f"{address}/24"]


class Viewers:
    """Some beside the daemon, some at the other end of the link."""

    def __init__(self, daemon: DaemonThere, phone: Place, stack: ExitStack) -> None:
        self.daemon = daemon
        self.crowd = stack.enter_context(Crowd(daemon))
        self.near = self.crowd.join(NEAR, "/video_feed?key=near")
        with daemon.seen_from(phone, DOOR):
            self.far = self.crowd.join(FAR, "/video_feed?key=far")
        self.crowd.wait_for_parts(3)

    def rows(self, key: str) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = self.daemon.status(f"?key={key}")["viewers"]
        return rows

    def those_near_go_on(self) -> None:
        """Let those beside the daemon get all of the next pictures."""
        self.go_on(self.near)

    def go_on(self, watchers: list[Watcher]) -> None:
        """Let these get ten more pictures."""
        for watcher in watchers:
            watcher.parts.clear()
        self.crowd.wait_for_parts(10, watchers)


def test_link_that_is_down_for_a_moment_ends_no_stream(
    daemon: DaemonThere, door: Place, phone: Place
) -> None:
    give(door, DOOR)
    daemon.start({**SETTINGS, "server.listen": ":0"}, prefix=door.prefix)
    with ExitStack() as stack:
        viewers = Viewers(daemon, phone, stack)
        before = Condition.of(daemon.pid)
        since = [row["since"] for row in viewers.rows("far")]
        door.ip("link", "set", "door0", "down")
        viewers.crowd.wait(
            lambda: all(int(str(row["dropped"])) > MISSED for row in viewers.rows("far")),
            "those far away miss pictures",
        )
        viewers.those_near_go_on()
        assert daemon.request("/healthz")[0].status == 200
        door.ip("link", "set", "door0", "up")
        up_at = float(daemon.request("/snapshot.jpg")[0].headers["X-Timestamp"])
        viewers.crowd.wait(
            lambda: all(
                float(watcher.parts[-1].headers["x-timestamp"]) > up_at + 0.5
                for watcher in viewers.far
            ),
            "they see what is now",
        )
        assert [row["since"] for row in viewers.rows("far")] == since
        assert all(row["dropped"] == 0 for row in viewers.rows("near"))
        before.wait_until_back()
    assert "WARNING" not in daemon.log()


def test_link_that_stays_down_costs_its_viewers_and_nobody_else(
    daemon: DaemonThere, door: Place, phone: Place
) -> None:
    give(door, DOOR)
    daemon.start({**SETTINGS, "server.listen": ":0", "server.stall_timeout": 2}, prefix=door.prefix)
    with ExitStack() as stack:
        viewers = Viewers(daemon, phone, stack)
        before = Condition.of(daemon.pid)
        door.ip("link", "set", "door0", "down")
        viewers.crowd.wait(lambda: not viewers.rows("far"), "those far away are given up")
        eventually(lambda: daemon.log().count(": took nothing for 2 s") == FAR, "it is told")
        left = before.descriptors - FAR
        eventually(lambda: Condition.now(daemon.pid).descriptors == left, "their sockets closed")
        viewers.those_near_go_on()
        door.ip("link", "set", "door0", "up")
        with daemon.seen_from(phone, DOOR), Crowd(daemon) as again:
            again.join(FAR)
            again.wait_for_parts(10)
        viewers.those_near_go_on()
        assert all(row["dropped"] == 0 for row in viewers.rows("near"))
        before.wait_until_back()
    assert "WARNING" not in daemon.log()


def test_address_that_changes_is_served_at_once(
    daemon: DaemonThere, door: Place, phone: Place
) -> None:
    give(door, DOOR)
    daemon.start({**SETTINGS, "server.listen": ":0"}, prefix=door.prefix)
    with ExitStack() as stack:
        viewers = Viewers(daemon, phone, stack)
        take(door, DOOR)
        give(door, OTHER)
        with daemon.seen_from(phone, OTHER), Crowd(daemon) as others:
            others.join(FAR)
            others.wait_for_parts(10)
        viewers.those_near_go_on()
        take(door, OTHER)
        give(door, DOOR)  # The lease is renewed, and with it those who still wait.
        viewers.go_on(viewers.far)
        assert all(row["dropped"] == 0 for row in viewers.rows("near"))


@pytest.mark.parametrize(("address", "host"), [(DOOR, DOOR), (DOOR_V6, f"[{DOOR_V6}]")])
def test_address_that_comes_after_the_start_is_waited_for(
    daemon: DaemonThere, door: Place, phone: Place, tmp_path: Path, address: str, host: str
) -> None:
    with Systemd(tmp_path) as systemd:
        where = {**SETTINGS, "server.listen": f"{host}:0"}
        daemon.start(where, environ=systemd.environ, prefix=door.prefix)
        assert systemd.next() == "READY=1"
    expected = f"WARNING: this machine does not have the address {address} yet: waiting for it\n"
    assert daemon.log().startswith(expected)
    for _ in range(2):
        with daemon.seen_from(door, address):
            assert not answers(daemon)
        give(door, address)
        with daemon.seen_from(phone, address):
            eventually(lambda: answers(daemon), "the address is there")
            with Crowd(daemon) as crowd:
                crowd.join(FAR)
                crowd.wait_for_parts(3)
        take(door, address)
    assert daemon.log().count("does not have the address") == 1


def answers(daemon: Daemon) -> bool:
    try:
        return daemon.request("/healthz")[0].status == 200
    except OSError:
        return False
