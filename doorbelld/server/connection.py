"""Connection: a client that is being waited for, whether it speaks in plain text or TLS."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from enum import Enum

from doorbelld.net.tls import Session
from doorbelld.server.framing import without_empty_line

_CHUNK = 16 * 1024
_DISCARDED = 64 * 1024
_EMPTY_LINE = len(b"\r\n")


class Phase(Enum):
    """What a connection is waited for."""

    REQUEST = "its request"
    WRITE = "to take its answer"
    LINGER = "to close"


class Connection:
    """A client that is being waited for. Nothing here blocks: the socket does not.

    ``address`` is the client's IP address as text. ``rest`` is what is still to be written, as
    it goes over the wire, after which the connection waits for the next request if ``keep``,
    else closes. ``is_new`` tells that it has asked for nothing yet. ``session`` is its TLS,
    None for plain text. Of the request that is coming ``looks`` counts how often it was looked
    at, ``searched`` is how many of its bytes were searched for the end of its head, in vain,
    and ``size`` is its length, 0 while that is unknown.
    """

    __slots__ = (
        "address",
        "deadline",
        "is_new",
        "keep",
        "looks",
        "phase",
        "rest",
        "searched",
        "session",
        "size",
        "sock",
    )

    def __init__(self, sock: socket.socket, address: str) -> None:
        self.sock = sock
        self.address = address
        self.phase = Phase.REQUEST
        self.deadline = 0.0
        self.rest = memoryview(b"")
        self.keep = False
        self.is_new = True
        self.session: Session | None = None
        self.looks = self.searched = self.size = 0

    @property
    def secure(self) -> bool:
        """Whether it is encrypted."""
        return self.session is not None

    @property
    def unsent(self) -> int:
        """How many bytes of memory its answer takes, all of it until the last is written."""
        return memoryview(self.rest.obj).nbytes if self.rest else 0

    @property
    def ended(self) -> bool:
        """Whether its TLS has ended or failed."""
        return self.session is not None and self.session.ended

    def wants_handshake(self, context: ssl.SSLContext | None) -> bool:
        """Return whether a TLS handshake has to be made, or finished.

        With a ``context`` a client may begin with one. Raises OSError when it is gone.
        """
        if self.session is None and self.is_new and context is not None:
            with suppress(BlockingIOError):  # It has said nothing yet.
                if Session.begins_with(self.sock.recv(1, socket.MSG_PEEK)):
                    self.session = Session(context)
        return self.session is not None and not self.session.ready

    def peek(self, most: int) -> bytes:
        """Return what the client has said, up to about ``most`` bytes; b"" at its end.

        Raises BlockingIOError where there is nothing yet, and other OSErrors when it is gone.
        """
        if self.session is None:
            return self.sock.recv(most, socket.MSG_PEEK)
        data = b""  # First what came earlier, and could not be taken.
        while True:
            self._feed(self.session, data, most)
            if self.session.ended or len(self.session.plain) >= most:
                break
            try:
                data = self.sock.recv(_CHUNK)
            except BlockingIOError:
                if not self.session.plain:
                    raise
                break
            if not data:
                self.session.ended = True
                break
        return bytes(self.session.plain)

    def _feed(self, session: Session, data: bytes, most: int) -> None:
        reply = session.feed(data, most)
        # A handshake's few bytes find room in any socket whose client plays no tricks.
        if reply and self.sock.send(reply) < len(reply):
            raise BrokenPipeError

    def take(self, size: int) -> bytes:
        """Return the first bytes of what :meth:`peek` has shown, which it will not show again."""
        self.looks = self.searched = self.size = 0
        if self.session is None:
            return self.sock.recv(size)
        return self.session.take(size)

    def discard_input(self) -> bool:
        """Drop what the client sends; return whether it has ended, or sent too much."""
        try:
            for _ in range(64):
                if not self.sock.recv(_DISCARDED):
                    break
        except BlockingIOError:
            return False
        except OSError:
            return True  # It is gone.
        return True

    def has_begun(self) -> bool:
        """Return whether it has said the beginning of a request, and not just an empty line."""
        if self.session is not None:
            return bool(without_empty_line(bytes(self.session.plain[: _EMPTY_LINE + 1])))
        try:
            return bool(without_empty_line(self.sock.recv(_EMPTY_LINE + 1, socket.MSG_PEEK)))
        except OSError:
            return False

    def answer(self, data: bytes, *, keep: bool) -> None:
        """Make this what is to be written; unless ``keep`` it is the last. Raises OSError."""
        self.keep = keep
        if self.session is not None:
            data = self.session.encrypt(data)
            if not keep:
                data += self.session.close_notify()
        self.rest = memoryview(data)

    def write(self) -> bool:
        """Write what the kernel takes of the rest; return whether it took any."""
        try:
            count = self.sock.send(self.rest)
        except BlockingIOError:
            return False
        self.rest = self.rest[count:]
        return True

    def close(self) -> None:
        """Close it, with a word of TLS where one can be said."""
        if self.session is not None and not self.rest:
            with suppress(OSError):
                self.sock.send(self.session.close_notify())
        self.sock.close()
