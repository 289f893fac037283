"""AcceptLoop: the one thread in which clients are waited for, so that no other ever waits.

A new connection, and a kept-alive one that idles, stays here until its whole request lies
in the socket: the head, and the small body of a form. Only then is it handed to a handler
thread, which finds everything it will read. An answer the client does not take at once comes
back here to be written bit by bit. So a thousand clients that drip, stall or say nothing cost
no thread and delay nobody.

Where too many wait, the one that has waited longest makes room, unless its request has come by
then: who sends a request in one go, as every browser does, is always served, and a flood only
pushes out itself.
"""

from __future__ import annotations

import logging
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence

from doorbelld.net.names import to_address
from doorbelld.server.connection import Connection, Phase
from doorbelld.server.connections import Waiting
from doorbelld.server.framing import MAX_BODY, MAX_HEAD, body_size, head_size
from doorbelld.server.handshakes import Handshakes
from doorbelld.system.limited_log import OncePerMinute
from doorbelld.system.worker import Worker

_log = logging.getLogger(__name__)

_LINGER = 2.0
"""Seconds a closing connection may take to read its last answer before it is cut."""

_FAREWELL = 0.5
"""Seconds at the end for those who were accepted and have not been answered: behind a socket
of systemd's the next daemon serves all others, and so nobody is turned away by a restart."""

_SWEEP = 0.25
"""Seconds between looks for connections that are past their deadline."""

_BATCH = 64
"""Clients that are looked at before others get a turn."""

_EAGER_LOOKS = 32
"""How often an unfinished request is looked at as soon as more of it comes. After that only with
each sweep: else a client that sends byte by byte makes us work for every byte."""

