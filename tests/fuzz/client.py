"""Client: a viewer of a broadcaster that compares every byte with what was published."""

from __future__ import annotations

import functools
import random
import select
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from doorbelld.media.frame import Frame
from doorbelld.net.tls import Session, server_context
from doorbelld.stream.broadcaster import Broadcaster
from doorbelld.stream.viewer import News
from tests.support import secure
from tests.support.fuzzing import patience
from tests.support.socketpairs import connection
from tests.support.stream_parser import StreamParser

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
_SMALL = 4096
"""Bytes of a socket's buffers: larger parts are written in several pieces."""

_TRAP = b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r"
"""Inside a picture, nearly a boundary between two."""

_keys = count(1)


def picture(sequence: int, size: int) -> bytes:
    """Return a picture with its number and random bytes, so that no shift is overlooked."""
    noise = random.Random(sequence).randbytes(size)  # noqa: S311
    return b"\xff\xd8 %d %b%b\xff\xd9" % (sequence, _TRAP, noise)


@functools.cache
def _contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the TLS contexts of a daemon and of its clients."""
    with TemporaryDirectory() as folder:
        pair = secure.make_pair(Path(folder))
        return server_context(pair.certificate, pair.key), secure.client_context(pair)


class _Tls:
    """TLS on the client's side, with its handshake done; ``session`` is the daemon's side of it."""

    def __init__(self) -> None:
        ours, its = _contexts()
        self.session = Session(ours)
        self._incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._client = its.wrap_bio(self._incoming, outgoing, server_hostname="127.0.0.1")
        while not self.session.ready:
            with suppress(ssl.SSLWantReadError):
                self._client.do_handshake()
            self._incoming.write(self.session.feed(outgoing.read()))
        self._client.do_handshake()

    def open(self, data: bytes) -> bytes:
        """Return the plain text of these bytes and of those before."""
        self._incoming.write(data)
        found = []
        with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while some := self._client.read(1 << 16):
                found.append(some)
        return b"".join(found)


class Client:
    """A viewer: ``server`` is the daemon's end of the connection, ``frames`` what was published.

    A ``small`` one has such small buffers that most parts are written in several pieces. A ``live``
    one reads the state as well; ``state`` is the number of the newest that came.
    """

    def __init__(
        self,
        frames: Mapping[int, Frame],
        *,
        advance: bool = False,
        fps: float | None = None,
        small: bool = False,
        tls: bool = False,
        live: bool = False,
    ) -> None:
        self._tls = _Tls() if tls else None
        self.key = f"client {next(_keys)}"
        self.advance = advance
        self.fps = fps
        self.small = small
        self.live = live
        self.newest = 0
        self.count = 0
        self.state = 0
        self._frames = frames
        self._parts = StreamParser(advance=advance, live=live)
        self._head = b""
        self.server, self._sock = connection(_SMALL if small else None)
        self._sock.setblocking(False)

    def join(self, broadcaster: Broadcaster) -> bool:
        """Hand the daemon's end over."""
        return broadcaster.join(
            self.server,
            HEAD,
            address="10.0.0.9",
            key=self.key,
            fps=self.fps,
            advance=self.advance,
            session=self._tls.session if self._tls else None,
            news=News(pictures=True) if self.live else None,
        )

    def read(self, most: int) -> bool:
        """Read at most so many bytes; return whether there were any."""
        try:
            data = self._sock.recv(most)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data = b""
        self._check(data)
        return bool(data)

    def read_until_newest(self) -> None:
        """Wait for the frame that was published last."""
        newest = max(
            (number for number, frame in self._frames.items() if frame.live or not self.live),
            default=0,
        )
        while self.newest < newest:
            self._wait(f"frame {newest}; the newest is {self.newest}")
            assert self.read(1 << 20), "the stream ended"

    def read_until_state(self, number: int) -> None:
        """Wait for the state with this number, or a newer one."""
        while self.state < number:
            self._wait(f"state {number}; the newest is {self.state}")
            assert self.read(1 << 20), "the stream ended"

    def read_to_end(self) -> None:
        """Read until the daemon closes the connection."""
        self._wait("the end")
        while self.read(1 << 20):
            self._wait("the end")

    def must_have_ended_properly(self) -> None:
        """Check that nothing is missing at the end of the stream."""
        assert self._parts.between_parts
        assert self._parts.ended is not self.advance

    def half_close(self) -> None:
        """Close the sending half."""
        self._sock.shutdown(socket.SHUT_WR)

    def break_daemons_end(self) -> None:
        """Make every write of the daemon fail from now on."""
        self.server.shutdown(socket.SHUT_WR)

    def close_own_end(self, *, reset: bool = False) -> None:
        """Leave with data unread; calling it twice does no harm."""
        if reset:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._sock.close()

    def close(self) -> None:
        """Close both ends, if the daemon did not take its own."""
        self._sock.close()
        self.server.close()

    def _wait(self, what: str) -> None:
        with patience() as seconds:
            ready = select.select([self._sock], [], [], seconds)[0]
            assert ready, f"never: {what}"

    def _check(self, data: bytes) -> None:
        if self._tls:
            data = self._tls.open(data)
        missing = len(HEAD) - len(self._head)
        if missing:
            self._head += data[:missing]
            assert HEAD.startswith(self._head)
            data = data[missing:]
        for part in self._parts.feed(data):
            if part.is_state:
                state = part.state["number"]
                assert state >= self.state, f"{state} came after {self.state}"
                self.state = state
                continue
            self.count += 1
            sequence = int(part.body.split(b" ", 2)[1])
            frame = self._frames[sequence]
            assert part.body == frame.data
            assert frame.live or not self.live, "a card"
            assert part.timestamp == ("" if self.advance else f"{frame.timestamp:.6f}")
            assert sequence > self.newest, f"{sequence} came after {self.newest}"
            self.newest = sequence
