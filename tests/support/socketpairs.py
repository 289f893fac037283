"""Both ends of a viewer's connection, for tests that send the stream in this process."""

from __future__ import annotations

import socket
import time
from contextlib import closing

from doorbelld.media import multipart
from doorbelld.media.frame import Frame
from doorbelld.stream.hub import FrameHub
from tests.support.daemon import GUARD


def connection(buffer: int | None = None) -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection: the daemon's, and a viewer's that reads it.

    ``buffer`` limits the send and receive buffers, in bytes.
    """
    with closing(socket.socket()) as listener:
        if buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = socket.socket()
        if buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.settimeout(GUARD)
        client.connect(listener.getsockname())
        return listener.accept()[0], client


def publish(hub: FrameHub, data: bytes = b"", captured_at: float | None = None) -> Frame:
    """Publish a frame, whose data differs from that of the one before, and return it."""
    at = time.monotonic() if captured_at is None else captured_at
    return hub.publish(data or b"frame at %f" % time.monotonic(), at, live=True)


def part(sent: Frame) -> bytes:
    return multipart.exact_part(sent.data, sent.timestamp)


def read(client: socket.socket, expected: bytes) -> None:
    found = b""
    while len(found) < len(expected):
        some = client.recv(len(expected) - len(found))
        assert some, f"the stream ended after {found[-100:]!r}"
        found += some
    assert found == expected
