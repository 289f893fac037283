"""Which connection is closed to make room, and when."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from doorbelld.server.connection import Connection
from doorbelld.server.connections import ConnectionTable
from tests.support.processes import allow_many_files

MOST, MOST_PER_ADDRESS, MOST_UNSENT = 1024, 256, 64 * 1024 * 1024
ANSWER = bytes(MOST_UNSENT // 8)

Make = Callable[..., Connection]


@pytest.fixture
def make() -> Iterator[Make]:
    """Return what makes a connection from an address, with an answer that is still to be sent."""
    allow_many_files()
    with ExitStack() as stack:

        def connection(address: str, answer: bytes = b"") -> Connection:
            found = Connection(stack.enter_context(socket.socket()), address)
            found.rest = memoryview(answer)
            return found

        yield connection


def test_no_more_than_64_mb_of_answers_wait(make: Make) -> None:
    table = ConnectionTable()
    first = make("10.0.0.1", ANSWER)
    for connection in (first, *(make("10.0.0.2", ANSWER) for _ in range(7))):
        assert table.eviction_candidate(connection) is None
        table.add(connection)
    candidate = table.eviction_candidate(make("10.0.0.1", b"x"))
    assert candidate is next(each for each in table if each.address == "10.0.0.2")
    assert table.eviction_candidate(make("10.0.0.3")) is None, "one without an answer"
    table.remove(first)
    assert table.eviction_candidate(make("10.0.0.1", ANSWER)) is None
    assert table.eviction_candidate(make("10.0.0.1", ANSWER + b"x")) is not None


def test_an_answer_that_was_sent_does_not_count_any_more(make: Make) -> None:
    table = ConnectionTable()
    writing = [make("10.0.0.1", ANSWER) for _ in range(8)]
    for connection in writing:
        table.add(connection)
    writing[0].rest = writing[0].rest[1:]  # Only in part: all of it still takes memory.
    assert table.eviction_candidate(make("10.0.0.2", ANSWER)) is writing[0]
    writing[0].rest = writing[0].rest[len(writing[0].rest) :]
    table.remove(writing[0])
    assert table.eviction_candidate(make("10.0.0.2", ANSWER)) is None
    for connection in writing[1:]:
        table.remove(connection)
    assert table.eviction_candidate(make("10.0.0.2", ANSWER * 9)) is None, (
        "a single one may be longer"
    )


def test_no_more_than_256_wait_from_one_address(make: Make) -> None:
    table = ConnectionTable()
    table.add(make("10.0.0.1"))
    same = [make("10.0.0.2") for _ in range(MOST_PER_ADDRESS)]
    for connection in same:
        assert table.eviction_candidate(connection) is None
        table.add(connection)
    assert table.eviction_candidate(make("10.0.0.2")) is same[0]
    assert table.eviction_candidate(make("10.0.0.3")) is None
    table.remove(same[0])
    assert table.eviction_candidate(make("10.0.0.2")) is None


def test_no_more_than_1024_wait_in_all(make: Make) -> None:
    table = ConnectionTable()
    spread = [make(f"10.0.{number % 500}.1") for number in range(MOST - 4)]
    most = [make("10.9.9.9") for _ in range(4)]  # No other address has so many.
    for connection in (*spread, *most):
        assert table.eviction_candidate(connection) is None
        table.add(connection)
    assert list(table) == [*spread, *most]
    assert table.eviction_candidate(make("10.9.9.8")) is most[0]
    table.remove(most[0])
    assert table.eviction_candidate(make("10.9.9.8")) is None
    table.add(make("10.9.9.8"))
    assert len(table) == MOST
    table.clear()
    assert not table
    assert table.eviction_candidate(make("10.9.9.8")) is None
