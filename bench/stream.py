"""A viewer that reads the stream properly: the sizes and the ages of its parts."""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Generator

_LENGTH = re.compile(rb"Content-Length: *(\d+)", re.IGNORECASE)
_STAMP = re.compile(rb"X-Timestamp: *([\d.]+)", re.IGNORECASE)
_TIMEOUT = 20.0


class Part(NamedTuple):
    """One part as it came: seconds of the day it was complete, its stamp, bytes in all."""

    arrived: float
    stamp: float
    size: int


def parts(host: str, port: int, path: str, *, patience: float = 0.0) -> Generator[Part, None, None]:
    """Yield every part of a stream, each at the moment its last byte is read.

    ``patience`` is for how many seconds a server that is not yet listening is tried again.
    """
    with _connect(host, port, time.monotonic() + patience) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        received = bytearray()
        _take_head(sock, received)
        while True:
            head = _take_head(sock, received)
            length, stamp = _LENGTH.search(head), _STAMP.search(head)
            if not length:
                raise ValueError("a part without Content-Length")
            body = int(length[1])
            _fill(sock, received, body)
            arrived = time.time()
            del received[:body]
            yield Part(arrived, float(stamp[1]) if stamp else 0.0, len(head) + body)


def part_size(host: str, port: int, path: str) -> int:
    """Return the bytes from one part to the next; all have the same.

    The second tells: its head begins with the line end that closes the first.
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


def _take_head(sock: socket.socket, received: bytearray) -> bytes:
    """Take bytes up to and including the next empty line."""
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
