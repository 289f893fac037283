"""Answers: sends bytes to a daemon, and parses what comes back.

Raises AssertionError for anything wrong: an answer has to be well-formed HTTP, as long as it says,
with a status that a stranger may get. 500 is not one.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import NamedTuple

from tests.support.daemon import Daemon
from tests.support.fuzzing import patience
from tests.support.stream_parser import StreamParser

HASTE = 0.3
"""Seconds that the hasty daemon waits for a request."""

ALLOWED = frozenset(
    {
        HTTPStatus.OK,
        HTTPStatus.NO_CONTENT,
        HTTPStatus.PARTIAL_CONTENT,
        HTTPStatus.SEE_OTHER,
        HTTPStatus.NOT_MODIFIED,
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.REQUEST_URI_TOO_LONG,
        HTTPStatus.MISDIRECTED_REQUEST,
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
    }
)

_HEAD = re.compile(
    rb"HTTP/1\.1 (?P<status>\d{3}) [A-Z][A-Za-z -]+\r\n"
    rb"(?P<fields>(?:[A-Za-z-]+: [\x20-\x7e]*\r\n)+)\r\n"
)
_ON_EVERY_ANSWER = ("x-content-type-options", "content-security-policy", "referrer-policy")
_STREAMS = ("multipart/x-mixed-replace", "application/octet-stream")
_STREAM = re.compile(rb"\r\nContent-Type: (?:%s)" % "|".join(_STREAMS).encode())
_HEAD_END = re.compile(rb"(?=\r?\n\r?\n)")


class Answer(NamedTuple):
    """One answer: its status, its headers with names in lower case, and its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_last(self) -> bool:
        """Whether it says that nothing more will come."""
        return self.headers.get("connection") == "close"

    @property
    def is_stream(self) -> bool:
        """Whether an endless stream follows."""
        is_film = "content-length" in self.headers
        return self.headers.get("content-type", "").startswith(_STREAMS) and not is_film


def ask(daemon: Daemon, chunks: Iterable[bytes], *, hang_up: bool = True) -> list[Answer]:
    """Send this, piece by piece; return the answers, all checked.

    Without ``hang_up`` it is the daemon that has to close, after its header_timeout.
    """
    sent = b"".join(chunks)
    with patience() as seconds, daemon.connect(seconds) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for chunk in chunks:
                sock.sendall(chunk)
            if hang_up:
                sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # It has closed already; its answers can still be read.
        try:
            data, stream = _read(sock)
        except OSError:
            raise AssertionError("neither answered nor closed") from None
    found = list(_take_apart(data, may_be_head=b"HEAD" in sent))
    assert len(found) <= len(_HEAD_END.findall(sent)) + 1, "more answers than requests"
    for before in found[:-1]:
        assert not before.is_last, "an answer after the last one"
    if stream:
        assert found[-1].is_stream
        _read_stream(stream)
    return found


def _read(sock: socket.socket) -> tuple[bytes, bytes]:
    """Read to the end, or to the first bytes of an endless stream."""
    data = bytearray()
    while True:
        try:
            some = sock.recv(1 << 16)
        except ConnectionError:
            some = b""
        data += some
        for found in _STREAM.finditer(data):
            end = data.find(b"\r\n\r\n", found.start()) + 4
            is_film = b"\r\nContent-Length: " in data[found.start() : end]
            if end >= 4 and not is_film and (not some or len(data) > end):
                return bytes(data[:end]), bytes(data[end:])
        if not some:
            return bytes(data), b""


def _read_stream(data: bytes) -> None:
    """Check a stream that may break off anywhere."""
    live = b"Content-Type: application/json" in data[:200]
    StreamParser(advance=not live and b"X-Timestamp" not in data[:200], live=live).feed(data)


def _take_apart(data: bytes, *, may_be_head: bool) -> Iterator[Answer]:
    while data:
        head = _HEAD.match(data)
        assert head, f"not an answer: {data[:300]!r}"
        fields = [line.split(": ", 1) for line in head["fields"].decode().splitlines()]
        headers = {name.lower(): value for name, value in fields}
        assert len(headers) == len(fields), f"a header stands twice: {fields}"
        status = int(head["status"])
        assert status in ALLOWED, f"{status}: {data[:300]!r}"
        assert not [name for name in _ON_EVERY_ANSWER if name not in headers], fields
        answer = Answer(status, headers, b"")
        length = _body_length(answer)
        data = data[head.end() :]
        if may_be_head and (not data or data.startswith(b"HTTP/1.1 ")):
            length = 0
        assert len(data) >= length, f"{length} bytes announced: {data!r}"
        yield answer._replace(body=data[:length])
        data = data[length:]


def _body_length(answer: Answer) -> int:
    if answer.is_stream or answer.status in (HTTPStatus.NOT_MODIFIED, HTTPStatus.NO_CONTENT):
        assert "content-length" not in answer.headers
        return 0
    length = answer.headers["content-length"]
    assert length.isascii()
    assert length.isdigit()
    return int(length)
