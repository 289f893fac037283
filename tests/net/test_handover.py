from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Sequence

import pytest

from doorbelld.media import multipart
from doorbelld.net import handover as module
from doorbelld.net.handover import Handover
from doorbelld.net.viewerrecord import WHOLE
from doorbelld.stream import viewer
from doorbelld.stream.broadcaster import Broadcaster
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.link import AdaptiveViewer, Wishes
from doorbelld.stream.viewer import News, Viewer
from doorbelld.system.systemd import DescriptorStore
from tests.support.daemon import GUARD, eventually
from tests.support.raw import read_to_end
from tests.support.socketpairs import connection, part, publish, read

VIEWER = "doorbelld-viewer"


class SlowStore(DescriptorStore):
    """The store of a manager that has not dropped anything yet."""

    def __init__(self) -> None:
        super().__init__({})
        self.capacity = 4096
        self.stored: list[tuple[str, int]] = []

    def keep(self, name: str, descriptors: Sequence[int], timeout: float = 0.0) -> bool:
        del timeout
        self.stored += [(name, os.dup(fd)) for fd in descriptors]
        return True

    def close(self) -> None:
        for _, fd in self.stored:
            os.close(fd)


@pytest.fixture
def store() -> Iterator[SlowStore]:
    found = SlowStore()
    yield found
    found.close()


@pytest.fixture
def hub() -> FrameHub:
    return FrameHub()


def made(hub: FrameHub, handover: Handover) -> Broadcaster:
    return Broadcaster(hub, handover.viewers, max_viewers=3, stall_timeout=60)


@pytest.fixture
def broadcaster(hub: FrameHub, store: SlowStore) -> Iterator[Broadcaster]:
    found = made(hub, Handover(store))
    found.start()
    yield found
    assert found.stop(GUARD)


def join(broadcaster: Broadcaster, sock: socket.socket) -> None:
    assert broadcaster.join(sock, b"", address="10.0.0.9")


def renumbered(sock: socket.socket, number: int) -> socket.socket:
    """Return the same socket, by a number that is free."""
    assert sock.fileno() != number
    os.dup2(sock.fileno(), number)
    sock.close()
    return socket.socket(fileno=number)


def test_descriptor_can_be_used_again_while_the_manager_still_holds_the_socket(
    hub: FrameHub, broadcaster: Broadcaster, store: SlowStore
) -> None:
    first, leaving = connection(buffer=4096)
    number = first.fileno()
    join(broadcaster, first)
    eventually(lambda: VIEWER in [name for name, _ in store.stored], "it is stored")
    big = publish(hub, b"x" * 1_000_000)
    read(leaving, multipart.BOUNDARY + part(big)[:1000])
    leaving.shutdown(socket.SHUT_WR)
    eventually(lambda: not broadcaster.watching, "it has left")
    second, staying = connection()
    join(broadcaster, renumbered(second, number))
    with staying:
        read(staying, multipart.BOUNDARY + part(big))
        leaving.close()  # with a reset, for it has not read all
        for _ in range(3):
            read(staying, part(publish(hub)))


def test_restored_viewer_has_no_age_before_there_is_a_picture(store: SlowStore) -> None:
    server, client = connection()
    with client:
        hub = FrameHub()
        before = made(hub, Handover(store))
        before.start()
        frame = publish(hub)
        join(before, server)
        read(client, multipart.BOUNDARY + part(frame))
        assert before.stop(GUARD)
        hub = FrameHub()
        after = made(hub, successor(store))
        after.start()
        (row,) = eventually(after.viewers, "it goes on")
        assert (row.sent, row.age_ms) == (1, None)
        read(client, part(publish(hub)))
        eventually(lambda: after.viewers()[0].age_ms is not None, "it has got one")
        assert after.stop(GUARD)


def read_up_to(client: socket.socket, end: bytes) -> bytes:
    """Return what comes before these bytes."""
    found = b""
    while not found.endswith(end):
        some = client.recv(1 << 16)
        assert some, f"the stream ended after {found!r}"
        found += some
    return found[: -len(end)]


def test_pages_go_on_with_the_state_and_within_the_limits(store: SlowStore) -> None:
    pairs = [connection() for _ in range(6)]
    clients = [client for _, client in pairs]
    before = made(FrameHub(), Handover(store))
    before.use_news(lambda: b"before")
    before.start()
    for number, (server, _) in enumerate(pairs):
        news = News(pictures=number % 2 == 0)
        wishes = Wishes() if number == 0 else None
        assert before.join(server, b"", address="10.0.0.9", wishes=wishes, news=news)
    assert before.stop(GUARD)
    hub = FrameHub()
    after = Broadcaster(hub, successor(store).viewers, max_viewers=2, stall_timeout=60)
    after.use_news(lambda: b"after")
    after.start()
    eventually(lambda: len(after.viewers()) == after.watching == 2, "two go on")
    assert sum(isinstance(each, AdaptiveViewer) for each in after._viewers.values()) == 1
    live = part(publish(hub))
    old, new = multipart.json_part(b"before"), multipart.json_part(b"after")
    for number, client in enumerate(clients[:4]):
        found = read_up_to(client, new if number % 2 else live)
        assert found.replace(old, b"").replace(new, b"") == multipart.BOUNDARY
        assert old not in found.partition(new)[2], "the state comes first"
    for client in clients[4:]:
        assert new not in read_to_end(client)
    assert after.stop(GUARD)
    for client in clients:
        client.close()


