"""Raw HTTP: requests that no well-behaved client would send, byte for byte."""

from __future__ import annotations

import http.client
import re
import socket
import time
from email.message import Message
from typing import NamedTuple

from tests.support.daemon import GUARD, Daemon


class Answer(NamedTuple):
    """One answer: status, reason and headers as :mod:`http.client` reads them, and the body."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


def assert_strict(headers: Message, referrer: str = "no-referrer") -> None:
    """Check the headers by which an answer is shown nowhere, loads nothing, tells no version."""
    policy = headers["Content-Security-Policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in str(policy)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == referrer
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert not re.search(r"\d\.\d", headers.get("Server", ""))


def read_answer(sock: socket.socket, method: str = "GET") -> Answer:
    """Read one answer, and not a byte more than has come with it."""
    answer = http.client.HTTPResponse(sock, method=method)
    try:
        answer.begin()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        answer.close()


def read_to_end(sock: socket.socket) -> bytes:
    """Read until the daemon closes the connection; fail if it just goes on and on."""
    found = bytearray()
    give_up_at = time.monotonic() + GUARD
    while True:
        assert time.monotonic() < give_up_at, f"never: the end, after {len(found)} bytes"
        some = sock.recv(1 << 16)
        if not some:
            return bytes(found)
        found += some


def exchange(daemon: Daemon, request: bytes) -> bytes:
    """Send these bytes; return all that comes back until the daemon closes the connection."""
    with daemon.connect() as sock:
        sock.sendall(request)
        return read_to_end(sock)


def only_answer(data: bytes) -> Answer:
    """Take bytes apart that must be one whole answer and nothing else."""
    head, end, body = data.partition(b"\r\n\r\n")
    assert end, f"not an answer: {data!r}"
    first, _, rest = head.partition(b"\r\n")
    version, status, _ = first.split(b" ", 2)
    assert version == b"HTTP/1.1"
    headers = http.client.HTTPMessage()
    for line in rest.decode("ascii").split("\r\n"):
        name, _, value = line.partition(": ")
        headers[name] = value
    assert len(body) == int(headers["Content-Length"]), f"more than one answer: {data!r}"
    return Answer(int(status), headers, body)
