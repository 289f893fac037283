"""AcceptLoop: the one thread in which clients are waited for, so that no other ever waits.

A new connection, and a kept-alive one that idles, stays here until its whole request head
lies in the socket; only then is it handed to a handler thread, which finds everything it
will read. An answer the client does not take at once comes back here to be written bit by
bit. So a thousand clients that drip, stall or say nothing cost no thread and delay nobody.

Where too many wait, the one that has waited longest makes room: who sends a request in one
go, as every browser does, is always served, and a flood only pushes out itself.
"""

from __future__ import annotations

import logging
import re
import select
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from enum import Enum

from doorbelld.wakeup import Wakeup

_log = logging.getLogger(__name__)

MAX_HEAD = 16 * 1024
"""The longest request head, in bytes."""

_MAX_WAITING = 1024
_MAX_WAITING_PER_ADDRESS = 256
_LINGER = 2.0
"""Seconds a closing connection may take to read its last answer before it is cut."""

_FAREWELL = 0.5
"""Seconds at the end for those who were accepted and have not been answered: behind a socket
of systemd's the next daemon serves all others, and so nobody is turned away by a restart."""

_SWEEP = 0.25
"""Seconds between looks for connections that are past their deadline."""

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_EDGE = select.EPOLLET | select.EPOLLRDHUP


class Phase(Enum):
    """What a connection is waited for."""

    HEAD = "its request"
    WRITE = "to take its answer"
    LINGER = "to close"


class Connection:
    """A client that is being waited for.

    ``address`` is the client's IP address as text. ``rest`` is what is still to be written,
    after which the connection waits for the next request if ``keep``, else closes. ``is_new``
    tells that it has asked for nothing yet.
    """

    __slots__ = ("address", "deadline", "is_new", "keep", "phase", "rest", "sock")

    def __init__(self, sock: socket.socket, address: str) -> None:
        self.sock = sock
        self.address = address
        self.phase = Phase.HEAD
        self.deadline = 0.0
        self.rest = memoryview(b"")
        self.keep = False
        self.is_new = True


