"""Bodies: a small one is read completely, and none is ever taken for a request."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.daemon import Daemon, eventually
from tests.support.processes import sockets, threads
from tests.support.raw import POISON, only_answer, post, read_answer, read_to_end, refusal, refused

MAX_BODY = 4096


@pytest.fixture
def client(doorbell: Daemon) -> Iterator[socket.socket]:
    with doorbell.connect() as sock:
        yield sock


def lives_on(sock: socket.socket) -> None:
    """Check that the connection still works, and that no bytes were left in it."""
    sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
    answer = read_answer(sock)
    assert (answer.status, answer.body) == (200, b"ok\n")


@pytest.mark.parametrize("body", [b"a", b"\r\n\r\n", POISON, b"\x00\xff" * (MAX_BODY // 2)])
def test_connection_lives_on_after_a_whole_body(client: socket.socket, body: bytes) -> None:
    for _ in range(2):
        client.sendall(post(body))
        answer = read_answer(client)
        refused(answer, 405)
        assert answer.headers["Connection"] is None
    lives_on(client)


def test_body_may_come_byte_by_byte(client: socket.socket) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in post(POISON):
        client.sendall(bytes([byte]))
    refused(read_answer(client), 405)
    lives_on(client)


def test_requests_may_follow_a_body_at_once(client: socket.socket) -> None:
    health = b"GET /healthz HTTP/1.1\r\n\r\n"
    client.sendall((post(POISON) + health + post(b"x" * MAX_BODY)) * 5)
    client.shutdown(socket.SHUT_WR)
    data = read_to_end(client)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", data) == [b"405", b"200", b"405"] * 5


def test_longest_head_and_longest_body_together(client: socket.socket) -> None:
    start, end = b"POST /status HTTP/1.1\r\nContent-Length: 4096\r\nA: ", b"\r\n\r\n"
    padding = b"b" * (16 * 1024 - len(start) - len(end))
    client.sendall(start + padding + end + POISON.ljust(MAX_BODY))
    refused(read_answer(client), 405)
    lives_on(client)


@pytest.mark.parametrize("length", [MAX_BODY + 1, 10_000, 1 << 40, 10**400])
def test_body_that_is_too_long_is_not_waited_for(doorbell: Daemon, length: int) -> None:
    head = f"POST /status HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode()
    refusal(doorbell, head, 405)
    refusal(doorbell, head + POISON * 100, 405)


def test_client_that_expects_100_continue_is_refused(doorbell: Daemon) -> None:
    refusal(doorbell, post(b"abc", b"Expect: 100-continue\r\n")[:-3], 405)


def test_408_for_a_body_that_never_comes(daemon: Daemon) -> None:
    daemon.start({"server.header_timeout": 2})
    with daemon.connect() as sock:
        sock.sendall(post(b"password=1234")[:-1])
        refused(only_answer(read_to_end(sock)), 408)


def test_client_that_leaves_in_the_middle_of_its_body_is_no_trouble(daemon: Daemon) -> None:
    daemon.start({"server.header_timeout": 3600})
    before = sockets(daemon.pid)
    with daemon.connect() as sock:
        sock.sendall(post(b"password=1234")[:-1])
    eventually(lambda: sockets(daemon.pid) == before, "the socket given back")


def test_client_that_holds_back_its_body_costs_no_thread(daemon: Daemon) -> None:
    daemon.start({"server.header_timeout": 3600, "server.max_requests": 2})
    daemon.wait_for_state("streaming")
    before = threads(daemon.pid)
    with ExitStack() as stack:
        clients = [stack.enter_context(daemon.connect()) for _ in range(100)]
        for sock in clients:
            sock.sendall(post(b"password=1234")[:-1])
        eventually(lambda: daemon.request("/healthz")[1] == b"ok\n", "others are served")
        assert threads(daemon.pid) <= before + 2
        for sock in clients:
            sock.sendall(b"4")
            assert read_answer(sock).status == 405


EMPTY_LINES = (b"\r\n", b"\n")
HEALTH = b"GET /healthz HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("empty_line", EMPTY_LINES)
def test_an_empty_line_before_a_post_is_ignored_as_before_a_get(
    client: socket.socket, empty_line: bytes
) -> None:
    client.sendall((empty_line + post(POISON) + empty_line + HEALTH) * 5)
    client.shutdown(socket.SHUT_WR)
    data = read_to_end(client)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", data) == [b"405", b"200"] * 5


@pytest.mark.parametrize("empty_line", EMPTY_LINES)
def test_an_empty_line_before_a_post_may_come_byte_by_byte(
    client: socket.socket, empty_line: bytes
) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in empty_line + post(POISON):
        client.sendall(bytes([byte]))
    refused(read_answer(client), 405)
    lives_on(client)


@pytest.mark.parametrize("request_", [post(POISON), HEALTH])
def test_400_after_more_than_one_empty_line(doorbell: Daemon, request_: bytes) -> None:
    for empty_line in EMPTY_LINES:
        refusal(doorbell, empty_line * 2 + request_, 400)


@pytest.mark.parametrize("empty_line", EMPTY_LINES)
def test_an_empty_line_alone_is_no_request_that_is_late(daemon: Daemon, empty_line: bytes) -> None:
    daemon.start({"server.header_timeout": 1})
    with daemon.connect() as sock:
        sock.sendall(post(POISON) + empty_line)
        refused(read_answer(sock), 405)
        assert read_to_end(sock) == b""


def test_client_that_drips_empty_lines_is_cut_off(daemon: Daemon) -> None:
    daemon.start({"server.header_timeout": 1})
    with daemon.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"\r\n\r\n":
            sock.sendall(bytes([byte]))
        refused(only_answer(read_to_end(sock)), 400)
