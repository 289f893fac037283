"""Clients that drip, send nothing or do not read: they cost no thread and delay no other."""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType

import pytest

from tests.support.condition import Condition
from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.numbered_pictures import numbered
from tests.support.pipe_camera import PipeCamera
from tests.support.processes import allow_many_files, sockets, threads
from tests.support.raw import only_answer, read_answer, read_to_end
from tests.support.service_manager import environment_of_the_unit
from tests.support.stream_parser import StreamParser
from tests.support.viewer_group import ViewerGroup

DRIPPING, SILENT, VIEWERS, FRAMES = 500, 500, 50, 30
SOURCES = [f"127.0.0.{number}" for number in range(2, 7)]
"""No more than 256 connections may wait from one address."""
MAX_REQUESTS = 4
HEAD = b"GET /status HTTP/1.1\r\nHost: localhost\r\nX-Padding: " + b"x" * 4000


class SlowClients:
    """Connections from several addresses, driven in the test's own thread by :meth:`turn`.

    The first ``dripping`` of them send a byte of a request a turn, the rest nothing at all.
    ``answers`` has what each one got before the daemon closed its connection.
    """

    def __init__(self, daemon: Daemon, dripping: int, silent: int) -> None:
        self.answers: dict[socket.socket, bytes] = {}
        self.sockets: list[socket.socket] = []
        self.sent = 1
        self._selector = selectors.DefaultSelector()
        self._received: dict[socket.socket, bytearray] = {}
        for number in range(dripping + silent):
            sock = daemon.connect(source=SOURCES[number % len(SOURCES)])
            if number < dripping:
                sock.send(HEAD[:1])
            sock.setblocking(False)
            self.sockets.append(sock)
            self._received[sock] = bytearray()
            self._selector.register(sock, selectors.EVENT_READ)
        self.dripping = self.sockets[:dripping]

    @property
    def open(self) -> int:
        """How many connections the daemon has not closed yet."""
        return len(self._received)

    def turn(self) -> None:
        """Read what the daemon sends, then let the dripping ones send their next byte."""
        for key, _ in self._selector.select(0):
            assert isinstance(key.fileobj, socket.socket)
            self._hear(key.fileobj)
        for sock in self.dripping:
            # A client that got an answer sends no more, so that no reset discards it.
            if sock in self._received and not self._received[sock]:
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
        self._received[sock] += data
        if not data:
            self._selector.unregister(sock)
            self.answers[sock] = bytes(self._received.pop(sock))

    def __enter__(self) -> SlowClients:
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
    """Return a daemon with few threads and endless timeouts that shows picture 0.

    At the end it must hold no more than before, except for threads for requests.
    """
    settings = {
        "camera.source": pipe_camera.source,
        "camera.stall_timeout": 3600,
        "server.max_requests": MAX_REQUESTS,
        "server.header_timeout": 3600,
        "server.stall_timeout": 3600,
    }
    daemon.start(settings, environ=environment_of_the_unit())
    pipe_camera.show(numbered(0))
    daemon.wait_for_state("streaming")
    before = Condition.of(daemon.pid)
    yield daemon
    before._replace(threads=before.threads + MAX_REQUESTS).wait_until_back()


