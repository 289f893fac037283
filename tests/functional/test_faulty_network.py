"""A network that goes away and comes back: cables and addresses, also at the daemon's start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.condition import Condition
from tests.support.daemon import Daemon, eventually
from tests.support.network_namespace import NamespacedDaemon, NetworkNamespace
from tests.support.service_manager import ServiceManager
from tests.support.viewer_group import Viewer, ViewerGroup

FAR = 3
NEAR = 2
MISSED = 15
"""Pictures that the remote viewers miss while the link is down: a second and a half."""

SETTINGS = {"camera.resolution": "160x120", "camera.framerate": 10, "server.max_requests": 1}
DOOR, PHONE, OTHER = "192.168.77.1", "192.168.77.2", "192.168.77.3"
DOOR_V6, PHONE_V6 = "fd77::1", "fd77::2"


@pytest.fixture
def door() -> Iterator[NetworkNamespace]:
    """Return the daemon's namespace: it has a link to the phone's, and no address on it."""
    with NetworkNamespace() as found:
        yield found


@pytest.fixture
def phone(door: NetworkNamespace) -> Iterator[NetworkNamespace]:
    with NetworkNamespace(within=door) as found:
        door.link(found, "door0", "phone0")
        for address in (PHONE, PHONE_V6):
            found.ip("address", "add", *_with_prefix(address), "dev", "phone0")
        yield found


@pytest.fixture
def daemon(door: NetworkNamespace, tmp_path: Path) -> Iterator[NamespacedDaemon]:
    found = NamespacedDaemon(tmp_path, door)
    with found:
        yield found


def give(door: NetworkNamespace, address: str) -> None:
    door.ip("address", "add", *_with_prefix(address), "dev", "door0")


def take(door: NetworkNamespace, address: str) -> None:
    door.ip("address", "delete", *_with_prefix(address)[:1], "dev", "door0")


def _with_prefix(address: str) -> list[str]:
    # No other machine can have the address, so there is no need to check for duplicates.
    return [f"{address}/64", "nodad"] if ":" in address else [f"{address}/24"]


class Viewers:
    """Viewers beside the daemon, and viewers at the other end of the link."""

    def __init__(self, daemon: NamespacedDaemon, phone: NetworkNamespace, stack: ExitStack) -> None:
        self.daemon = daemon
        self.group = stack.enter_context(ViewerGroup(daemon))
        self.near = self.group.join(NEAR, "/video_feed?key=near")
        with daemon.seen_from(phone, DOOR):
            self.far = self.group.join(FAR, "/video_feed?key=far")
        self.group.wait_for_parts(3)

    def rows(self, key: str) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = self.daemon.status(f"?key={key}")["viewers"]
        return rows

    def those_near_go_on(self) -> None:
        """Wait until the viewers beside the daemon have all of the next pictures."""
        self.go_on(self.near)

    def go_on(self, viewers: list[Viewer]) -> None:
        """Wait until these have ten more pictures."""
        for viewer in viewers:
            viewer.parts.clear()
        self.group.wait_for_parts(10, viewers)


def test_link_that_is_down_for_a_moment_ends_no_stream(
    daemon: NamespacedDaemon, door: NetworkNamespace, phone: NetworkNamespace
) -> None:
    give(door, DOOR)
    daemon.start({**SETTINGS, "server.listen": ":0"}, prefix=door.prefix)
    with ExitStack() as stack:
        viewers = Viewers(daemon, phone, stack)
        before = Condition.of(daemon.pid)
        since = [row["since"] for row in viewers.rows("far")]
        door.ip("link", "set", "door0", "down")
        viewers.group.wait(
            lambda: all(int(str(row["dropped"])) > MISSED for row in viewers.rows("far")),
            "those far away miss pictures",
        )
        viewers.those_near_go_on()
        assert daemon.request("/healthz")[0].status == 200
        door.ip("link", "set", "door0", "up")
        up_at = float(daemon.request("/snapshot.jpg")[0].headers["X-Timestamp"])
        viewers.group.wait(
            lambda: all(
                float(viewer.parts[-1].headers["x-timestamp"]) > up_at + 0.5
                for viewer in viewers.far
            ),
            "they see what is now",
        )
        assert [row["since"] for row in viewers.rows("far")] == since
        assert all(row["dropped"] == 0 for row in viewers.rows("near"))
        before.wait_until_back()
    assert "WARNING" not in daemon.log()


def test_link_that_stays_down_costs_its_own_viewers_only(
    daemon: NamespacedDaemon, door: NetworkNamespace, phone: NetworkNamespace
) -> None:
    give(door, DOOR)
    daemon.start({**SETTINGS, "server.listen": ":0", "server.stall_timeout": 2}, prefix=door.prefix)
    with ExitStack() as stack:
        viewers = Viewers(daemon, phone, stack)
        before = Condition.of(daemon.pid)
        door.ip("link", "set", "door0", "down")
        viewers.group.wait(lambda: not viewers.rows("far"), "those far away are given up")
        eventually(lambda: daemon.log().count(": took nothing for 2 s") == FAR, "it is logged")
        left = before.descriptors - FAR
        eventually(lambda: Condition.now(daemon.pid).descriptors == left, "their sockets closed")
        viewers.those_near_go_on()
        door.ip("link", "set", "door0", "up")
        with daemon.seen_from(phone, DOOR), ViewerGroup(daemon) as again:
            again.join(FAR)
            again.wait_for_parts(10)
        viewers.those_near_go_on()
        assert all(row["dropped"] == 0 for row in viewers.rows("near"))
        before.wait_until_back()
    assert "WARNING" not in daemon.log()


def test_address_that_changes_is_served_at_once(
    daemon: NamespacedDaemon, door: NetworkNamespace, phone: NetworkNamespace
) -> None:
    give(door, DOOR)
    daemon.start({**SETTINGS, "server.listen": ":0"}, prefix=door.prefix)
    with ExitStack() as stack:
        viewers = Viewers(daemon, phone, stack)
        take(door, DOOR)
        give(door, OTHER)
        with daemon.seen_from(phone, OTHER), ViewerGroup(daemon) as others:
            others.join(FAR)
            others.wait_for_parts(10)
        viewers.those_near_go_on()
        take(door, OTHER)
        give(door, DOOR)  # The lease is renewed, and the waiting streams go on.
        viewers.go_on(viewers.far)
        assert all(row["dropped"] == 0 for row in viewers.rows("near"))


@pytest.mark.parametrize(("address", "host"), [(DOOR, DOOR), (DOOR_V6, f"[{DOOR_V6}]")])
def test_address_that_comes_after_the_start_is_waited_for(
    daemon: NamespacedDaemon,
    door: NetworkNamespace,
    phone: NetworkNamespace,
    systemd: ServiceManager,
    address: str,
    host: str,
) -> None:
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
            with ViewerGroup(daemon) as group:
                group.join(FAR)
                group.wait_for_parts(3)
        take(door, address)
    assert daemon.log().count("does not have the address") == 1


def answers(daemon: Daemon) -> bool:
    try:
        return daemon.request("/healthz")[0].status == 200
    except OSError:
        return False
