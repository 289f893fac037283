"""Whose handshake or file is next, and how much of the time they get."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from doorbelld.server import turns
from doorbelld.server.connection import Connection
from doorbelld.server.turns import Turns

SLICE = 0.01


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(turns, "time", found)
    return found


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as found:
        yield found


def test_addresses_take_turns_however_many_each_has(sock: socket.socket) -> None:
    queue = Turns()
    flood = [Connection(sock, "10.0.0.1") for _ in range(100)]
    for connection in flood:
        queue.add(connection)
        queue.add(connection)  # once is enough
    browser, another = Connection(sock, "10.0.0.2"), Connection(sock, "10.0.0.3")
    queue.add(browser)
    queue.add(another)
    queue.discard(flood[1])
    found = []
    while queue.timeout(1) < 1:
        found += list(queue.due())
    assert found == [flood[0], browser, another, *flood[2:]]


@pytest.mark.parametrize("share", [1 / 2, 1 / 4])
def test_they_take_their_share_of_the_time_at_most(
    clock: Clock, sock: socket.socket, share: float
) -> None:
    queue = Turns(share)
    for number in range(100):
        queue.add(Connection(sock, f"10.0.0.{number}"))
    begin, worked = clock.now, 0.0
    while queue.timeout(60) < 60:
        for _ in queue.due():
            clock.now += 0.004
            worked += 0.004
        assert not list(queue.due()), "the time now belongs to others"
        clock.now += queue.timeout(60) if queue.timeout(60) < 60 else 0
    assert worked == pytest.approx(0.4)
    assert clock.now - begin >= (worked - 2 * SLICE) / share


def test_one_turn_ends_in_time_but_never_before_one_handshake(
    clock: Clock, sock: socket.socket
) -> None:
    queue = Turns()
    for number in range(100):
        queue.add(Connection(sock, f"10.0.0.{number}"))
    begin = clock.now
    for _ in queue.due():
        clock.now += 0.001
    assert clock.now - begin == pytest.approx(SLICE, abs=0.0011)
    clock.now += queue.timeout(60)
    for _ in queue.due():
        clock.now += 5.0
    assert queue.timeout(60) == pytest.approx(5.0)


def test_nothing_waits_for_an_empty_queue(sock: socket.socket) -> None:
    queue = Turns()
    assert queue.timeout(60) == 60
    connection = Connection(sock, "10.0.0.1")
    queue.add(connection)
    assert queue.timeout(60) < 60
    queue.discard(connection)
    queue.discard(connection)
    assert queue.timeout(60) == 60
    assert not list(queue.due())
