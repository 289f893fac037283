"""Which connection makes room: the bounds on those waiting, and on answers not taken."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from doorbelld.server.connection import Connection
from doorbelld.server.connections import Waiting
from tests.support.processes import allow_many_files

MOST, MOST_PER_ADDRESS, MOST_UNSENT = 1024, 256, 64 * 1024 * 1024
ANSWER = bytes(MOST_UNSENT // 8)

Make = Callable[..., Connection]


@pytest.fixture
def make() -> Iterator[Make]:
    """Return what makes a connection from an address, with an answer that it does not take."""
    allow_many_files()
    with ExitStack() as stack:

        def connection(address: str, answer: bytes = b"") -> Connection:
            found = Connection(stack.enter_context(socket.socket()), address)
            found.rest = memoryview(answer)
            return found

        yield connection


def test_no_more_than_64_mb_of_answers_wait(make: Make) -> None:
    waiting = Waiting()
    first = make("10.0.0.1", ANSWER)
    for connection in (first, *(make("10.0.0.2", ANSWER) for _ in range(7))):
        assert waiting.in_the_way_of(connection) is None
        waiting.add(connection)
    obstacle = waiting.in_the_way_of(make("10.0.0.1", b"x"))
    assert obstacle is next(each for each in waiting if each.address == "10.0.0.2")
    assert waiting.in_the_way_of(make("10.0.0.3")) is None, "one without an answer"
    waiting.remove(first)
    assert waiting.in_the_way_of(make("10.0.0.1", ANSWER)) is None
    assert waiting.in_the_way_of(make("10.0.0.1", ANSWER + b"x")) is not None


def test_an_answer_that_was_taken_counts_no_longer(make: Make) -> None:
    waiting = Waiting()
    writing = [make("10.0.0.1", ANSWER) for _ in range(8)]
    for connection in writing:
        waiting.add(connection)
    writing[0].rest = writing[0].rest[1:]  # In part: all of it takes memory still.
    assert waiting.in_the_way_of(make("10.0.0.2", ANSWER)) is writing[0]
    writing[0].rest = writing[0].rest[len(writing[0].rest) :]
    waiting.remove(writing[0])
    assert waiting.in_the_way_of(make("10.0.0.2", ANSWER)) is None
    for connection in writing[1:]:
        waiting.remove(connection)
    assert waiting.in_the_way_of(make("10.0.0.2", ANSWER * 9)) is None, "a single one may be longer"


def test_no_more_than_256_wait_from_one_address(make: Make) -> None:
    waiting = Waiting()
    waiting.add(make("10.0.0.1"))
    same = [make("10.0.0.2") for _ in range(MOST_PER_ADDRESS)]
    for connection in same:
        assert waiting.in_the_way_of(connection) is None
        waiting.add(connection)
    assert waiting.in_the_way_of(make("10.0.0.2")) is same[0]
    assert waiting.in_the_way_of(make("10.0.0.3")) is None
    waiting.remove(same[0])
    assert waiting.in_the_way_of(make("10.0.0.2")) is None


def test_no_more_than_1024_wait_in_all(make: Make) -> None:
    waiting = Waiting()
    spread = [make(f"10.0.{number % 500}.1") for number in range(MOST - 4)]
    most = [make("10.9.9.9") for _ in range(4)]  # Nobody else has so many.
    for connection in (*spread, *most):
        assert waiting.in_the_way_of(connection) is None
        waiting.add(connection)
    assert list(waiting) == [*spread, *most]
    assert waiting.in_the_way_of(make("10.9.9.8")) is most[0]
    waiting.remove(most[0])
    assert waiting.in_the_way_of(make("10.9.9.8")) is None
    waiting.add(make("10.9.9.8"))
    assert len(waiting) == MOST
    waiting.clear()
    assert not waiting
    assert waiting.in_the_way_of(make("10.9.9.8")) is None
