"""The accept loop: which connections it waits for, for how long, and how much work they are."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from queue import SimpleQueue

import pytest

from doorbelld.server import accept, connections
from doorbelld.server.accept import AcceptLoop
from doorbelld.server.connection import Connection
from doorbelld.server.framing import Head
from doorbelld.server.limits import Limits
from doorbelld.server.request import Request, RequestError
from doorbelld.server.response import Response
from tests.support.daemon import GUARD, eventually
from tests.support.raw import read_to_end

TIMEOUT = 1.0
REQUEST = b"GET / HTTP/1.1\r\n\r\n"
TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\ntoo late"


class FakeApp:
    """What the loop asks of an app; it reads all bodies."""

    tls = None

    def __call__(self, request: Request) -> Response:
        raise NotImplementedError

    def refuse(self, error: RequestError, peer: str, *, secure: bool) -> Response:
        raise NotImplementedError

    def reject(self, status: int) -> Response:
        return Response(status, {}, b"too late")

    def may_send_body(self, head: Head, peer: str) -> bool:
        assert head.body_size
        assert peer == "127.0.0.1"
        return True


class Door:
    """An accept loop whose answers have ``size`` bytes, and which can be held up for a while."""

    def __init__(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.size = 10
        self.address = listener.getsockname()
        self.go_on = threading.Event()
        self._held = threading.Event()
        self._answered = threading.Event()
        limits = Limits(1, TIMEOUT, TIMEOUT)
        self.loop = AcceptLoop([listener], FakeApp(), self._serve, self._write_on, limits)

    def connect(self, request: bytes) -> socket.socket:
        client = socket.create_connection(self.address, GUARD)
        client.sendall(request)
        return client

    def ask(self) -> socket.socket:
        """Send a request, and wait until it is answered."""
        self._answered.clear()
        client = self.connect(REQUEST)
        assert self._answered.wait(GUARD)
        return client

    def hold(self) -> None:
        """Stop the loop until ``go_on`` is set; all connections before were handled."""
        self.connect(b"HOLD / HTTP/1.1\r\n\r\n").close()
        assert self._held.wait(GUARD)

    def _serve(self, connection: Connection, head: Head, body: bytes) -> None:
        assert len(body) == head.body_size
        if head.line.startswith("HOLD"):
            self._held.set()
            self.go_on.wait(GUARD)
            connection.close()
        else:
            connection.answer(bytes(self.size), keep=False)
            connection.write()
            self.loop.give_back(connection)
            self._answered.set()

    def _write_on(self, connection: Connection) -> None:
        raise NotImplementedError("there are no files")


@pytest.fixture
def door() -> Iterator[Door]:
    found = Door()
    found.loop.start()
    yield found
    found.go_on.set()
    assert found.loop.stop(GUARD)


def test_connection_evicted_for_a_late_one_may_be_late_too(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.size = 9_000_000  # more than the kernel takes
    monkeypatch.setattr(connections, "_MOST_UNSENT", door.size)
    with door.connect(b"GET /") as late, door.ask():
        door.hold()
        until = time.monotonic() + TIMEOUT
        eventually(lambda: time.monotonic() > until, "both are too late")
        door.go_on.set()
        assert read_to_end(late) == TOO_LATE
        door.size = 10
        with door.connect(REQUEST) as another:
            assert read_to_end(another) == bytes(10)


def test_new_connection_is_not_taken_for_an_evicted_one_with_its_descriptor(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.loop.limits = Limits(1, GUARD, TIMEOUT)
    monkeypatch.setattr(connections, "_MOST_PER_ADDRESS", 2)
    with ExitStack() as stack:
        before = stack.enter_context(door.connect(b"GET /"))
        door.hold()
        for _ in range(2):
            stack.enter_context(door.connect(b"GET /"))
        newest = stack.enter_context(door.connect(REQUEST[:5]))  # has the descriptor of the first
        before.close()
        door.go_on.set()
        stack.enter_context(door.ask())  # By now all were handled.
        newest.sendall(REQUEST[5:])
        assert read_to_end(newest) == bytes(10)


def test_complete_requests_are_answered_however_many_come_at_once(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_MOST_PER_ADDRESS", 64)
    with ExitStack() as stack:
        door.hold()
        clients = [stack.enter_context(door.connect(REQUEST)) for _ in range(120)]
        door.go_on.set()
        assert [read_to_end(client) for client in clients] == [bytes(10)] * len(clients)


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Return how often the head of a dripping client was searched for its end, and read."""
    found = {"head_size": 0, "read_head": 0}

    def count(name: str) -> None:
        original = getattr(accept, name)

        def counted(seen: bytes, *others: int) -> object:
            found[name] += seen.startswith(b"POST /drip")
            return original(seen, *others)

        monkeypatch.setattr(accept, name, counted)

    for name in found:
        count(name)
    return found


