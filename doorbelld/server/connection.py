"""Connection: a client that the accept loop waits for, in plain text or over TLS."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from enum import Enum

from doorbelld.net.tls import Session
from doorbelld.server.filebody import FileBody
from doorbelld.server.framing import Head, without_empty_line

_CHUNK = 16 * 1024
_DISCARDED = 64 * 1024
_EMPTY_LINE = len(b"\r\n")
_TURN = 64 * 1024
"""Bytes of a file that are written before other connections get a turn."""

_MOST_UNSENT_BYTES = 64 * 1024
"""Bytes of a file that the kernel stores for a client beyond those on their way to it. Without this
it would be up to 4 MB for each of many clients that read slowly."""


class Phase(Enum):
    """What the accept loop waits for."""

    REQUEST = "a request"
    WRITE = "room to write the answer"
    LINGER = "the client to close"


class Connection:
    """A client that the accept loop waits for. Nothing here blocks: the socket does not.

    ``address`` is the client's IP address as text. ``rest`` is what is still to be written, as
    it goes over the wire, and ``file`` what comes after it, None for most answers. After that the
    connection waits for the next request if ``keep``, otherwise it closes. ``is_new`` is true
    until the first request. ``session`` is its TLS, None for plain text. Of the request that is
    coming, ``reads`` counts how often it was read, ``searched`` is how many of its bytes were
    searched for the end of the head, ``head`` is its head, None while that is not complete, and
    ``size`` its length, 0 while that is unknown.
    """

    __slots__ = (
        "address",
        "deadline",
        "file",
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
        self.file: FileBody | None = None
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
    def is_answered(self) -> bool:
        """Whether its answer is written completely."""
        return not self.rest and self.file is None

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

    def answer(self, data: bytes, *, keep: bool, file: FileBody | None = None) -> None:
        """Prepare to write this; unless ``keep`` it is the last answer. Raises OSError.

        With a ``file`` it is the head, and the file comes after it: the disk is waited for.
        """
        self.keep = keep
        self.file = file
        if file is not None:
            # Now, so that the head does not travel alone.
            self._set_up_for_a_file()
            data += file.read(may_wait=True)
        self._prepare(data)

    def _set_up_for_a_file(self) -> None:
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _MOST_UNSENT_BYTES)

    def _prepare(self, data: bytes | memoryview) -> None:
        if self.session is not None:
            data = self.session.encrypt(data)
            if self.file is None and not self.keep:
                data += self.session.close_notify()
        self.rest = memoryview(data)

    def _read_on(self, file: FileBody, *, may_wait: bool) -> None:
        """Prepare to write the next piece of the file."""
        data = file.read(may_wait=may_wait)
        if not data:
            self._close_file()
        self._prepare(data)

    def write(self, *, may_wait: bool = False) -> bool:
        """Write what the kernel accepts of the answer; return whether it accepted any.

        Of a file it writes only so much that others get a turn. Unless it ``may_wait`` for the
        disk, it raises BlockingIOError if what comes next must first be read from there. Raises
        other OSErrors if the client is gone, or the file cannot be read.
        """
        if self.file is not None and not self.rest:
            self._read_on(self.file, may_wait=may_wait)
        written = 0
        with suppress(BlockingIOError):  # of the client, or of the disk after some was written
            while True:
                count = self.sock.send(self.rest)
                self.rest = self.rest[count:]
                written += count
                if self.rest or self.file is None or written >= _TURN:
                    break
                self._read_on(self.file, may_wait=may_wait)
        return written > 0

    def _close_file(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    def close(self) -> None:
        """Close it, with close_notify if TLS can still send it."""
        if self.session is not None and self.is_answered:
            with suppress(OSError):
                self.sock.send(self.session.close_notify())
        self.sock.close()
        self._close_file()
