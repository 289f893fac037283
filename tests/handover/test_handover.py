from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence

import pytest

from doorbelld.handover import handover
from doorbelld.handover.handover import Handover
from doorbelld.stream.broadcaster import Broadcaster
from doorbelld.stream.viewer import Viewer
from doorbelld.system.systemd import DescriptorStore
from tests.support.daemon import GUARD, eventually
from tests.support.socketpairs import connection, frame, part, read

VIEWER = "doorbelld-viewer"


class SlowStore(DescriptorStore):
    """A manager's store, of a manager that has not come to let go of anything yet."""

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
def broadcaster(store: SlowStore) -> Iterator[Broadcaster]:
    found = Broadcaster(max_viewers=3, stall_timeout=60, handover=Handover(store))
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


def test_the_number_of_one_who_left_can_be_anothers_while_the_manager_holds_the_socket_still(
    broadcaster: Broadcaster, store: SlowStore
) -> None:
    first, leaving = connection(buffer=4096)
    number = first.fileno()
    join(broadcaster, first)
    eventually(lambda: VIEWER in [name for name, _ in store.stored], "it is stored")
    big = frame(1, b"x" * 1_000_000)
    broadcaster.publish(big)
    read(leaving, part(big)[:1000])
    leaving.shutdown(socket.SHUT_WR)
    eventually(lambda: not broadcaster.watching, "it has left")
    second, staying = connection()
    join(broadcaster, renumbered(second, number))
    with staying:
        read(staying, part(big))
        leaving.close()  # with a reset, for it has not read all
        for sequence in (2, 3, 4):
            broadcaster.publish(frame(sequence))
            read(staying, part(frame(sequence)))


def test_who_was_taken_over_has_no_age_before_there_is_a_picture(store: SlowStore) -> None:
    server, client = connection()
    with client:
        before = Broadcaster(max_viewers=3, stall_timeout=60, handover=Handover(store))
        before.start()
        before.publish(frame(1))
        join(before, server)
        read(client, part(frame(1)))
        assert before.stop(GUARD)
        after = Broadcaster(max_viewers=3, stall_timeout=60, handover=successor(store))
        after.start()
        (row,) = eventually(after.viewers, "it goes on")
        assert (row["sent"], row["age_ms"]) == (1, None)
        after.publish(frame(1))
        read(client, part(frame(1)))
        eventually(lambda: after.viewers()[0]["age_ms"] is not None, "it has seen one")
        assert after.stop(GUARD)


def successor(store: SlowStore) -> Handover:
    """Return the handover of the process that comes next."""
    copies = [(name, os.dup(fd)) for name, fd in store.stored]
    return Handover(store, copies)


def test_another_password_counts_once_all_have_left_who_came_by_the_one_before(
    store: SlowStore,
) -> None:
    found = Handover(store)
    found.set_password_id(b"before")
    broadcaster = Broadcaster(max_viewers=3, stall_timeout=60, handover=found)
    server, client = connection()
    join(broadcaster, server)
    broadcaster.dismiss(b"after")
    assert found.ledger.has_password_id(b"before"), "for were it killed now, they would go on"
    broadcaster.start()
    with client:
        assert client.recv(1000) == b""
    eventually(lambda: found.ledger.has_password_id(b"after"), "it is sealed")
    assert broadcaster.stop(GUARD)


@pytest.mark.parametrize("after", [b"before", b"after", b""])
def test_who_was_let_in_by_another_password_does_not_go_on(store: SlowStore, after: bytes) -> None:
    before = Handover(store)
    before.set_password_id(b"before")
    broadcaster = Broadcaster(max_viewers=3, stall_timeout=60, handover=before)
    broadcaster.start()
    server, client = connection()
    with client:
        join(broadcaster, server)
        broadcaster.publish(frame(1))
        read(client, part(frame(1)))
        assert broadcaster.stop(GUARD)
        assert VIEWER in [name for name, _ in store.stored]
        found = successor(store)
        found.set_password_id(after)
        broadcaster = Broadcaster(max_viewers=3, stall_timeout=60, handover=found)
        broadcaster.start()
        if after == b"before":
            broadcaster.publish(frame(2))
            read(client, part(frame(2)))
        else:
            assert not broadcaster.watching
            assert client.recv(1000) == b""
        assert broadcaster.stop(GUARD)


def test_a_manager_that_takes_nothing_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch, store: SlowStore
) -> None:
    monkeypatch.setattr(handover, "_AT_ONCE", 1)
    found = Handover(store)
    asked: list[str] = []

    def refuse(name: str, _descriptors: Sequence[int], _timeout: float = 0.0) -> bool:
        asked.append(name)
        return False

    monkeypatch.setattr(store, "keep", refuse)
    pairs = [connection() for _ in range(3)]
    viewers = [Viewer(server, "10.0.0.9", key="", fps=None, advance=False) for server, _ in pairs]
    found.bequeath(viewers)
    assert asked == [VIEWER], "once is enough, for each try may take a while"
    assert [viewer.slot for viewer in viewers] == [0, 0, 0]
    found.ledger.close()
    for pair in pairs:
        for sock in pair:
            sock.close()
