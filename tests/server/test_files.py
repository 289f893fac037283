"""Long files as answers: read as the client takes them, and closed in every case."""

from __future__ import annotations

import errno
import http.client
import os
import random
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from doorbelld.net.tls import server_context
from doorbelld.server.connection import Connection
from doorbelld.server.filebody import FileBody, Part, Span
from doorbelld.server.framing import Head
from doorbelld.server.limits import Limits
from doorbelld.server.request import Request, RequestError
from doorbelld.server.response import Response
from doorbelld.server.server import Server
from tests.support import secure
from tests.support.daemon import GUARD, eventually
from tests.support.socketpairs import connection

SIZE = 12_000_000
"""More than the kernel takes of a file for a client that does not read."""

_preadv = os.preadv


class Shelf:
    """An app that answers every request with ``parts`` of a file, and counts the open ones."""

    def __init__(self, folder: Path) -> None:
        self.tls: ssl.SSLContext | None = None
        self.path = folder / "file"
        self.content = random.Random(1).randbytes(SIZE)  # noqa: S311
        self.path.write_bytes(self.content)
        self.parts: Sequence[Part] = [Span(0, SIZE)]
        self.open = 0
        self.opened = 0

    def __call__(self, request: Request) -> Response:
        if request.path == "/small":
            return Response(200, {"Content-Length": "5"}, b"small")
        file = self.path.open("rb", buffering=0)
        self.open += 1
        self.opened += 1
        length = sum(each.length if isinstance(each, Span) else len(each) for each in self.parts)
        body = FileBody(file, self.parts, self._closed)
        return Response(200, {"Content-Length": str(length)}, file=body)

    def _closed(self) -> None:
        self.open -= 1

    def refuse(self, error: RequestError, peer: str, *, secure: bool) -> Response:
        raise NotImplementedError

    def reject(self, status: int) -> Response:
        return Response(status, {"Content-Length": "0"})

    def may_send_body(self, head: Head, peer: str) -> bool:
        raise NotImplementedError