_EDGE = select.EPOLLET | select.EPOLLRDHUP
_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class AcceptLoop(Worker):
    """Accepts, waits for whole requests, and writes what answers are left.

    ``serve(connection, request)`` is called with every whole request, ``reject(status)``
    returns the answer for one whose head is too long (431, or 414 if its first line is) or
    that is too late (408). ``hears(address, head)`` tells whether to wait for the body of a form,
    too. All are called from the loop's thread and must not block.

    With ``tls`` every new connection may begin a session. Its handshake is done here, of all
    threads: one processor at most is then busy with a flood of them, and it is not the one
    that serves viewers. Clients that need no handshake are served first, and handshakes take
    half of the thread's time at most.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        *,
        serve: Callable[[Connection, bytes], None],
        reject: Callable[[int], bytes],
        hears: Callable[[str, bytes], bool],
        header_timeout: float,
        stall_timeout: float,
        tls: ssl.SSLContext | None,
    ) -> None:
        super().__init__("accept")
        self._epoll = select.epoll()
        self._epoll.register(self._wakeup, select.EPOLLIN)
        self.header_timeout = header_timeout
        self.stall_timeout = stall_timeout
        self.tls = tls
        self._serve = serve
        self._reject = reject
        self._hears = hears
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._waiting = Waiting()
        self._handshakes = Handshakes()
        self._paused: list[Connection] = []
        self._returned: deque[Connection] = deque()
        self._accepting_again_at = 0.0
        self._shortage = OncePerMinute()
        self._swept = time.monotonic()

    def start(self) -> None:
        """Start the thread."""
        for fd, listener in self._listeners.items():
            listener.setblocking(False)
            self._epoll.register(fd, select.EPOLLIN)
        super().start()

    def listen(self, listener: socket.socket) -> None:
        """Accept on one more listener, while the loop runs. Raises OSError."""
        listener.setblocking(False)
        # In this order, and in a new dict: the loop's thread looks at all that are in it.
        self._epoll.register(listener.fileno(), select.EPOLLIN)
        self._listeners = {**self._listeners, listener.fileno(): listener}

    def give_back(self, connection: Connection) -> None:
        """Wait for a served connection again: to take the rest of its answer, or to ask."""
        self._returned.append(connection)
        self._wakeup.set()

    def close_returned(self) -> None:
        """Close what was given back after the thread had ended."""
        while self._returned:
            self._returned.popleft().close()

    # The loop's own thread.

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
        events = self._epoll.poll(self._handshakes.timeout(timeout), _BATCH)
        self.beat = now = time.monotonic()
        # Newcomers last: they may get the numbers of those who make room for them, and must not
        # be taken for them by an event that lies here already.
        for fd, mask in sorted(events, key=lambda event: event[0] in self._listeners):
            self._handle(fd, mask, now)
        while self._returned:
            self._take_back(self._returned.popleft(), now)
        for connection in self._handshakes.turn():
            self._look(connection, 0, time.monotonic(), may_shake_hands=True)
        if now - self._swept >= _SWEEP:
            self._swept = now
            self._sweep(now)

    def _has_asked(self) -> bool:
        """Tell whether somebody may still get an answer before the end.

        Not those who were answered and keep the connection: they know that it may close.
        """
        return any(
            each.phase is Phase.WRITE or (each.phase is Phase.REQUEST and each.is_new)
            for each in self._waiting
        )

    def _handle(self, fd: int, mask: int, now: float) -> None:
        if fd in self._listeners:
            self._accept(self._listeners[fd], now)
            return
        connection = self._waiting.get(fd)
        if connection is None:
            self._wakeup.clear()
        else:
            self._look(connection, mask, now)

    def _look(
        self, connection: Connection, mask: int, now: float, *, may_shake_hands: bool = False
    ) -> None:
        try:
            if connection.phase is Phase.REQUEST:
                if connection.wants_handshake(self.tls) and not may_shake_hands:
                    self._handshakes.add(connection)
                else:
                    self._read_request(connection, mask)
            elif connection.phase is Phase.WRITE:
                self._write(connection, now)
            elif connection.discard_input():
                self._drop(connection)
        except (OSError, MemoryError):  # It is gone, or cannot be helped.
            if self._is_waiting(connection):
                self._drop(connection)
            else:
                connection.close()

    def _accept(self, listener: socket.socket, now: float) -> None:
        for _ in range(_BATCH):  # Level-triggered, so none is forgotten.
            try:
                sock, peer = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause_accepting(error, now)
                if self._waiting:
                    self._make_room(next(iter(self._waiting)))
                return
            sock.setblocking(False)
            # A dual-stack listener tells an IPv4 address in its IPv6-mapped form.
            address = str(to_address(peer[0]))
            self._wait_for_request(Connection(sock, address), now)
            if self._accepting_again_at:
                return

    def _pause_accepting(self, error: OSError, now: float) -> None:
        """Take a breath: the system is out of descriptors, of memory, or of epoll's watches."""
        if self._stopping:
            return
        if self._shortage.is_due():
            _log.warning("cannot accept connections: %s; trying every second", error.strerror)
        for fd in self._listeners:
            self._epoll.modify(fd, 0)
        self._accepting_again_at = now + 1

    def _wait(self, connection: Connection, phase: Phase, events: int, deadline: float) -> None:
        """Put a connection among those waited for, as the newest of them."""
        while obstacle := self._waiting.in_the_way_of(connection):
            self._make_room(obstacle)
        connection.phase = phase
        connection.deadline = deadline
        try:
            # Registering reports what lies in the socket already.
            self._epoll.register(connection.sock, events | _EDGE)
        except OSError as error:
            connection.sock.close()
            self._pause_accepting(error, time.monotonic())
            return
        self._waiting.add(connection)

    def _wait_for_request(self, connection: Connection, now: float) -> None:
        self._wait(connection, Phase.REQUEST, select.EPOLLIN, now + self.header_timeout)

    def _make_room(self, connection: Connection) -> None:
        """Drop one, after a last look: its request may have come whole, and its turn had not."""
        phase = connection.phase
        if phase is Phase.REQUEST:
            self._look(connection, 0, time.monotonic())
        if self._is_waiting(connection) and connection.phase is phase:
            self._drop(connection)

    def _is_waiting(self, connection: Connection) -> bool:
        return self._waiting.get(connection.sock.fileno()) is connection

    def _remove(self, connection: Connection) -> None:
        self._waiting.remove(connection)
        self._handshakes.discard(connection)
        self._epoll.unregister(connection.sock)

    def _drop(self, connection: Connection) -> None:
        self._remove(connection)
        connection.close()

    def _read_request(self, connection: Connection, mask: int) -> None:
        """Serve the connection once its whole request can be read without waiting."""
        connection.looks += 1
        try:
            seen = connection.peek(MAX_HEAD + MAX_BODY)
        except BlockingIOError:
            self._wait_for_more(connection)
            return
        size = connection.size = connection.size or self._size(connection, seen)
        if not size and len(seen) >= MAX_HEAD:
            self._answer_and_close(connection, 431 if b"\n" in seen[:MAX_HEAD] else 414)
        elif 0 < size <= len(seen):
            request = connection.take(size)
            self._remove(connection)
            connection.is_new = False
            self._serve(connection, request)
        elif connection.ended or not seen or mask & _GONE:
            self._drop(connection)
        else:
            self._wait_for_more(connection)

    def _size(self, connection: Connection, seen: bytes) -> int:
        """Return the length of the request that is coming; 0 while its head is not whole."""
        size = head_size(seen, connection.searched)
        connection.searched = len(seen)
        body = body_size(seen[:size]) if size else 0
        return size + body if body and self._hears(connection.address, seen[:size]) else size

    def _wait_for_more(self, connection: Connection) -> None:
        """Stay deaf to a request that comes in too many pieces, until the next sweep."""
        if connection.looks >= _EAGER_LOOKS:
            self._epoll.modify(connection.sock, select.EPOLLET)
            self._paused.append(connection)

    def _answer_and_close(self, connection: Connection, status: int) -> None:
        self._remove(connection)
        try:
            connection.answer(self._reject(status), keep=False)
        except OSError:
            connection.close()  # Its TLS has failed.
            return
        self._take_back(connection, time.monotonic())

    def _take_back(self, connection: Connection, now: float) -> None:
        if connection.rest:
            self._wait(connection, Phase.WRITE, select.EPOLLOUT, now + self.stall_timeout)
        elif connection.keep:
            self._wait_for_request(connection, now)
            if connection.secure and self._is_waiting(connection):
                # What its session holds already the kernel does not tell.
                self._look(connection, 0, now)
        else:
            self._linger(connection, now)

    def _write(self, connection: Connection, now: float) -> None:
        if not connection.write():
            return
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
            connection.close()
            return
        self._wait(connection, Phase.LINGER, select.EPOLLIN, now + _LINGER)

    def _sweep(self, now: float) -> None:
        if self._accepting_again_at and now >= self._accepting_again_at:
            self._accepting_again_at = 0.0
            for fd in self._listeners:
                self._epoll.modify(fd, select.EPOLLIN)
        paused, self._paused = self._paused, []
        for connection in paused:
            if self._is_waiting(connection) and connection.phase is Phase.REQUEST:
                # This reports what has come meanwhile.
                self._epoll.modify(connection.sock, select.EPOLLIN | _EDGE)
        for connection in [each for each in self._waiting if now > each.deadline]:
            if not self._is_waiting(connection):  # It has made room for one before it.
                continue
            if connection.phase is Phase.REQUEST and connection.has_begun():
                self._answer_and_close(connection, 408)
            else:
                connection.discard_input()  # Or it would be reset, and lose the answer before.
                self._drop(connection)

    def _close(self) -> None:
        for connection in self._waiting:
            connection.close()
        self._waiting.clear()
        self.close_returned()
        for listener in self._listeners.values():
            listener.close()
        self._epoll.close()
        super()._close()