def test_program_of_an_older_daemon_goes_on_with_the_boundary_that_it_lacks(
    store: SlowStore,
) -> None:
    server, client = connection()
    with client:
        hub = FrameHub()
        before = made(hub, Handover(store))
        before.start()
        join(before, server)
        read(client, multipart.BOUNDARY + part(publish(hub)))
        assert before.stop(GUARD)
        for left_by_an_older_one in (True, False):
            found, hub = successor(store), FrameHub()
            (row,) = (row for row in range(1, 10) if found.viewers.torn[row])
            if left_by_an_older_one:
                found.viewers.torn[row] = WHOLE
            after = made(hub, found)
            after.start()
            lacking = multipart.BOUNDARY if left_by_an_older_one else b""
            read(client, lacking + part(publish(hub)))
            assert after.stop(GUARD)


def successor(store: SlowStore) -> Handover:
    """Return the handover of the next process."""
    copies = [(name, os.dup(fd)) for name, fd in store.stored]
    return Handover(store, copies)


def test_another_password_is_saved_after_the_streams_of_the_old_one_have_ended(
    hub: FrameHub, store: SlowStore
) -> None:
    found = Handover(store)
    found.viewers.set_password_id(b"before")
    broadcaster = made(hub, found)
    server, client = connection()
    join(broadcaster, server)
    broadcaster.dismiss(b"after")
    memory = found.viewers.memory
    assert memory.has_password_id(b"before"), "or after a crash now, the stream would go on"
    broadcaster.start()
    with client:
        assert read_to_end(client) == multipart.BOUNDARY
    eventually(lambda: memory.has_password_id(b"after"), "the id of the new one is saved")
    assert broadcaster.stop(GUARD)


@pytest.mark.parametrize("after", [b"before", b"after", b""])
def test_stream_that_another_password_has_opened_does_not_go_on(
    hub: FrameHub, store: SlowStore, after: bytes
) -> None:
    before = Handover(store)
    before.viewers.set_password_id(b"before")
    broadcaster = made(hub, before)
    broadcaster.start()
    server, client = connection()
    with client:
        join(broadcaster, server)
        read(client, multipart.BOUNDARY + part(publish(hub)))
        assert broadcaster.stop(GUARD)
        assert VIEWER in [name for name, _ in store.stored]
        found = successor(store)
        found.viewers.set_password_id(after)
        hub = FrameHub()
        broadcaster = made(hub, found)
        broadcaster.start()
        if after == b"before":
            read(client, part(publish(hub)))
        else:
            assert not broadcaster.watching
            assert client.recv(1000) == b""
        assert broadcaster.stop(GUARD)


def test_manager_that_takes_nothing_does_not_delay_the_end(
    monkeypatch: pytest.MonkeyPatch, store: SlowStore
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    found = Handover(store)
    asked: list[str] = []

    def refuse(name: str, _descriptors: Sequence[int], _timeout: float = 0.0) -> bool:
        asked.append(name)
        return False

    monkeypatch.setattr(store, "keep", refuse)
    pairs = [connection() for _ in range(3)]
    viewers = [Viewer(server, "10.0.0.9", key="", fps=None, advance=False) for server, _ in pairs]
    found.viewers.save(viewers)
    assert asked == [VIEWER], "once is enough, for each try may take a while"
    assert [each.row for each in viewers] == [0, 0, 0]
    found.viewers.close()
    for pair in pairs:
        for sock in pair:
            sock.close()


def test_connection_that_ended_during_the_restart_leaves_nothing_behind(
    hub: FrameHub, store: SlowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = made(FrameHub(), Handover(store))
    before.start()
    pairs = [connection() for _ in range(2)]
    for server, client in pairs:
        join(before, server)
        read(client, multipart.BOUNDARY)
    assert before.stop(GUARD)
    found = successor(store)
    prepare, inodes = viewer._prepare, []

    def fail_once(sock: socket.socket) -> int:
        inodes.append(os.fstat(sock.fileno()).st_ino)
        if len(inodes) == 1:
            raise OSError(errno.EINVAL, "it has ended")
        return prepare(sock)

    monkeypatch.setattr(viewer, "_prepare", fail_once)
    after = made(hub, found)
    after.start()
    frame = publish(hub)
    eventually(lambda: [row.sent for row in after.viewers()] == [1], "the other goes on")
    streams = [client.recv(1000) for _, client in pairs]
    assert sorted(streams) == [b"", part(frame)]
    assert after.stop(GUARD)
    for _, client in pairs:
        client.close()