class Shop:
    """A server with a shelf; ``connect`` makes an http.client connection to it."""

    def __init__(self, shelf: Shelf, stall_timeout: float = GUARD) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = listener.getsockname()
        self.shelf = shelf
        self.server = Server([listener], shelf, Limits(2, GUARD, stall_timeout))
        self.client_context: ssl.SSLContext | None = None
        self.server.start()

    def connect(self, buffer: int = 0) -> http.client.HTTPConnection:
        host, port = self.address
        connection = http.client.HTTPConnection(host, port)
        sock = socket.socket()
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.settimeout(GUARD)
        sock.connect(self.address)
        if self.client_context is not None:
            sock = self.client_context.wrap_socket(sock, server_hostname=host)
        connection.sock = sock
        return connection

    def ask(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        connection.request("GET", "/")
        return connection.getresponse()

    def all_closed(self) -> bool:
        return self.shelf.opened > 0 and self.shelf.open == 0


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture
def shop(shelf: Shelf) -> Iterator[Shop]:
    found = Shop(shelf)
    yield found
    assert found.server.stop(GUARD)
    assert shelf.open == 0


@pytest.fixture
def secure_shop(
    shelf: Shelf,
    tmp_path: Path,
    starts_processes: None,  # noqa: ARG001  # for the marker
) -> Iterator[Shop]:
    pair = secure.make_pair(tmp_path)
    shelf.tls = server_context(pair.certificate, pair.key)
    found = Shop(shelf)
    found.client_context = secure.client_context(pair)
    yield found
    assert found.server.stop(GUARD)
    assert shelf.open == 0


def check_files_and_what_follows(shop: Shop) -> None:
    with closing(shop.connect()) as connection:
        for _ in range(2):
            assert shop.ask(connection).read() == shop.shelf.content
        connection.request("GET", "/small")
        assert connection.getresponse().read() == b"small"
        assert shop.all_closed()
        connection.request("GET", "/", headers={"Connection": "close"})
        assert connection.getresponse().read() == shop.shelf.content


def test_file_arrives_and_the_connection_is_kept(shop: Shop) -> None:
    check_files_and_what_follows(shop)


def test_file_arrives_over_tls_as_well(secure_shop: Shop) -> None:
    check_files_and_what_follows(secure_shop)


def test_spans_with_bytes_between_them(shop: Shop) -> None:
    offsets = list(range(0, SIZE, 250_000))
    shop.shelf.parts = [
        part for offset in offsets for part in (b"at %d:" % offset, Span(offset, 50_000))
    ]
    content = shop.shelf.content
    expected = b"".join(b"at %d:" % each + content[each : each + 50_000] for each in offsets)
    with closing(shop.connect()) as connection:
        assert shop.ask(connection).read() == expected


def test_head_opens_and_sends_nothing_of_it(shop: Shop) -> None:
    with closing(shop.connect()) as connection:
        for _ in range(2):
            connection.request("HEAD", "/")
            answer = connection.getresponse()
            assert answer.getheader("Content-Length") == str(SIZE)
            assert answer.read() == b""
            eventually(shop.all_closed, "the file closed")


def test_file_that_is_deleted_is_read_to_its_end(shop: Shop) -> None:
    with closing(shop.connect(buffer=4096)) as connection:
        answer = shop.ask(connection)
        shop.shelf.path.unlink()
        assert answer.read() == shop.shelf.content


def test_client_that_leaves_in_the_middle(shop: Shop) -> None:
    for _ in range(3):
        with closing(shop.connect(buffer=4096)) as connection, shop.ask(connection) as answer:
            answer.read(100_000)
            assert shop.shelf.open == 1
        eventually(shop.all_closed, "the file closed")


def test_client_that_stops_reading_is_dropped(shelf: Shelf) -> None:
    shop = Shop(shelf, stall_timeout=0.5)
    with closing(shop.connect(buffer=4096)) as connection, shop.ask(connection) as answer:
        eventually(shop.all_closed, "the file closed")
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            answer.read()
    assert shop.server.stop(GUARD)


def test_server_that_stops_in_the_middle_closes_it(shelf: Shelf) -> None:
    shop = Shop(shelf)
    with closing(shop.connect(buffer=4096)) as connection, shop.ask(connection):
        assert shelf.open == 1
        assert shop.server.stop(GUARD)
        assert shelf.open == 0


def test_file_that_is_too_short_ends_the_connection_and_is_logged_once(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.shelf.parts = [Span(0, SIZE + 1)]
    for _ in range(2):
        with closing(shop.connect()) as connection, pytest.raises(http.client.IncompleteRead):
            shop.ask(connection).read()
    (line,) = [each for each in caplog.messages if "cannot be read" in each]
    assert line == f"{shop.shelf.path}: cannot be read: the file is shorter than it was"


def refusing_to_say(error: int) -> Callable[..., int]:
    """Return a preadv that answers so if it must not wait, and fails the test in the loop's."""

    def preadv(descriptor: int, buffers: Any, offset: int, flags: int) -> int:
        if flags & os.RWF_NOWAIT:
            raise OSError(error, os.strerror(error))
        assert threading.current_thread().name != "accept"
        return _preadv(descriptor, buffers, offset, flags)

    return preadv


@pytest.mark.parametrize("error", [errno.EAGAIN, errno.EOPNOTSUPP])
def test_accept_loop_never_waits_for_the_disk(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setattr(os, "preadv", refusing_to_say(error))
    with closing(shop.connect()) as first, closing(shop.connect(buffer=4096)) as second:
        slow = shop.ask(second)
        assert shop.ask(first).read() == shop.shelf.content
        assert slow.read() == shop.shelf.content


def test_fast_client_gets_a_bit_before_others_have_their_turn(shelf: Shelf) -> None:
    server, client = connection()
    with server, client, shelf.path.open("rb", buffering=0) as file:
        body = FileBody(file, [Span(0, SIZE)], lambda: None)
        reader = Connection(server, "127.0.0.1")
        reader.answer(b"head", keep=True, file=body)
        seen = b""
        for _ in range(3):
            assert reader.write()
            assert not reader.rest, "the client takes more"
            client.setblocking(False)
            some = client.recv(1 << 20)
            assert 64 * 1024 <= len(some) < 100 * 1024
            seen += some
        assert seen == b"head" + shelf.content[: len(seen) - 4]


def test_bytes_longer_than_a_piece_come_whole_and_in_their_order(shelf: Shelf) -> None:
    between = (b"x" * 50, b"y" * 100_000, b"z" * 3)
    parts: list[Part] = [
        Span(0, 32 * 1024 - 10),
        between[0],
        Span(7, 40_000),
        between[1],
        between[2],
    ]
    content = shelf.content
    expected = content[: 32 * 1024 - 10] + between[0] + content[7:40_007] + between[1] + between[2]
    with closing(FileBody(shelf.path.open("rb", buffering=0), parts, lambda: None)) as body:
        found = b"".join(iter(partial(body.read, may_wait=True), b""))
    assert found == expected


def test_what_is_read_is_not_copied(shelf: Shelf) -> None:
    with closing(
        FileBody(shelf.path.open("rb", buffering=0), [Span(0, SIZE)], lambda: None)
    ) as body:
        tracemalloc.start()
        try:
            piece = body.read(may_wait=True)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 1.5 * len(piece)


def test_at_its_end_it_keeps_no_memory(shelf: Shelf) -> None:
    """A connection holds the last piece for as long as it is kept."""
    with closing(
        FileBody(shelf.path.open("rb", buffering=0), [Span(0, 1000)], lambda: None)
    ) as body:
        assert len(body.read(may_wait=True)) == 1000
        last = body.read(may_wait=True)
    assert not last
    assert bytes(last.obj) == b""


def test_a_small_answer_does_not_wait_for_fifty_slow_files(shop: Shop) -> None:
    slow = [shop.connect(buffer=4096) for _ in range(50)]
    answers = [shop.ask(each) for each in slow]  # There are two handler threads.
    with closing(shop.connect()) as connection:
        connection.request("GET", "/small")
        assert connection.getresponse().read() == b"small"
    assert shop.shelf.open == 50
    assert answers[7].read() == shop.shelf.content
    for each in slow:
        each.close()
    eventually(shop.all_closed, "the files closed")
