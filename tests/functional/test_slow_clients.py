"""Clients that drip, say nothing or do not read: they cost no thread and delay nobody."""

from __future__ import annotations

import re
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support import processes
from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.pictures import big_jpeg, jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.raw import read_answer, read_to_end
from tests.support.stream import Stream

DRIPPING, SILENT, VIEWERS, FRAMES = 500, 300, 50, 60
HEAD = b"GET /status HTTP/1.1\r\nHost: door\r\nX-Padding: " + b"x" * 4000
THREADS = 4 + 8  # main, capture, broadcast, accept; and max_requests


@pytest.fixture
def door(daemon: Daemon, pipe_camera: PipeCamera) -> Daemon:
    daemon.start(
        {
            "camera.source": pipe_camera.source,
            "camera.stall_timeout": 3600,
            "server.max_requests": 8,
            "server.header_timeout": 5,
        }
    )
    pipe_camera.show(jpeg(0))
    daemon.wait_for_state("streaming")
    return daemon


class Crowd:
    """Connections from several addresses that send a byte at a time, or none at all."""

    def __init__(self, door: Daemon, stack: ExitStack) -> None:
        self._stop = threading.Event()
        self.sockets = [
            stack.enter_context(self._connect(door, n)) for n in range(DRIPPING + SILENT)
        ]
        self._thread = threading.Thread(target=self._drip)
        self.dripped = 0

    @staticmethod
    def _connect(door: Daemon, number: int) -> socket.socket:
        # No more than the daemon lets wait from one address.
        source = (f"127.0.0.{2 + number // 200}", 0)
        return socket.create_connection(("127.0.0.1", door.port), GUARD, source)

    def _drip(self) -> None:
        for byte in HEAD:
            for sock in self.sockets[:DRIPPING]:
                if self._stop.is_set():
                    return
                try:
                    sock.send(bytes([byte]))
                    self.dripped += 1
                except OSError:  # It was told that it takes too long.
                    continue

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_eight_hundred_who_dawdle_are_not_noticed(door: Daemon, pipe_camera: PipeCamera) -> None:
    before = len(processes.sockets(door.pid))
    with ExitStack() as stack:
        streams = [stack.enter_context(Stream(door)) for _ in range(VIEWERS)]
        for stream in streams:
            assert stream.part().body == jpeg(0)
        crowd = stack.enter_context(Crowd(door, stack))
        eventually(lambda: crowd.dripped > 2 * DRIPPING, "all of them have begun")
        for number in range(1, FRAMES + 1):
            pipe_camera.show(jpeg(number))
            assert {stream.part().body for stream in streams} == {jpeg(number)}
            if number % 10 == 0:
                assert door.request("/")[0].status == 200
                assert processes.threads(door.pid) <= THREADS
        assert [row["dropped"] for row in door.status()["viewers"]] == [0] * VIEWERS
        eventually(
            lambda: len(processes.sockets(door.pid)) <= before + VIEWERS, "all were shown out"
        )
        assert door.wait_for_viewers(VIEWERS)
    door.wait_for_viewers(0)
    eventually(lambda: len(processes.sockets(door.pid)) <= before, "no socket left")


def test_who_takes_too_long_is_told_and_who_says_nothing_is_not(daemon: Daemon) -> None:
    daemon.start({"server.header_timeout": 0.3})
    with daemon.connect() as dripping, daemon.connect() as silent:
        dripping.sendall(HEAD)
        assert read_answer(dripping).status == 408
        assert read_to_end(dripping) == b""
        assert read_to_end(silent) == b""


def test_kept_connection_is_closed_when_it_idles(daemon: Daemon) -> None:
    daemon.start({"server.header_timeout": 0.3})
    with daemon.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: door\r\n\r\n")
        assert read_answer(sock).status == 200
        assert read_to_end(sock) == b""


@pytest.fixture
def readers_who_do_not(door: Daemon, pipe_camera: PipeCamera) -> Iterator[list[socket.socket]]:
    """Twenty clients whose small buffers are full long before they have their snapshot."""
    pipe_camera.show(big_jpeg(3000))
    eventually(lambda: len(door.request("/snapshot.jpg")[1]) > 1e6, "a large picture")
    with ExitStack() as stack:
        clients = []
        for _ in range(20):
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", door.port))
            sock.settimeout(GUARD)
            sock.sendall(b"GET /snapshot.jpg HTTP/1.1\r\nHost: door\r\n\r\n")
            clients.append(sock)
        yield clients


def test_who_does_not_read_an_answer_holds_no_thread(
    door: Daemon, readers_who_do_not: list[socket.socket]
) -> None:
    for sock in readers_who_do_not:
        assert select.select([sock], [], [], GUARD)[0], "the answer has begun"
    assert door.request("/")[0].status == 200
    # They are more than there are threads, and each gets all of it when it wants it.
    bodies = {read_answer(sock).body for sock in readers_who_do_not}
    assert len(bodies) == 1


def test_pipelined_requests_are_answered_in_their_order(door: Daemon) -> None:
    paths = ["/healthz", "/nothing", "/status", "/icon.svg"] * 5
    with door.connect() as sock:
        sock.sendall(b"".join(f"GET {path} HTTP/1.1\r\nHost: d\r\n\r\n".encode() for path in paths))
        sock.shutdown(socket.SHUT_WR)
        data = read_to_end(sock)
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", data)]
    assert len(statuses) == len(paths)
    assert statuses == [404 if path == "/nothing" else 200 for path in paths]
