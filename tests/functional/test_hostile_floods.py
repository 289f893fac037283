"""Floods of hostile clients: viewers lose nothing, and nothing is left over."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import cycle, islice

import pytest

from tests.support.condition import Condition
from tests.support.daemon import Daemon, eventually
from tests.support.numbered_pictures import numbered
from tests.support.pipe_camera import PipeCamera
from tests.support.processes import allow_many_files, resident
from tests.support.raw import read_answer
from tests.support.service_manager import environment_of_the_unit
from tests.support.viewer_group import lossless_viewers

VIEWERS, DEAF, PICTURES = 50, 200, 60
VANISHING, AT_ONCE = 20_000, 100
MAX_REQUESTS = 4
SOURCES = [f"127.0.0.{number}" for number in range(2, 22)]
"""Many, because a used port cannot be used again for a minute."""

STREAM = b"GET /video_feed HTTP/1.1\r\nHost: localhost\r\n\r\n"
SNAPSHOT = b"GET /snapshot.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n"
RESET = b"\1\0\0\0\0\0\0\0"


@pytest.fixture(autouse=True)
def _many_files() -> None:
    allow_many_files()


@pytest.fixture
def door(daemon: Daemon, pipe_camera: PipeCamera) -> Iterator[Daemon]:
    """Return a daemon that shows picture 0, and must hold no more at the end than before."""
    settings = {
        "camera.source": pipe_camera.source,
        "camera.stall_timeout": 3600,
        "server.max_requests": MAX_REQUESTS,
        "server.max_viewers": VIEWERS + DEAF,
        "server.header_timeout": 3600,
        "server.stall_timeout": 3600,
    }
    daemon.start(settings, environ=environment_of_the_unit())
    pipe_camera.show(numbered(0))
    daemon.wait_for_state("streaming")
    with lossless_viewers(daemon, pipe_camera, VIEWERS):
        daemon.wait_for_viewers(VIEWERS)
    daemon.wait_for_viewers(0)
    before = Condition.of(daemon.pid)
    yield daemon
    daemon.wait_for_viewers(0)
    # Threads for requests stay, once they were needed.
    before._replace(threads=before.threads + MAX_REQUESTS).wait_until_back()


def vanish(sock: socket.socket) -> None:
    """Leave with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


def test_two_hundred_viewers_that_stop_reading(door: Daemon, pipe_camera: PipeCamera) -> None:
    with lossless_viewers(door, pipe_camera, VIEWERS) as viewers, ExitStack() as stack:
        deaf = [stack.enter_context(door.connect(buffer=4096)) for _ in range(DEAF)]
        for sock in deaf:
            sock.sendall(STREAM)
        door.wait_for_viewers(VIEWERS + DEAF)
        for _ in range(PICTURES):
            viewers.show_next(kilobytes=20)
        viewers.check_nothing_lost()
        rows = [row for row in door.status()["viewers"] if not row["key"]]
        assert len(rows) == DEAF
        assert all(row["dropped"] > PICTURES // 2 for row in rows)
        for sock in deaf[::2]:
            vanish(sock)
        viewers.show_next(kilobytes=20)


def test_viewers_that_stop_reading_are_dropped(daemon: Daemon, pipe_camera: PipeCamera) -> None:
    daemon.start(
        {
            "camera.source": pipe_camera.source,
            "camera.stall_timeout": 3600,
            "server.max_viewers": VIEWERS + DEAF,
            "server.max_requests": 1,
            "server.stall_timeout": 1,
        }
    )
    pipe_camera.show(numbered(0))
    daemon.wait_for_state("streaming")
    with lossless_viewers(daemon, pipe_camera, VIEWERS) as viewers:
        before = Condition.of(daemon.pid)
        with ExitStack() as stack:
            for _ in range(DEAF):
                stack.enter_context(daemon.connect(buffer=4096)).sendall(STREAM)
            daemon.wait_for_viewers(VIEWERS + DEAF)

            def only_the_lossless_are_left() -> bool:
                viewers.show_next(kilobytes=20)
                return bool(daemon.status()["watching"] == VIEWERS)

            eventually(only_the_lossless_are_left, "the viewers that do not read are closed")
            # Although none of them has closed its side.
            before.wait_until_back()


def leave_at_once(sock: socket.socket) -> None:
    sock.close()


def leave_in_the_head(sock: socket.socket) -> None:
    sock.sendall(STREAM[:-20])
    sock.close()


def vanish_in_the_head(sock: socket.socket) -> None:
    sock.sendall(STREAM[:-20])
    vanish(sock)


def leave_the_stream(sock: socket.socket) -> None:
    sock.sendall(STREAM)
    sock.close()


def vanish_from_the_stream(sock: socket.socket) -> None:
    sock.sendall(STREAM)
    vanish(sock)


def vanish_from_the_snapshot(sock: socket.socket) -> None:
    sock.sendall(SNAPSHOT)
    vanish(sock)


def ask_and_say_no_more(sock: socket.socket) -> None:
    sock.sendall(SNAPSHOT + STREAM)
    sock.shutdown(socket.SHUT_WR)
    vanish(sock)


WAYS: list[Callable[[socket.socket], None]] = [
    leave_at_once,
    vanish,
    leave_in_the_head,
    vanish_in_the_head,
    leave_the_stream,
    vanish_from_the_stream,
    vanish_from_the_snapshot,
    ask_and_say_no_more,
]


def test_twenty_thousand_that_connect_and_vanish(door: Daemon, pipe_camera: PipeCamera) -> None:
    with lossless_viewers(door, pipe_camera, VIEWERS) as viewers:
        ways = islice(zip(cycle(WAYS), cycle(SOURCES)), VANISHING)
        for number, (leave, source) in enumerate(ways):
            leave(door.connect(source=source))
            if number % AT_ONCE == 0:
                viewers.show_next(kilobytes=20)
        door.wait_for_viewers(VIEWERS)
        viewers.show_next(kilobytes=20)
    assert door.log().count(": watching (") > VANISHING // 100, "some were let in"


def test_answers_that_are_not_read_never_fill_the_memory(
    door: Daemon, pipe_camera: PipeCamera
) -> None:
    big, most = numbered(1, 6000), 64 << 20
    pipe_camera.show(big)
    eventually(lambda: door.request("/snapshot.jpg")[1] == big, "the big picture")
    before = resident(door.pid)
    with ExitStack() as stack:

        def ask(source: str) -> socket.socket:
            sock = stack.enter_context(door.connect(source=source, buffer=4096))
            sock.sendall(SNAPSHOT)
            assert sock.recv(1, socket.MSG_PEEK), "the answer has begun"
            return sock

        early = ask("127.0.0.100")
        for _ in range(40):
            ask("127.0.0.101")
        assert resident(door.pid) < before + most + (16 << 20)
        # It only affects itself: an earlier client gets its whole answer.
        late = ask("127.0.0.100")
        assert read_answer(early).body == read_answer(late).body == big
