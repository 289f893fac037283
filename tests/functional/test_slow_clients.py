"""Clients that drip, say nothing or do not read: they cost no thread and delay nobody."""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType

import pytest

from tests.support.coded import coded
from tests.support.condition import Condition
from tests.support.crowd import Crowd
from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.pipe_camera import PipeCamera
from tests.support.processes import allow_many_files, sockets, threads
from tests.support.raw import only_answer, read_answer, read_to_end
from tests.support.systemd import environment_of_the_unit

DRIPPING, SILENT, VIEWERS, FRAMES = 500, 500, 50, 30
SOURCES = [f"127.0.0.{number}" for number in range(2, 7)]
"""No more than 256 are let wait from one address."""
MAX_REQUESTS = 4
HEAD = b"GET /status HTTP/1.1\r\nHost: localhost\r\nX-Padding: " + b"x" * 4000


class Dawdlers:
    """Connections from several addresses, driven in the test's own thread by :meth:`turn`.

    The first ``dripping`` of them send a byte of a request a turn, the rest nothing at all.
    ``told`` is what each was told before the daemon closed its connection.
    """

    def __init__(self, daemon: Daemon, dripping: int, silent: int) -> None:
        self.told: dict[socket.socket, bytes] = {}
        self.sockets: list[socket.socket] = []
        self.sent = 1
        self._selector = selectors.DefaultSelector()
        self._heard: dict[socket.socket, bytearray] = {}
        for number in range(dripping + silent):
            sock = daemon.connect(source=SOURCES[number % len(SOURCES)])
            if number < dripping:
                sock.send(HEAD[:1])
            sock.setblocking(False)
            self.sockets.append(sock)
            self._heard[sock] = bytearray()
            self._selector.register(sock, selectors.EVENT_READ)
        self.dripping = self.sockets[:dripping]

    @property
    def open(self) -> int:
        """How many connections the daemon has not closed yet."""
        return len(self._heard)

    def turn(self) -> None:
        """Hear what the daemon says, then let all who drip send their next byte."""
        for key, _ in self._selector.select(0):
            assert isinstance(key.fileobj, socket.socket)
            self._hear(key.fileobj)
        for sock in self.dripping:
            # Who has been told something sends no more, so that no reset swallows it.
            if sock in self._heard and not self._heard[sock]:
                sock.send(HEAD[self.sent : self.sent + 1])
        self.sent += 1

    def wait_until_all_are_shown_out(self) -> None:
        """Go on dripping until the daemon has closed every connection."""
        give_up_at = time.monotonic() + GUARD
        while self.open:
            assert time.monotonic() < give_up_at, f"{self.open} are still connected"
            self.turn()

    def _hear(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(4096)
        except ConnectionResetError:
            data = b""
        self._heard[sock] += data
        if not data:
            self._selector.unregister(sock)
            self.told[sock] = bytes(self._heard.pop(sock))

    def __enter__(self) -> Dawdlers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._selector.close()
        for sock in self.sockets:
            sock.close()


@pytest.fixture(autouse=True)
def _many_files() -> None:
    allow_many_files()


@pytest.fixture
def door(daemon: Daemon, pipe_camera: PipeCamera) -> Iterator[Daemon]:
    """Return a daemon with few threads, that waits for ever, and has picture 0 on the air.

    At the end it must hold no more than before, but for the threads it may have for requests.
    """
    settings = {
        "camera.source": pipe_camera.source,
        "camera.stall_timeout": 3600,
        "server.max_requests": MAX_REQUESTS,
        "server.header_timeout": 3600,
        "server.stall_timeout": 3600,
    }
    daemon.start(settings, environ=environment_of_the_unit())
    pipe_camera.show(coded(0))
    daemon.wait_for_state("streaming")
    before = Condition.of(daemon.pid)
    yield daemon
    before._replace(threads=before.threads + MAX_REQUESTS).wait_until_back()


def test_a_thousand_who_dawdle_are_not_noticed(door: Daemon, pipe_camera: PipeCamera) -> None:
    before = threads(door.pid)
    with Crowd(door) as crowd, Dawdlers(door, DRIPPING, SILENT) as dawdlers:
        dawdlers.turn()
        for _ in range(VIEWERS // 10):  # More of them at once would push somebody out.
            crowd.join(10)
            crowd.wait_for_parts(1)
        for number in range(1, FRAMES + 1):
            dawdlers.turn()
            pipe_camera.show(coded(number, 20))
            crowd.wait_for_parts(number + 1)
            for path in ("/", "/snapshot.jpg"):
                assert door.request(path)[0].status == 200
            assert threads(door.pid) <= before + MAX_REQUESTS
        assert dawdlers.open == DRIPPING + SILENT, "none was sent away to make that possible"
        shown = [coded(0), *(coded(number, 20) for number in range(1, FRAMES + 1))]
        assert all(watcher.bodies == shown for watcher in crowd.watchers)
        door.wait_for_counts(*[("", FRAMES + 1, 0)] * VIEWERS)
        # It listens to each of them still: whoever makes up its mind is answered.
        for sock in (*dawdlers.dripping[::50], *dawdlers.sockets[-300::50]):
            sent = dawdlers.sent if sock in dawdlers.dripping else 0
            sock.setblocking(True)
            sock.sendall(HEAD[sent:] + b"\r\n\r\n")
            assert read_answer(sock).status == 200


def test_all_who_dawdle_are_shown_out_after_the_timeout(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start(
        {
            "camera.source": pipe_camera.source,
            "camera.stall_timeout": 3600,
            "server.header_timeout": 1,
            "server.max_requests": MAX_REQUESTS,
        }
    )
    before, running = sockets(daemon.pid), threads(daemon.pid)
    with Dawdlers(daemon, DRIPPING, SILENT) as dawdlers:
        dawdlers.wait_until_all_are_shown_out()
        assert threads(daemon.pid) <= running
        for sock, told in dawdlers.told.items():
            if sock in dawdlers.dripping:
                assert only_answer(told).status == 408
            else:
                assert told == b"", "who has asked for nothing is told nothing"
        eventually(lambda: sockets(daemon.pid) == before, "every socket given back")
    assert daemon.request("/")[0].status == 200


def test_flood_from_one_address_pushes_out_only_itself(door: Daemon) -> None:
    with door.connect(source="127.0.0.9") as early, ExitStack() as stack:
        early.sendall(b"GET /healthz HT")
        flood = [stack.enter_context(door.connect(source="127.0.0.8")) for _ in range(300)]
        for sock in flood[: 300 - 256]:
            assert read_to_end(sock) == b""
        for sock in flood[300 - 256 :: 16]:
            sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert read_answer(sock).status == 200
        # Even at its own address who asks in one go is served.
        with door.connect(source="127.0.0.8") as late:
            late.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert read_answer(late).status == 200
        early.sendall(b"TP/1.1\r\n\r\n")
        assert read_answer(early).status == 200


def test_flood_from_many_addresses_leaves_room_for_who_asks(door: Daemon) -> None:
    with door.connect(source="127.0.0.9") as early, ExitStack() as stack:
        early.sendall(b"GET /healthz HT")
        for number in range(1200):
            source = SOURCES[number % len(SOURCES)]
            stack.enter_context(door.connect(source=source))
        assert door.request("/")[0].status == 200
        assert len(sockets(door.pid)) < 1100
        early.sendall(b"TP/1.1\r\n\r\n")
        assert read_answer(early).status == 200


def test_kept_connections_cost_no_thread_and_stay_useful(door: Daemon) -> None:
    before = threads(door.pid)
    with ExitStack() as stack:
        idle = [stack.enter_context(door.connect()) for _ in range(200)]
        for _ in range(2):
            for sock in idle:
                sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert [read_answer(sock).body for sock in idle] == [b"ok\n"] * 200
            assert door.request("/")[0].status == 200
        assert threads(door.pid) <= before + MAX_REQUESTS


def test_kept_connection_that_idles_is_closed_without_a_word(daemon: Daemon) -> None:
    daemon.start({"server.header_timeout": 2})
    before = sockets(daemon.pid)
    with ExitStack() as stack:
        idle = []
        for _ in range(50):
            sock = stack.enter_context(daemon.connect())
            sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            read_answer(sock)
            idle.append(sock)
        assert [read_to_end(sock) for sock in idle] == [b""] * 50
        eventually(lambda: sockets(daemon.pid) == before, "every socket given back")


def ask_for_much(daemon: Daemon, stack: ExitStack, count: int) -> list[socket.socket]:
    """Let ``count`` ask for the snapshot, whose answer goes into no buffer, and not read it."""
    found = []
    for _ in range(count):
        sock = stack.enter_context(daemon.connect(buffer=4096))
        sock.sendall(b"GET /snapshot.jpg HTTP/1.1\r\n\r\n")
        found.append(sock)
    for sock in found:
        assert sock.recv(1, socket.MSG_PEEK), "the answer has begun"
    return found


def test_who_does_not_read_its_answer_holds_no_thread(
    door: Daemon, pipe_camera: PipeCamera
) -> None:
    big = coded(1, 6000)
    pipe_camera.show(big)
    eventually(lambda: door.request("/snapshot.jpg")[1] == big, "the big picture")
    before = threads(door.pid)
    with ExitStack() as stack:
        clients = ask_for_much(door, stack, 2 * MAX_REQUESTS)
        for path in ("/", "/status", "/healthz"):
            assert door.request(path)[0].status == 200
        assert threads(door.pid) <= before + MAX_REQUESTS
        # Each gets all of it when it wants it, and can ask again on the same connection.
        for sock in clients[::2]:
            assert read_answer(sock).body == big
            sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert read_answer(sock).body == b"ok\n"


def test_who_never_reads_its_answer_is_dropped(daemon: Daemon, pipe_camera: PipeCamera) -> None:
    settings = {"camera.stall_timeout": 3600, "server.stall_timeout": 0.5}
    daemon.start({"camera.source": pipe_camera.source, **settings})
    before = sockets(daemon.pid)
    big = coded(1, 6000)
    pipe_camera.show(big)
    daemon.wait_for_state("streaming")
    with ExitStack() as stack:
        clients = ask_for_much(daemon, stack, 40)
        eventually(lambda: sockets(daemon.pid) == before, "every socket given back")
        assert all(len(read_until_it_breaks(sock)) < len(big) for sock in clients)


def read_until_it_breaks(sock: socket.socket) -> bytes:
    found = bytearray()
    try:
        while data := sock.recv(1 << 16):
            found += data
    except ConnectionResetError:
        pass
    return bytes(found)


def test_pipelined_requests_are_answered_in_their_order(door: Daemon) -> None:
    paths = ["/healthz", "/nothing", "/status", "/icon.svg"] * 25
    with door.connect() as sock:
        sock.sendall(b"".join(f"GET {path} HTTP/1.1\r\n\r\n".encode() for path in paths))
        sock.shutdown(socket.SHUT_WR)
        data = read_to_end(sock)
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", data)]
    assert statuses == [404 if path == "/nothing" else 200 for path in paths]


def test_who_pipelines_and_does_not_read_waits_for_itself_alone(
    door: Daemon, pipe_camera: PipeCamera
) -> None:
    big = coded(1, 6000)
    pipe_camera.show(big)
    eventually(lambda: door.request("/snapshot.jpg")[1] == big, "the big picture")
    with ExitStack() as stack:
        clients = [stack.enter_context(door.connect(buffer=4096)) for _ in range(2 * MAX_REQUESTS)]
        for sock in clients:
            sock.sendall(b"GET /snapshot.jpg HTTP/1.1\r\n\r\n" * 100)
            assert sock.recv(1, socket.MSG_PEEK), "the first answer has begun"
        assert door.request("/")[0].status == 200
        with clients[0].makefile("rb") as file:
            for _ in range(5):
                assert file.readline() == b"HTTP/1.1 200 OK\r\n"
                while file.readline() != b"\r\n":
                    pass
                assert file.read(len(big)) == big


def test_stream_may_follow_in_the_pipeline_and_nothing_after_it(
    door: Daemon, pipe_camera: PipeCamera
) -> None:
    with door.connect() as sock:
        sock.sendall(
            b"GET /healthz HTTP/1.1\r\n\r\nGET /video_feed HTTP/1.1\r\n\r\n"
            b"GET /healthz HTTP/1.1\r\n\r\n"
        )
        # One reader for all, since what follows may come together with the first answer.
        with sock.makefile("rb") as file:
            head = b"".join(iter(file.readline, b"\r\n"))
            assert b"Content-Length: 3\r\n" in head
            assert file.read(3) == b"ok\n"
            head = b"".join(iter(file.readline, b"\r\n"))
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            for number in range(3):
                if number:
                    pipe_camera.show(coded(number))
                assert file.readline() == b"--frame\r\n"
                part = b"".join(iter(file.readline, b"\r\n"))
                assert b"Content-Length: %d\r\n" % len(coded(number)) in part
                assert file.read(len(coded(number)) + 2) == coded(number) + b"\r\n"
