"""Clients that vanish without closing, like a phone out of reach: no packet ever comes back."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.support.condition import Condition
from tests.support.daemon import Daemon, eventually
from tests.support.numbered_pictures import numbered
from tests.support.pipe_camera import PipeCamera
from tests.support.processes import allow_many_files, descriptors
from tests.support.raw import read_answer
from tests.support.service_manager import environment_of_the_unit
from tests.support.viewer_group import lossless_viewers

VIEWERS, GONE, HANDSHAKES = 50, 25, 1000
MAX_REQUESTS = 4
SOURCE = "127.0.0.2"
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

_SO_ATTACH_FILTER = 26
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF: return 0 bytes of the packet

_SYN_SENT = b"\2"


def lose(sock: socket.socket) -> None:
    """Drop every packet for a socket, so that its kernel acknowledges nothing."""
    program = ctypes.create_string_buffer(_DROP_ALL)
    filter_ = struct.pack("HL", 1, ctypes.addressof(program))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)


@pytest.fixture
def door(daemon: Daemon, pipe_camera: PipeCamera) -> Iterator[Daemon]:
    """Return a daemon with timeouts of a second that shows picture 0."""
    allow_many_files()
    settings = {
        "camera.source": pipe_camera.source,
        "camera.stall_timeout": 3600,
        "server.max_requests": MAX_REQUESTS,
        "server.max_viewers": VIEWERS + GONE,
        "server.header_timeout": 3,
        "server.stall_timeout": 1,
    }
    daemon.start(settings, environ=environment_of_the_unit())
    pipe_camera.show(numbered(0))
    daemon.wait_for_state("streaming")
    yield daemon
    daemon.wait_for_viewers(0)


WAYS = {
    "in the head": HEALTHZ[:-2],
    "before asking": b"",
    "after a request": HEALTHZ,
    "after a last request": HEALTHZ[:-2] + b"Connection: close\r\n\r\n",
    "after a bad request": b"nonsense\r\n\r\n",
    "in a body": b"POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\na",
    "in the answer": HEALTHZ.replace(b"/healthz", b"/snapshot.jpg") * 20,
    "in the stream": HEALTHZ.replace(b"/healthz", b"/video_feed"),
}


def test_clients_that_vanished_are_forgotten(door: Daemon, pipe_camera: PipeCamera) -> None:
    with lossless_viewers(door, pipe_camera, VIEWERS) as viewers, ExitStack() as stack:
        viewers.show_next(kilobytes=20)
        before = Condition.of(door.pid)
        for sent in [*WAYS.values()] * GONE:
            sock = stack.enter_context(door.connect(source=SOURCE, buffer=4096))
            sock.sendall(sent)
            lose(sock)
        # A client that comes after them is accepted after them.
        assert door.request("/")[0].status == 200

        def all_are_forgotten() -> bool:
            viewers.show_next(kilobytes=20)
            return len(descriptors(door.pid)) <= before.descriptors

        eventually(all_are_forgotten, "the sockets given back, though no client let go")
        # Threads for requests stay, once they were needed.
        before._replace(threads=before.threads + MAX_REQUESTS).wait_until_back()


def test_handshakes_that_are_never_ended(door: Daemon, pipe_camera: PipeCamera) -> None:
    """These wait in the kernel, and do not keep others from connecting."""
    with lossless_viewers(door, pipe_camera, VIEWERS) as viewers, ExitStack() as stack:
        before = Condition.of(door.pid)
        for _ in range(HANDSHAKES):
            sock = stack.enter_context(socket.socket())
            lose(sock)
            sock.setblocking(False)
            with suppress(BlockingIOError):
                sock.connect(("127.0.0.1", door.port))
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == _SYN_SENT
        for _ in range(20):
            viewers.show_next(kilobytes=20)
            assert door.request("/")[0].status == 200
        before._replace(threads=before.threads + MAX_REQUESTS).wait_until_back()


def test_half_closed_connections_are_answered_and_closed(door: Daemon) -> None:
    before = Condition.of(door.pid)
    with ExitStack() as stack:
        clients = [stack.enter_context(door.connect()) for _ in range(GONE)]
        for sock in clients:
            sock.sendall(HEALTHZ)
            sock.shutdown(socket.SHUT_WR)
        for sock in clients:
            assert read_answer(sock).status == 200
            assert sock.recv(1) == b""
        before._replace(threads=before.threads + MAX_REQUESTS).wait_until_back()


def test_urgent_bytes_are_no_trouble(door: Daemon, pipe_camera: PipeCamera) -> None:
    """The kernel leaves them out of what is read, and a read stops there."""
    with lossless_viewers(door, pipe_camera, VIEWERS) as viewers, ExitStack() as stack:
        before = Condition.of(door.pid)
        clients = [stack.enter_context(door.connect(source=SOURCE)) for _ in HEALTHZ]
        for number, sock in enumerate(clients):
            sock.sendall(HEALTHZ[:number])
            sock.send(b"!", socket.MSG_OOB)
            sock.sendall(HEALTHZ[number:])
        viewers.show_next(kilobytes=20)
        statuses = [read_answer(sock).status for sock in clients]
        assert statuses == [200] + [408] * (len(clients) - 1)
        before._replace(threads=before.threads + MAX_REQUESTS).wait_until_back()
