"""One viewer who hardly reads: whether anybody else notices."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from bench import age, stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.age import Ages
    from bench.load import Crowd, Figures
    from bench.servers import Running, Server

OTHERS = 99
_SECONDS = 6.0
_BYTES, _PAUSE = 200, 0.5
"""What the slow one reads at once, and the seconds between: never idle, never done."""


class Effect(NamedTuple):
    """What the others get: rates of the crowd, and the ages of one who reads."""

    figures: Figures
    ages: Ages


def measure(crowd: Crowd, server: Server, *, slow: bool) -> Effect:
    """Let a hundred watch, with or without a dead-slow one among them."""
    with server.run() as running:
        running.wait_listening()
        size = stream.part_size(running.host, running.port, server.path)
        with _slow_viewer(running, present=slow), age.Reader(running, 2, _SECONDS) as reader:
            figures = crowd.measure_running(running, size, OTHERS - slow, _SECONDS)
            return Effect(figures, reader.ages())


@contextmanager
def _slow_viewer(running: Running, *, present: bool) -> Iterator[None]:
    if not present:
        yield
        return
    done = threading.Event()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect((running.host, running.port))
        sock.sendall(f"GET {running.server.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        thread = threading.Thread(target=_sip, args=(sock, done))
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _sip(sock: socket.socket, done: threading.Event) -> None:
    while not done.wait(_PAUSE):
        if not sock.recv(_BYTES):
            return