def test_a_thousand_slow_clients_are_not_noticed(door: Daemon, pipe_camera: PipeCamera) -> None:
    before = threads(door.pid)
    with ViewerGroup(door) as group, SlowClients(door, DRIPPING, SILENT) as slow_clients:
        slow_clients.turn()
        for _ in range(VIEWERS // 10):  # More of them at once would push out other connections.
            group.join(10)
            group.wait_for_parts(1)
        for number in range(1, FRAMES + 1):
            slow_clients.turn()
            pipe_camera.show(numbered(number, 20))
            group.wait_for_parts(number + 1)
            for path in ("/", "/snapshot.jpg"):
                assert door.request(path)[0].status == 200
            assert threads(door.pid) <= before + MAX_REQUESTS
        assert slow_clients.open == DRIPPING + SILENT, "none was sent away to make that possible"
        shown = [numbered(0), *(numbered(number, 20) for number in range(1, FRAMES + 1))]
        assert all(viewer.bodies == shown for viewer in group.viewers)
        door.wait_for_counts(*[("", FRAMES + 1, 0)] * VIEWERS)
        # It still reads each of them: a request that is completed is answered.
        for sock in (*slow_clients.dripping[::50], *slow_clients.sockets[-300::50]):
            sent = slow_clients.sent if sock in slow_clients.dripping else 0
            sock.setblocking(True)
            sock.sendall(HEAD[sent:] + b"\r\n\r\n")
            assert read_answer(sock).status == 200


def test_slow_clients_are_closed_after_the_timeout(daemon: Daemon, pipe_camera: PipeCamera) -> None:
    daemon.start(
        {
            "camera.source": pipe_camera.source,
            "camera.stall_timeout": 3600,
            "server.header_timeout": 1,
            "server.max_requests": MAX_REQUESTS,
        }
    )
    before, running = sockets(daemon.pid), threads(daemon.pid)
    with SlowClients(daemon, DRIPPING, SILENT) as slow_clients:
        slow_clients.wait_until_all_are_shown_out()
        assert threads(daemon.pid) <= running
        for sock, answer in slow_clients.answers.items():
            if sock in slow_clients.dripping:
                assert only_answer(answer).status == 408
            else:
                assert answer == b"", "no answer without a request"
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
        # Even from the same address a request that comes at once is answered.
        with door.connect(source="127.0.0.8") as late:
            late.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert read_answer(late).status == 200
        early.sendall(b"TP/1.1\r\n\r\n")
        assert read_answer(early).status == 200


def test_flood_from_many_addresses_leaves_room_for_real_requests(door: Daemon) -> None:
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
    """Let ``count`` clients request the snapshot, which fits in no buffer, and not read it."""
    found = []
    for _ in range(count):
        sock = stack.enter_context(daemon.connect(buffer=4096))
        sock.sendall(b"GET /snapshot.jpg HTTP/1.1\r\n\r\n")
        found.append(sock)
    for sock in found:
        assert sock.recv(1, socket.MSG_PEEK), "the answer has begun"
    return found


def test_client_that_does_not_read_its_answer_holds_no_thread(
    door: Daemon, pipe_camera: PipeCamera
) -> None:
    big = numbered(1, 6000)
    pipe_camera.show(big)
    eventually(lambda: door.request("/snapshot.jpg")[1] == big, "the big picture")
    before = threads(door.pid)
    with ExitStack() as stack:
        clients = ask_for_much(door, stack, 2 * MAX_REQUESTS)
        for path in ("/", "/status", "/healthz"):
            assert door.request(path)[0].status == 200
        assert threads(door.pid) <= before + MAX_REQUESTS
        # Each gets all of it when it reads, and can send another request on the same connection.
        for sock in clients[::2]:
            assert read_answer(sock).body == big
            sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert read_answer(sock).body == b"ok\n"


def test_client_that_never_reads_its_answer_is_dropped(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    settings = {"camera.stall_timeout": 3600, "server.stall_timeout": 0.5}
    daemon.start({"camera.source": pipe_camera.source, **settings})
    before = sockets(daemon.pid)
    big = numbered(1, 6000)
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


def test_client_that_pipelines_and_does_not_read_delays_only_itself(
    door: Daemon, pipe_camera: PipeCamera
) -> None:
    big = numbered(1, 6000)
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
        # One reader for all, because several answers may come together.
        with sock.makefile("rb") as file:
            head = b"".join(iter(file.readline, b"\r\n"))
            assert b"Content-Length: 3\r\n" in head
            assert file.read(3) == b"ok\n"
            head = b"".join(iter(file.readline, b"\r\n"))
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            parser = StreamParser()
            for number in range(3):
                if number:
                    pipe_camera.show(numbered(number))
                part = parser.read(file)
                assert part
                assert part.body == numbered(number)
