from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from doorbelld.server import accept
from doorbelld.server import connections as waiting
from doorbelld.server.accept import AcceptLoop
from doorbelld.server.connection import Connection
from tests.support.daemon import GUARD, eventually
from tests.support.raw import read_to_end

TIMEOUT = 1.0
TOO_LATE = b"too late"
REQUEST = b"GET / HTTP/1.1\r\n\r\n"


class Door:
    """An accept loop whose answers have ``size`` bytes, and which can be held up for a while."""

    def __init__(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.size = 10
        self.address = listener.getsockname()
        self.go_on = threading.Event()
        self._held = threading.Event()
        self._answered = threading.Event()
        self.loop = AcceptLoop(
            [listener],
            serve=self._serve,
            reject=lambda _status: TOO_LATE,
            hears=lambda *_: True,
            header_timeout=TIMEOUT,
            stall_timeout=TIMEOUT,
            tls=None,
        )

    def connect(self, request: bytes) -> socket.socket:
        client = socket.create_connection(self.address, GUARD)
        client.sendall(request)
        return client

    def ask(self) -> socket.socket:
        """Let somebody ask, and wait until there is an answer."""
        self._answered.clear()
        client = self.connect(REQUEST)
        assert self._answered.wait(GUARD)
        return client

    def hold(self) -> None:
        """Let nothing happen until told to go on; everybody before was looked at."""
        self.connect(b"HOLD / HTTP/1.1\r\n\r\n").close()
        assert self._held.wait(GUARD)

    def _serve(self, connection: Connection, request: bytes) -> None:
        if request.startswith(b"HOLD"):
            self._held.set()
            self.go_on.wait(GUARD)
            connection.close()
        else:
            connection.answer(bytes(self.size), keep=False)
            connection.write()
            self.loop.give_back(connection)
            self._answered.set()


@pytest.fixture
def door() -> Iterator[Door]:
    found = Door()
    found.loop.start()
    yield found
    found.go_on.set()
    assert found.loop.stop(GUARD)


def test_who_makes_room_for_the_last_word_to_another_may_be_too_late_as_well(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.size = 9_000_000  # more than the kernel takes
    monkeypatch.setattr(waiting, "_MOST_UNSENT", door.size)
    with door.connect(b"GET /") as late, door.ask():
        door.hold()
        until = time.monotonic() + TIMEOUT
        eventually(lambda: time.monotonic() > until, "both are too late")
        door.go_on.set()
        assert read_to_end(late) == TOO_LATE
        door.size = 10
        with door.connect(REQUEST) as another:
            assert read_to_end(another) == bytes(10)


def test_who_comes_is_not_taken_for_one_who_has_just_made_room(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.loop.header_timeout = GUARD
    monkeypatch.setattr(waiting, "_MOST_PER_ADDRESS", 2)
    with ExitStack() as stack:
        before = stack.enter_context(door.connect(b"GET /"))
        door.hold()
        for _ in range(2):
            stack.enter_context(door.connect(b"GET /"))
        newest = stack.enter_context(door.connect(REQUEST[:5]))  # has the number of the first
        before.close()
        door.go_on.set()
        stack.enter_context(door.ask())  # By now all were looked at.
        newest.sendall(REQUEST[5:])
        assert read_to_end(newest) == bytes(10)


def test_who_has_asked_is_answered_however_many_come_at_once(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_MOST_PER_ADDRESS", 64)
    with ExitStack() as stack:
        door.hold()
        clients = [stack.enter_context(door.connect(REQUEST)) for _ in range(120)]
        door.go_on.set()
        assert [read_to_end(client) for client in clients] == [bytes(10)] * len(clients)


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Return how often the head of a dripping client was searched, or its body's length read."""
    found = {"head_size": 0, "body_size": 0}

    def count(name: str) -> None:
        original = getattr(accept, name)

        def counted(seen: bytes, *others: int) -> int:
            found[name] += seen.startswith(b"POST /drip")
            return int(original(seen, *others))

        monkeypatch.setattr(accept, name, counted)

    for name in found:
        count(name)
    return found


def drip(door: Door, sock: socket.socket, data: bytes) -> None:
    """Send it byte by byte, and let the loop look at each before the next."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for start in range(len(data)):
        sock.sendall(data[start : start + 1])
        with door.ask() as another:
            assert read_to_end(another) == bytes(10)


def test_who_drips_its_head_is_not_looked_at_for_every_byte(
    door: Door, searches: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "_EAGER_LOOKS", 4)
    sweeps, sweep = [0], AcceptLoop._sweep

    def counted(loop: AcceptLoop, now: float) -> None:
        sweeps[0] += 1
        sweep(loop, now)

    monkeypatch.setattr(AcceptLoop, "_sweep", counted)
    door.loop.header_timeout = GUARD
    with door.connect(b"POST /drip HTTP/1.1\r\nA: ") as sock:
        drip(door, sock, b"b" * 30)
        assert 1 <= searches["head_size"] <= 4 + sweeps[0]
        sock.sendall(b"\r\n\r\n")
        assert read_to_end(sock) == bytes(10)


def test_head_is_read_once_however_its_body_drips(door: Door, searches: dict[str, int]) -> None:
    door.loop.header_timeout = GUARD
    with door.connect(b"POST /drip HTTP/1.1\r\nContent-Length: 20\r\n\r\n") as sock:
        drip(door, sock, b"b" * 19)
        assert searches["body_size"] == 1
        sock.sendall(b"b")
        assert read_to_end(sock) == bytes(10)
