"""Interfaces that lose the network by which some viewers were allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.network_namespace import NamespacedDaemon, NetworkNamespace
from tests.support.viewer_group import ViewerGroup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOOR, PHONE = "198.51.100.1", "198.51.100.2"
"""A LAN with public addresses, as a company may have one."""

SETTINGS = {"camera.resolution": "160x120", "camera.framerate": 10, "server.listen": ":0"}


@pytest.fixture
def door() -> Iterator[NetworkNamespace]:
    with NetworkNamespace() as found:
        yield found


@pytest.fixture
def phone(door: NetworkNamespace) -> Iterator[NetworkNamespace]:
    with NetworkNamespace(within=door) as found:
        door.link(found, "door0", "phone0")
        # By this route packets find their way back without the network that is removed.
        door.ip("address", "add", "192.168.77.1/24", "dev", "door0")
        door.ip("address", "add", f"{DOOR}/24", "dev", "door0")
        door.ip("route", "add", f"{PHONE}/32", "dev", "door0", "src", "192.168.77.1")
        found.ip("address", "add", f"{PHONE}/32", "dev", "phone0")
        found.ip("route", "add", "192.168.77.1", "dev", "phone0", "src", PHONE)
        found.ip("route", "add", DOOR, "dev", "phone0", "src", PHONE)
        yield found


@pytest.fixture
def daemon(door: NetworkNamespace, tmp_path: Path) -> Iterator[NamespacedDaemon]:
    found = NamespacedDaemon(tmp_path, door)
    with found:
        yield found


def test_stream_ends_when_its_network_is_gone(
    daemon: NamespacedDaemon, door: NetworkNamespace, phone: NetworkNamespace
) -> None:
    daemon.start(SETTINGS, prefix=door.prefix)
    with ViewerGroup(daemon) as group:
        (near,) = group.join()
        with daemon.seen_from(phone, "192.168.77.1"):
            (far,) = group.join()
        group.wait_for_parts(3)
        door.ip("address", "delete", f"{DOOR}/24", "dev", "door0")
        group.wait(lambda: far.ended, "the stream ends")
        daemon.wait_for_log(f"{PHONE}: is not let in any more")
        near.parts.clear()
        group.wait_for_parts(10, [near])
    with daemon.seen_from(phone, "192.168.77.1"):
        assert daemon.request("/status")[0].status == 403


def test_address_that_is_renewed_ends_no_stream(
    daemon: NamespacedDaemon, door: NetworkNamespace, phone: NetworkNamespace
) -> None:
    daemon.start(SETTINGS, prefix=door.prefix)
    with daemon.seen_from(phone, "192.168.77.1"), ViewerGroup(daemon) as group:
        (far,) = group.join()
        group.wait_for_parts(3)
        for _ in range(3):
            door.ip("address", "delete", f"{DOOR}/24", "dev", "door0")
            group.wait_for_parts(len(far.parts) + 15)  # a second and a half, a look at least
            door.ip("address", "add", f"{DOOR}/24", "dev", "door0")
            group.wait_for_parts(len(far.parts) + 15)
    assert "is not let in any more" not in daemon.log()
