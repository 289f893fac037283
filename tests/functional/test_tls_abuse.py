"""Clients that abuse TLS: they cost no thread, delay no other, and leave nothing behind."""

from __future__ import annotations

import os
import random
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.daemon import GUARD, eventually
from tests.support.faulty_system import FaultySystem
from tests.support.numbered_pictures import numbered
from tests.support.pipe_camera import PipeCamera
from tests.support.processes import allow_many_files, sockets, threads
from tests.support.raw import read_answer, read_to_end
from tests.support.secure import Pair, RawClient, SecureDaemon, make_pair
from tests.support.stream import Stream
from tests.support.viewer_group import ViewerGroup

MAX_REQUESTS = 4
VIEWERS, FRAMES = 20, 30
SOURCES = [f"127.0.0.{number}" for number in range(2, 7)]
"""No more than 256 connections may wait from one address."""
HEALTH = b"GET /healthz HTTP/1.1\r\n\r\n"
WATCH = b"GET /video_feed HTTP/1.1\r\n\r\n"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Return a certificate for all tests."""
    return make_pair(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(tmp_path: Path, pair: Pair) -> Iterator[SecureDaemon]:
    """Return a daemon with few threads that is not started yet."""
    allow_many_files()
    found = SecureDaemon(tmp_path, pair)
    with found:
        yield found


@pytest.fixture
def door(secure: SecureDaemon, pipe_camera: PipeCamera) -> Iterator[SecureDaemon]:
    """Return a daemon with endless timeouts that shows picture 0.

    At the end it must hold no more sockets, nor many more threads, than before.
    """
    settings = {
        "camera.source": pipe_camera.source,
        "camera.stall_timeout": 3600,
        "server.max_requests": MAX_REQUESTS,
        "server.header_timeout": 3600,
        "server.stall_timeout": 3600,
    }
    secure.start(settings)
    before, running = sockets(secure.pid), threads(secure.pid)
    pipe_camera.show(numbered(0))
    secure.wait_for_state("streaming")
    yield secure
    eventually(lambda: sockets(secure.pid) == before, "every socket given back")
    assert threads(secure.pid) <= running + MAX_REQUESTS


def hello(door: SecureDaemon) -> bytes:
    with RawClient(door) as client:
        return client.hello()


def ending(sock: socket.socket) -> bytes:
    """Return what comes until the connection ends, even by a reset."""
    try:
        return read_to_end(sock)
    except (ConnectionResetError, ssl.SSLEOFError):
        return b""


def test_hundreds_of_half_handshakes_are_not_noticed(
    door: SecureDaemon, pipe_camera: PipeCamera
) -> None:
    before = threads(door.pid)
    first = hello(door)
    with ViewerGroup(door) as group, ExitStack() as stack:
        slow_clients = [
            stack.enter_context(door.connect_plainly(source=SOURCES[number % len(SOURCES)]))
            for number in range(500)
        ]
        for number, sock in enumerate(slow_clients):
            # Some stop in the middle of their first message, some after it.
            sock.sendall(first[: len(first) // 2] if number % 2 else first)
        group.join(VIEWERS)
        group.wait_for_parts(1)
        for number in range(1, FRAMES + 1):
            pipe_camera.show(numbered(number, 20))
            for sock in slow_clients[number::FRAMES]:  # others come in between and need service
                sock.close()
                new = stack.enter_context(door.connect_plainly(source=SOURCES[0]))
                new.sendall(first)
            group.wait_for_parts(number + 1)
            assert door.request("/healthz")[1] == b"ok\n"
        assert threads(door.pid) <= before + MAX_REQUESTS
        shown = [numbered(0), *(numbered(number, 20) for number in range(1, FRAMES + 1))]
        assert all(viewer.bodies == shown for viewer in group.viewers)
        door.wait_for_counts(*[("", FRAMES + 1, 0)] * VIEWERS)


def test_half_handshakes_are_ended_after_the_timeout(secure: SecureDaemon) -> None:
    secure.start({"server.header_timeout": 2})
    before = sockets(secure.pid)
    first = hello(secure)
    with ExitStack() as stack:
        clients = [stack.enter_context(secure.connect_plainly()) for _ in range(60)]
        for number, sock in enumerate(clients):
            sock.sendall(first[: 1 + number * 10])
        for sock in clients:
            assert b"HTTP/" not in ending(sock), "no answer in plain text"
        eventually(lambda: sockets(secure.pid) == before, "every socket given back")
    assert secure.request("/")[0].status == 200


def test_handshake_that_drips_is_read_to_the_end(door: SecureDaemon) -> None:
    with RawClient(door) as client:
        client.shake_hands(1)
        client.send(client.encrypted(HEALTH), 1)
        assert client.receive(15) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16",
        b"\x16" * 5000,
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x40\x00" + bytes(1 << 14),
        b"\x16\x03\x01\xff\xff" + bytes(1 << 16),
        b"\x16\x03\x00\x00\x04\x01\x00\x00\x00",
        b"\x16\x02\x00\x00\x04\x01\x00\x00\x00",
        b"\x16GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n" + HEALTH,
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x17\x03\x03\x00\x20" + bytes(32),
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37),
    ],
    ids=lambda garbage: garbage[:6].hex(),
)
def test_garbage_for_a_handshake_ends_it(door: SecureDaemon, garbage: bytes) -> None:
    with door.connect_plainly() as sock:
        with suppress(OSError):  # The connection may have ended before.
            sock.sendall(garbage)
            sock.shutdown(socket.SHUT_WR)
        data = ending(sock)
    assert b"HTTP/1.1 200" not in data
    assert door.request("/healthz")[1] == b"ok\n"


def test_no_more_than_its_due_is_kept_of_a_handshake(door: SecureDaemon) -> None:
    """OpenSSL would wait for the 128 KiB that this client announces."""
    record = b"\x16\x03\x01\x40\x00"
    message = (b"\x01\x01\xff\xf0\x03\x03" + bytes(1 << 17))[: 3 << 14]
    with door.connect_plainly() as sock:
        with suppress(ConnectionError):
            for start in range(0, len(message), 1 << 14):
                sock.sendall(record + message[start : start + (1 << 14)])
        assert b"HTTP/" not in ending(sock)  # It does end.


def test_handshakes_with_a_byte_gone_wrong_end_somehow(door: SecureDaemon) -> None:
    chance = random.Random(1)  # noqa: S311  # the same again
    first = bytearray(hello(door))
    for _ in range(200):
        broken = bytearray(first)
        broken[chance.randrange(1, len(broken))] ^= 1 << chance.randrange(8)
        with door.connect_plainly() as sock:
            with suppress(OSError):
                sock.sendall(broken)
                sock.shutdown(socket.SHUT_WR)
            ending(sock)
    assert door.request("/healthz")[1] == b"ok\n"


@pytest.mark.parametrize(
    "start",
    [b"", HEALTH[:9], HEALTH, HEALTH * 3, WATCH, b"GET /" + b"x" * 20_000, b"nonsense\r\n\r\n"],
    ids=["nothing", "a part", "a request", "more", "a viewer", "too much", "nonsense"],
)
def test_garbage_after_the_handshake_ends_it(door: SecureDaemon, start: bytes) -> None:
    """Either all requests before are answered, or none can be any more."""
    with RawClient(door) as client:
        client.shake_hands(1 << 16)
        encrypted = client.encrypted(start) if start else b""
        client.send(encrypted + b"\x17\x03\x03\x00\x20" + os.urandom(32), 1 << 16)
        ending(client.socket)  # The bound is that of the guard: it does end.
    with Stream(door) as stream:
        stream.part()


def test_viewer_that_sends_garbage_harms_neither_itself_nor_others(
    door: SecureDaemon, pipe_camera: PipeCamera
) -> None:
    """What a viewer sends is ignored, however much it is."""
    with ViewerGroup(door) as group, RawClient(door) as client:
        group.join(2)
        client.shake_hands(1 << 16)
        client.send(client.encrypted(WATCH), 1 << 16)
        client.receive(100)
        client.socket.settimeout(0.2)
        with suppress(OSError):
            client.socket.sendall(os.urandom(10 << 20))
        for number in range(1, 10):
            pipe_camera.show(numbered(number, 20))
            group.wait_for_parts(number + 1)


def test_client_that_begins_and_vanishes_leaves_nothing(door: SecureDaemon) -> None:
    first = hello(door)
    for number in range(300):
        with door.connect_plainly() as sock:
            sock.sendall(first[: number * 7 % (len(first) + 1)])
            if number % 3:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    for _ in range(50):
        with door.connect() as secure:
            secure.sendall(HEALTH[:9])


def test_out_of_watches_answered_clients_are_closed(secure: SecureDaemon, tmp_path: Path) -> None:
    with FaultySystem(tmp_path) as system, ExitStack() as stack:
        secure.start(environ=system.environ)
        secure.wait_for_state("streaming")
        stream = stack.enter_context(Stream(secure))
        stream.part()
        with secure.connect() as asking, secure.connect() as watching:
            # Their handshakes are done, so the daemon waits for both.
            system.refuse_watches()
            asking.sendall(HEALTH * 2)
            assert read_answer(asking).status == 200
            assert ending(asking) == b"", "no further request could be waited for"
            watching.sendall(WATCH)
            secure.wait_for_log("cannot be served: No space left on device")
        system.refuse_watches(False)
        for _ in range(3):
            stream.part()
        eventually(lambda: answers(secure), "new clients are served again")


def answers(door: SecureDaemon) -> bool:
    try:
        return door.request("/healthz")[0].status == 200
    except OSError:
        return False


def test_no_new_handshake_is_made_on_the_same_connection(door: SecureDaemon) -> None:
    """With TLS 1.2 a client could demand one after another, and each is a lot of work."""
    command = ["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{door.port}"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as client:
        assert client.stdin
        assert client.stderr
        client.stdin.write(b"R\n")  # its command to ask for one
        client.stdin.flush()
        assert b"no renegotiation" in client.stderr.read()


def test_client_that_only_changes_its_keys_is_cut_off(door: SecureDaemon) -> None:
    """Such a message costs work and is no request; a client can send any number of them."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{door.port}"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, bufsize=0, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe
    ) as client:
        assert client.stdin
        assert client.stderr
        with suppress(BrokenPipeError):
            for _ in range(6000):
                client.stdin.write(b"k\n")
                # It takes one command at a time.
                while b"KEYUPDATE" not in client.stderr.readline():
                    if client.poll() is not None:
                        break
        try:
            client.wait(GUARD)
        finally:
            client.kill()
    assert door.request("/healthz")[1] == b"ok\n"
