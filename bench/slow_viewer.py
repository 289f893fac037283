"""One viewer that hardly reads, and how it affects the others."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from bench import age, stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.age import Ages
    from bench.load import Figures, ViewerGroup
    from bench.servers import Running, Server

OTHERS = 99
_SECONDS = 6.0
_BYTES, _PAUSE = 200, 0.5
"""The slow viewer reads this many bytes at once, and waits this many seconds in between.

So the server never drops it as stalled, and it never catches up.
"""


class Effect(NamedTuple):
    """What the others get: the frame rates of all, and the frame ages of one."""

    figures: Figures
    ages: Ages


def measure(group: ViewerGroup, server: Server, *, slow: bool) -> Effect:
    """Measure a hundred viewers; if ``slow``, one of them is very slow."""
    with server.run() as running:
        running.wait_listening()
        size = stream.part_size(running.host, running.port, server.path)
        with _slow_viewer(running, present=slow), age.Reader(running, 2, _SECONDS) as reader:
            figures = group.measure_running(running, size, OTHERS - slow, _SECONDS)
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
        thread = threading.Thread(target=_read_slowly, args=(sock, done))
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _read_slowly(sock: socket.socket, done: threading.Event) -> None:
    while not done.wait(_PAUSE):
        if not sock.recv(_BYTES):
            return
