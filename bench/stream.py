"""A viewer that reads the stream properly: the sizes and the ages of its parts.

It reads the streams of other servers as well, so it checks less than the parser of the tests.
"""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Generator

_LENGTH = re.compile(rb"Content-Length: *(\d+)", re.IGNORECASE)
_STAMP = re.compile(rb"X-Timestamp: *([\d.]+)", re.IGNORECASE)
_WIDTH = re.compile(rb"X-Quality: *(\d+)", re.IGNORECASE)
_TIMEOUT = 20.0


class Part(NamedTuple):
    """A received part: the Unix time when it was complete, its X-Timestamp, and its bytes.

    ``width`` is its X-Quality, 0 if it is the camera's own picture.
    """

    arrived: float
    stamp: float
    size: int
    width: int = 0


def parts(
    host: str, port: int, path: str, *, connect_timeout: float = 0.0
) -> Generator[Part, None, None]:
    """Yield each part of a stream as soon as its last byte has been read.

    While the server does not listen yet, try again for ``connect_timeout`` seconds.
    """
    with _connect(host, port, time.monotonic() + connect_timeout) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        received = bytearray()
        _read_head(sock, received)
        while True:
            head = _read_head(sock, received)
            length, stamp, width = (each.search(head) for each in (_LENGTH, _STAMP, _WIDTH))
            if not length:
                raise ValueError("a part without Content-Length")
            body = int(length[1])
            _fill(sock, received, body)
            arrived = time.time()
            del received[:body]
            size = len(head) + body
            yield Part(
                arrived, float(stamp[1]) if stamp else 0.0, size, int(width[1]) if width else 0
            )


def part_size(host: str, port: int, path: str) -> int:
    """Return the size of a part; all parts have the same size.

    It is that of the second part, which begins with the line end after the first.
    """
    stream = parts(host, port, path)
    next(stream)
    size = next(stream).size
    stream.close()
    return size


def _connect(host: str, port: int, deadline: float) -> socket.socket:
    while True:
        try:
            return socket.create_connection((host, port), _TIMEOUT)
        except OSError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.02)


def _read_head(sock: socket.socket, received: bytearray) -> bytes:
    """Remove everything up to and including the next empty line, and return it."""
    while (end := received.find(b"\r\n\r\n")) < 0:
        _fill(sock, received, len(received) + 1)
    head = bytes(received[: end + 4])
    del received[: end + 4]
    return head


def _fill(sock: socket.socket, received: bytearray, size: int) -> None:
    while len(received) < size:
        chunk = sock.recv(1 << 18)
        if not chunk:
            raise ConnectionError("the server closed the stream")
        received += chunk