def drip(door: Door, sock: socket.socket, data: bytes) -> None:
    """Send it byte by byte, and let the loop handle each before the next."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for start in range(len(data)):
        sock.sendall(data[start : start + 1])
        with door.ask() as another:
            assert read_to_end(another) == bytes(10)


def test_dripping_head_is_not_read_for_every_byte(
    door: Door, searches: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "_EAGER_READS", 4)
    sweeps, sweep = [0], AcceptLoop._sweep

    def counted(loop: AcceptLoop, now: float) -> None:
        sweeps[0] += 1
        sweep(loop, now)

    monkeypatch.setattr(AcceptLoop, "_sweep", counted)
    door.loop.limits = Limits(1, GUARD, TIMEOUT)
    with door.connect(b"POST /drip HTTP/1.1\r\nA: ") as sock:
        drip(door, sock, b"b" * 30)
        assert 1 <= searches["head_size"] <= 4 + sweeps[0]
        sock.sendall(b"\r\n\r\n")
        assert read_to_end(sock) == bytes(10)


def test_head_is_read_once_however_its_body_drips(door: Door, searches: dict[str, int]) -> None:
    door.loop.limits = Limits(1, GUARD, TIMEOUT)
    with door.connect(b"POST /drip HTTP/1.1\r\nContent-Length: 20\r\n\r\n") as sock:
        drip(door, sock, b"b" * 19)
        assert searches["read_head"] == 1
        sock.sendall(b"b")
        assert read_to_end(sock) == bytes(10)


@pytest.fixture
def served(door: Door) -> SimpleQueue[Connection]:
    """Return the connections whose requests have arrived; the test answers them."""
    found: SimpleQueue[Connection] = SimpleQueue()
    door.loop._serve = lambda connection, _head, _body: found.put(connection)
    return found


def test_sleeping_loop_is_not_woken_for_an_answered_connection(
    door: Door, served: SimpleQueue[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    wakeups = []
    with door.connect(REQUEST) as client, monkeypatch.context() as patch:
        patch.setattr(door.loop._wakeup, "set", lambda: wakeups.append(True))
        for _ in range(5):
            connection = served.get(timeout=GUARD)
            eventually(lambda: not door.loop._lock.locked(), "the loop asleep")
            connection.answer(b"", keep=True)
            door.loop.give_back(connection)
            client.sendall(REQUEST)
        assert served.get(timeout=GUARD) is connection
    assert len(wakeups) < 5, "it may have been awake now and then"
    connection.close()


def test_connection_is_given_back_to_a_busy_loop(
    door: Door, served: SimpleQueue[Connection]
) -> None:
    with door.connect(REQUEST) as client:
        connection = served.get(timeout=GUARD)
        connection.answer(b"", keep=True)
        with door.loop._lock:
            door.loop.give_back(connection)
        client.sendall(REQUEST)
        assert served.get(timeout=GUARD) is connection
        connection.close()


def test_connection_is_closed_that_is_given_back_after_the_end(
    door: Door, served: SimpleQueue[Connection]
) -> None:
    with door.connect(REQUEST) as client:
        connection = served.get(timeout=GUARD)
        connection.answer(b"", keep=True)
        assert door.loop.stop(GUARD)
        door.loop.give_back(connection)
        door.loop.close_returned()
        assert read_to_end(client) == b""


def test_loop_ends_if_a_handler_thread_finds_its_table_broken(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    thread = door.loop._thread

    def break_in_other_threads(_: Connection, __: float) -> None:
        assert threading.current_thread() is thread, "broken"

    monkeypatch.setattr(door.loop, "_take_back", break_in_other_threads)
    left, right = socket.socketpair()

    def give_back() -> bool:  # Again if the loop was awake, and has taken it back itself.
        door.loop.give_back(Connection(left, "127.0.0.1"))
        return not door.loop.alive

    with left, right:
        eventually(give_back, "the loop ends, so the daemon ends and is started again")
    assert "cannot wait for this connection" in caplog.text
