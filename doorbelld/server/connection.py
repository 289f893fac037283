"""Connection: a client that the accept loop waits for, in plain text or over TLS."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from enum import Enum

from doorbelld.net.tls import Session
from doorbelld.server.framing import Head, without_empty_line

_CHUNK = 16 * 1024
_DISCARDED = 64 * 1024
_EMPTY_LINE = len(b"\r\n")


class Phase(Enum):
    """What the accept loop waits for."""

    REQUEST = "a request"
    WRITE = "room to write the answer"
    LINGER = "the client to close"


class Connection:
    """A client that the accept loop waits for. Nothing here blocks: the socket does not.

    ``address`` is the client's IP address as text. ``rest`` is what is still to be written, as
    it goes over the wire. After that the connection waits for the next request if ``keep``,
    otherwise it closes. ``is_new`` is true until the first request. ``session`` is its TLS,
    None for plain text. Of the request that is coming, ``reads`` counts how often it was read,
    ``searched`` is how many of its bytes were searched for the end of the head, ``head`` is its
    head, None while that is not complete, and ``size`` its length, 0 while that is unknown.
    """

    __slots__ = (
        "address",
        "deadline",
        "head",
        "is_new",
        "keep",
        "phase",
        "reads",
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
        self.head: Head | None = None
        self.reads = self.searched = self.size = 0

    @property
    def secure(self) -> bool:
        """Whether it is encrypted."""
        return self.session is not None

    @property
    def unsent(self) -> int:
        """How many bytes of memory its answer takes: all of it until the last byte is written."""
        return memoryview(self.rest.obj).nbytes if self.rest else 0

    @property
    def ended(self) -> bool:
        """Whether its TLS has ended or failed."""
        return self.session is not None and self.session.ended

    def wants_handshake(self, context: ssl.SSLContext | None) -> bool:
        """Return whether a TLS handshake is to be done or finished.

        With a ``context`` a client may begin with one. Raises OSError if the client is gone.
        """
        if self.session is None and self.is_new and context is not None:
            with suppress(BlockingIOError):  # Nothing has arrived yet.
                if Session.begins_with(self.sock.recv(1, socket.MSG_PEEK)):
                    self.session = Session(context)
        return self.session is not None and not self.session.ready

    def peek(self, most: int) -> bytes:
        """Return what the client has sent, up to about ``most`` bytes; b"" at its end.

        Raises BlockingIOError if there is nothing yet, and other OSErrors if the client is gone.
        """
        if self.session is None:
            return self.sock.recv(most, socket.MSG_PEEK)
        data = b""  # First what came earlier and was too much then.
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
        # There is always room for the few bytes of a handshake, unless the client plays tricks.
        if reply and self.sock.send(reply) < len(reply):
            raise BrokenPipeError

    def take(self, size: int) -> bytes:
        """Read the first bytes of what :meth:`peek` has returned."""
        self.head = None
        self.reads = self.searched = self.size = 0
        if self.session is None:
            return self.sock.recv(size)
        return self.session.take(size)

    def discard_input(self) -> bool:
        """Read and drop what the client sends; return whether it has ended, or sends too much."""
        try:
            for _ in range(64):
                if not self.sock.recv(_DISCARDED):
                    break
        except BlockingIOError:
            return False
        except OSError:
            return True  # The client is gone.
        return True

    def has_begun(self) -> bool:
        """Return whether a part of a request has arrived, and not just an empty line."""
        if self.session is not None:
            return bool(without_empty_line(bytes(self.session.plain[: _EMPTY_LINE + 1])))
        try:
            return bool(without_empty_line(self.sock.recv(_EMPTY_LINE + 1, socket.MSG_PEEK)))
        except OSError:
            return False

    def answer(self, data: bytes, *, keep: bool) -> None:
        """Prepare to write this; unless ``keep`` it is the last answer. Raises OSError."""
        self.keep = keep
        if self.session is not None:
            data = self.session.encrypt(data)
            if not keep:
                data += self.session.close_notify()
        self.rest = memoryview(data)

    def write(self) -> bool:
        """Write as much of the rest as the kernel accepts; return whether it accepted any."""
        try:
            count = self.sock.send(self.rest)
        except BlockingIOError:
            return False
        self.rest = self.rest[count:]
        return True

    def close(self) -> None:
        """Close it, with close_notify if TLS can still send it."""
        if self.session is not None and not self.rest:
            with suppress(OSError):
                self.sock.send(self.session.close_notify())
        self.sock.close()
