"""Raw HTTP: requests byte for byte, as no well-behaved client sends them."""

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
    """Check that an answer may be framed nowhere, loads nothing, and names no version."""
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
    """Read one answer."""
    answer = http.client.HTTPResponse(sock, method=method)
    try:
        answer.begin()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        answer.close()


def read_to_end(sock: socket.socket) -> bytes:
    """Read until the daemon closes the connection; fail if it never does."""
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
    """Parse bytes that must be one complete answer and nothing else."""
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


POISON = b"GET /poison HTTP/1.1\r\n\r\n"


def refused(answer: Answer, status: int) -> str:
    """Check a refusal; return its reason."""
    assert answer.status == status
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert_strict(answer.headers)
    reason = answer.body.decode()
    assert reason.endswith("\n")
    assert "\n" not in reason[:-1], "one line"
    assert 0 < len(reason) < 120
    assert "Traceback" not in reason
    return reason[:-1]


def refusal(doorbell: Daemon, request: bytes, status: int) -> str:
    """Send a request after which the daemon must close; return the reason it gives."""
    answer = only_answer(exchange(doorbell, request))
    assert answer.headers["Connection"] == "close"
    return refused(answer, status)


def post(body: bytes, fields: bytes = b"") -> bytes:
    """Return a request with a body that no path takes, to see where the request ends."""
    return b"POST /status HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (fields, len(body), body)