class AcceptLoop:
    """Accepts, waits for whole request heads, and writes what answers are left.

    ``serve(connection, head)`` is called with every whole head, ``reject(status)`` returns
    the answer for a head that is too long (431, or 414 if its first line is) or too late
    (408). Both are called from the loop's thread and must not block.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        *,
        serve: Callable[[Connection, bytes], None],
        reject: Callable[[int], bytes],
        header_timeout: float,
        stall_timeout: float,
    ) -> None:
        self.header_timeout = header_timeout
        self.stall_timeout = stall_timeout
        self.beat = time.monotonic()
        self._serve = serve
        self._reject = reject
        self._listeners = {listener.fileno(): listener for listener in listeners}
        # In the order of waiting, the longest first: dicts keep it.
        self._waiting: dict[int, Connection] = {}
        self._per_address: Counter[str] = Counter()
        self._returned: deque[Connection] = deque()
        self._accepting_again_at = 0.0
        self._swept = time.monotonic()
        self._stopping = False
        self._epoll = select.epoll()
        self._wakeup = Wakeup()
        self._epoll.register(self._wakeup, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="accept", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs; false after start() means that it failed."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        for fd, listener in self._listeners.items():
            listener.setblocking(False)
            self._epoll.register(fd, select.EPOLLIN)
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> bool:
        """Answer who has asked, and close all; return whether the thread ended in time."""
        self._stopping = True
        self._wakeup.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        elif not self._epoll.closed:
            self._close()
        return not self._thread.is_alive()

    def give_back(self, connection: Connection) -> None:
        """Wait for a served connection again: to take the rest of its answer, or to ask."""
        self._returned.append(connection)
        self._wakeup.set()

    def close_returned(self) -> None:
        """Close what was given back after the thread had ended."""
        while self._returned:
            self._returned.popleft().sock.close()

    # The loop's own thread.

    def _run(self) -> None:
        try:
            self._loop()
        except Exception:  # noqa: BLE001  # the thread ends, and main ends the daemon
            _log.exception("the accept loop failed")
        finally:
            self._close()

    def _loop(self) -> None:
        while not self._stopping:
            self._turn(_SWEEP if self._waiting else 1.0)
        for fd in self._listeners:
            self._epoll.unregister(fd)
        self._accepting_again_at = 0.0
        give_up_at = time.monotonic() + _FAREWELL
        while self._has_asked() and time.monotonic() < give_up_at:
            self._turn(0.05)

    def _turn(self, timeout: float) -> None:
        events = self._epoll.poll(timeout)
        self.beat = now = time.monotonic()
        for fd, mask in events:
            self._handle(fd, mask, now)
        while self._returned:
            self._take_back(self._returned.popleft(), now)
        if now - self._swept >= _SWEEP:
            self._swept = now
            self._sweep(now)

    def _has_asked(self) -> bool:
        """Tell whether somebody may still get an answer before the end.

        Not those who were answered and keep the connection: they know that it may close.
        """
        return any(
            each.phase is Phase.WRITE or (each.phase is Phase.HEAD and each.is_new)
            for each in self._waiting.values()
        )

    def _handle(self, fd: int, mask: int, now: float) -> None:
        if fd in self._listeners:
            self._accept(self._listeners[fd], now)
            return
        connection = self._waiting.get(fd)
        if connection is None:
            self._wakeup.clear()
            return
        try:
            if connection.phase is Phase.HEAD:
                self._read_head(connection, mask)
            elif connection.phase is Phase.WRITE:
                self._write(connection, now)
            else:
                self._discard_input(connection)
        except OSError:
            self._drop(connection)  # It is gone; nobody is left to be told.

    def _accept(self, listener: socket.socket, now: float) -> None:
        for _ in range(64):  # Then others get a turn; level-triggered, so none is forgotten.
            try:
                sock, peer = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause_accepting(error, now)
                return
            sock.setblocking(False)
            address = str(peer[0]).partition("%")[0]
            # A dual-stack listener tells an IPv4 address in its IPv6-mapped form.
            self._wait_for_head(Connection(sock, address.removeprefix("::ffff:")), now)

    def _pause_accepting(self, error: OSError, now: float) -> None:
        """Out of descriptors or memory: let the longest waiting go, and take a breath."""
        _log.warning("cannot accept connections: %s; trying again in 1 s", error.strerror)
        if self._waiting:
            self._drop(next(iter(self._waiting.values())))
        for fd in self._listeners:
            self._epoll.modify(fd, 0)
        self._accepting_again_at = now + 1

    def _wait(self, connection: Connection, phase: Phase, events: int, deadline: float) -> None:
        """Put a connection among those waited for, as the newest of them."""
        self._make_room(connection.address)
        connection.phase = phase
        connection.deadline = deadline
        fd = connection.sock.fileno()
        self._waiting[fd] = connection
        self._per_address[connection.address] += 1
        # Registering reports what lies in the socket already.
        self._epoll.register(fd, events | _EDGE)

    def _wait_for_head(self, connection: Connection, now: float) -> None:
        self._wait(connection, Phase.HEAD, select.EPOLLIN, now + self.header_timeout)

    def _make_room(self, address: str) -> None:
        waiting = self._waiting.values()
        if self._per_address[address] >= _MAX_WAITING_PER_ADDRESS:
            self._drop(next(each for each in waiting if each.address == address))
        elif len(self._waiting) >= _MAX_WAITING:
            most, _ = self._per_address.most_common(1)[0]
            self._drop(next(each for each in waiting if each.address == most))

    def _remove(self, connection: Connection) -> None:
        fd = connection.sock.fileno()
        del self._waiting[fd]
        self._epoll.unregister(fd)
        self._per_address[connection.address] -= 1
        if not self._per_address[connection.address]:
            del self._per_address[connection.address]

    def _drop(self, connection: Connection) -> None:
        self._remove(connection)
        connection.sock.close()

    def _read_head(self, connection: Connection, mask: int) -> None:
        """Serve the connection once its whole request head can be read without waiting."""
        try:
            seen = connection.sock.recv(MAX_HEAD, socket.MSG_PEEK)
        except BlockingIOError:
            return
        end = _HEAD_END.search(seen)
        if end:
            self._remove(connection)
            connection.is_new = False
            self._serve(connection, connection.sock.recv(end.end()))
        elif len(seen) >= MAX_HEAD:
            self._answer_and_close(connection, 431 if b"\n" in seen else 414)
        elif not seen or mask & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
            self._drop(connection)

    def _answer_and_close(self, connection: Connection, status: int) -> None:
        self._remove(connection)
        connection.rest = memoryview(self._reject(status))
        connection.keep = False
        self._take_back(connection, time.monotonic())

    def _take_back(self, connection: Connection, now: float) -> None:
        if connection.rest:
            self._wait(connection, Phase.WRITE, select.EPOLLOUT, now + self.stall_timeout)
        elif connection.keep:
            self._wait_for_head(connection, now)
        else:
            self._linger(connection, now)

    def _write(self, connection: Connection, now: float) -> None:
        try:
            count = connection.sock.send(connection.rest)
        except BlockingIOError:
            return
        connection.rest = connection.rest[count:]
        connection.deadline = now + self.stall_timeout
        if not connection.rest:
            self._remove(connection)
            self._take_back(connection, now)

    def _linger(self, connection: Connection, now: float) -> None:
        """Close in a way that the answer arrives.

        Closing while unread input lies in the socket makes the kernel send a reset, which
        can overtake the answer; so the input is read away until the client closes too.
        """
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            connection.sock.close()
            return
        self._wait(connection, Phase.LINGER, select.EPOLLIN, now + _LINGER)

    def _discard_input(self, connection: Connection) -> None:
        for _ in range(64):
            try:
                if not connection.sock.recv(64 * 1024):
                    self._drop(connection)
                    return
            except BlockingIOError:
                return
        self._drop(connection)  # It keeps sending what nobody asked for.

    def _sweep(self, now: float) -> None:
        if self._accepting_again_at and now >= self._accepting_again_at:
            self._accepting_again_at = 0.0
            for fd in self._listeners:
                self._epoll.modify(fd, select.EPOLLIN)
        for connection in [each for each in self._waiting.values() if now > each.deadline]:
            if connection.phase is Phase.HEAD and self._has_begun(connection):
                self._answer_and_close(connection, 408)
            else:
                self._drop(connection)

    @staticmethod
    def _has_begun(connection: Connection) -> bool:
        try:
            return bool(connection.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def _close(self) -> None:
        self._stopping = True
        for connection in self._waiting.values():
            connection.sock.close()
        self._waiting.clear()
        self.close_returned()
        for listener in self._listeners.values():
            listener.close()
        self._epoll.close()
        self._wakeup.close()
