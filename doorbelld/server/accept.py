"""AcceptLoop: the one thread in which the daemon waits for clients, so that no other ever does.

A new connection, and a kept-alive one that idles, stays here until its complete request has
arrived in the socket: the head, and the small body of a form. Only then is it handed to a handler
thread, which finds everything it will read. An answer that the client does not take at once comes
back here to be written bit by bit; of a long file, no more than that bit is in memory. So a
thousand clients that drip, stall or say nothing cost no thread and delay no other client.

If too many connections wait, the one that has waited longest is closed, unless its request has
arrived by then. So a client that sends its request in one go, as every browser does, is always
served, and a flood only pushes out its own connections.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from doorbelld.net.names import to_address
from doorbelld.server.connection import Connection, Phase
from doorbelld.server.connections import ConnectionTable
from doorbelld.server.framing import MAX_BODY, MAX_HEAD, Head, head_size, read_head
from doorbelld.server.limits import Limits
from doorbelld.server.turns import Turns
from doorbelld.system.limited_log import OncePerMinute
from doorbelld.system.worker import Worker

if TYPE_CHECKING:
    from doorbelld.server.app import App

_log = logging.getLogger(__name__)

_LINGER = 2.0
"""Seconds a closing connection may take to read its last answer before it is cut."""

_DRAIN = 0.5
"""Seconds at the end for clients that were accepted and have no answer yet. Behind a socket of
systemd's the next daemon serves all others, so a restart turns no client away."""

_SWEEP = 0.25
"""Seconds between searches for connections that are past their deadline. The first search may be a
second late."""

_BATCH = 64
"""Events that are handled before other work gets a turn."""

_EAGER_READS = 32
"""How often an unfinished request is read as soon as more of it arrives. After that it is read only
at each sweep: otherwise a client that sends byte by byte makes us work for every byte."""

_FILES = 1 / 4
"""The part of the thread's time for long files: on a small machine still more than a network takes.
A film may take longer; a picture of now may not."""

_EDGE = select.EPOLLET | select.EPOLLRDHUP
_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class AcceptLoop(Worker):
    """Accepts, waits for complete requests, and writes the rest of long answers.

    ``serve(connection, head, body)`` is called with every complete request, and must not block. Nor
    must what is asked of the ``app``. ``write_on(connection)`` is called with a connection whose
    file has to be read from the disk, and must not block either: another thread waits for the disk,
    writes, and gives the connection back.

    With TLS every new connection may begin a session. Its handshake is done here, of all threads:
    so a flood of handshakes keeps at most one processor busy, and it is not the one that serves
    viewers. Clients that need no handshake are served first, and handshakes take at most half of
    the thread's time. Long files get less: they take the interpreter from those who send pictures.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        app: App,
        serve: Callable[[Connection, Head, bytes], None],
        write_on: Callable[[Connection], None],
        limits: Limits,
    ) -> None:
        super().__init__("accept")
        self._epoll = select.epoll()
        self._epoll.register(self._wakeup, select.EPOLLIN)
        self.limits = limits
        self._app = app
        self._serve = serve
        self._write_on = write_on
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._table = ConnectionTable()
        self._handshakes = Turns()
        self._files = Turns(_FILES)
        self._paused: list[Connection] = []
        self._returned: deque[Connection] = deque()
        self._accepting_again_at = 0.0
        self._shortage = OncePerMinute()
        self._swept = time.monotonic()
        # Held while the table is changed: by the loop's thread whenever it does not sleep.
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the thread."""
        for fd, listener in self._listeners.items():
            listener.setblocking(False)
            self._epoll.register(fd, select.EPOLLIN)
        super().start()

    def listen(self, listener: socket.socket) -> None:
        """Accept on one more listener while the loop runs. Raises OSError."""
        listener.setblocking(False)
        # In this order, and in a new dict: the loop's thread iterates over it.
        self._epoll.register(listener.fileno(), select.EPOLLIN)
        self._listeners = {**self._listeners, listener.fileno(): listener}

    def give_back(self, connection: Connection) -> None:
        """Wait for an answered connection again: for room to write, or its next request.

        The loop's thread usually sleeps at that moment. Then it is not woken, which would cost more
        than all the rest; the epoll it sleeps in also reports what is registered during the wait.
        """
        if self._lock.acquire(blocking=False):
            try:
                if not self._stopping:
                    self._take_back(connection, time.monotonic())
                    return
            except Exception:  # noqa: BLE001  # a bug here may have left the table half changed
                _log.exception("%s: cannot wait for this connection", connection.address)
                self._stopping = True  # As in the loop's own thread: it ends, and main sees that.
            finally:
                self._lock.release()
        self._returned.append(connection)
        self._wakeup.set()

    def close_returned(self) -> None:
        """Close what was given back after the thread had ended."""
        while self._returned:
            self._returned.popleft().close()

    # The loop's own thread, or one that holds the lock.

    def _loop(self) -> None:
        while not self._stopping:
            self._run_once(_SWEEP if self._table else 1.0)
        with self._lock:
            for fd in self._listeners:
                self._epoll.unregister(fd)
            self._accepting_again_at = 0.0
        give_up_at = time.monotonic() + _DRAIN
        while self._has_open_requests() and time.monotonic() < give_up_at:
            self._run_once(0.05)

    def _run_once(self, timeout: float) -> None:
        timeout = self._files.timeout(self._handshakes.timeout(timeout))
        events = self._epoll.poll(timeout, _BATCH)
        self.beat = now = time.monotonic()
        with self._lock:
            self._handle_all(events, now)

    def _handle_all(self, events: list[tuple[int, int]], now: float) -> None:
        # Listeners last: a new connection may get the descriptor of one that was just closed, and
        # an older event in this list must not be taken for an event of the new one.
        for fd, mask in sorted(events, key=lambda event: event[0] in self._listeners):
            self._handle(fd, mask, now)
        while self._returned:
            self._take_back(self._returned.popleft(), now)
        for connection in self._handshakes.due():
            self._advance(connection, 0, time.monotonic(), has_turn=True)
        for connection in self._files.due():
            self._advance(connection, 0, time.monotonic(), has_turn=True)
        if now - self._swept >= _SWEEP:
            self._swept = now
            self._sweep(now)

    def _has_open_requests(self) -> bool:
        """Return whether a client may still get an answer before the end.

        Clients that were answered and keep the connection do not count: they know that it may
        close at any time.
        """
        with self._lock:  # The last connection to be given back may be on its way into the table.
            return any(
                each.phase is Phase.WRITE or (each.phase is Phase.REQUEST and each.is_new)
                for each in self._table
            )

    def _handle(self, fd: int, mask: int, now: float) -> None:
        if fd in self._listeners:
            self._accept(self._listeners[fd], now)
            return
        connection = self._table.get(fd)
        if connection is None:
            self._wakeup.clear()
        else:
            self._advance(connection, mask, now)

    def _advance(
        self, connection: Connection, mask: int, now: float, *, has_turn: bool = False
    ) -> None:
        try:
            if connection.phase is Phase.REQUEST:
                if connection.wants_handshake(self._app.tls) and not has_turn:
                    self._handshakes.add(connection)
                else:
                    self._read_request(connection, mask)
            elif connection.phase is Phase.WRITE:
                if connection.file is not None and not has_turn:
                    self._files.add(connection)
                else:
                    self._write(connection, now)
            elif connection.discard_input():
                self._drop(connection)
        except (OSError, MemoryError):  # The client is gone, or cannot be helped.
            if self._is_waiting(connection):
                self._drop(connection)
            else:
                connection.close()

    def _accept(self, listener: socket.socket, now: float) -> None:
        for _ in range(_BATCH):  # Level-triggered, so what is left is reported again.
            try:
                sock, peer = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause_accepting(error, now)
                if self._table:
                    self._evict(next(iter(self._table)))
                return
            sock.setblocking(False)
            # A dual-stack listener reports an IPv4 client as an IPv4-mapped IPv6 address.
            address = str(to_address(peer[0]))
            self._wait_for_request(Connection(sock, address), now)
            if self._accepting_again_at:
                return

    def _pause_accepting(self, error: OSError, now: float) -> None:
        """Wait a second: the system is out of descriptors, memory or epoll watches."""
        if self._stopping:
            return
        if self._shortage.is_due():
            _log.warning("cannot accept connections: %s; trying every second", error.strerror)
        for fd in self._listeners:
            self._epoll.modify(fd, 0)
        self._accepting_again_at = now + 1

    def _wait(self, connection: Connection, phase: Phase, events: int, deadline: float) -> None:
        """Add a connection to the table, as the newest."""
        while oldest := self._table.eviction_candidate(connection):
            self._evict(oldest)
        connection.phase = phase
        connection.deadline = deadline
        try:
            # Registering reports what has already arrived in the socket.
            self._epoll.register(connection.sock, events | _EDGE)
        except OSError as error:
            connection.close()
            self._pause_accepting(error, time.monotonic())
            return
        self._table.add(connection)

    def _wait_for_request(self, connection: Connection, now: float) -> None:
        self._wait(connection, Phase.REQUEST, select.EPOLLIN, now + self.limits.header_timeout)

    def _evict(self, connection: Connection) -> None:
        """Close one to make room, unless its request is complete and only its turn had not come."""
        phase = connection.phase
        if phase is Phase.REQUEST:
            self._advance(connection, 0, time.monotonic())
        if self._is_waiting(connection) and connection.phase is phase:
            self._drop(connection)

    def _is_waiting(self, connection: Connection) -> bool:
        return self._table.get(connection.sock.fileno()) is connection

    def _remove(self, connection: Connection) -> None:
        self._table.remove(connection)
        self._handshakes.discard(connection)
        self._files.discard(connection)
        self._epoll.unregister(connection.sock)

    def _drop(self, connection: Connection) -> None:
        self._remove(connection)
        connection.close()

    def _read_request(self, connection: Connection, mask: int) -> None:
        """Serve the connection once its complete request can be read without waiting."""
        connection.reads += 1
        try:
            seen = connection.peek(MAX_HEAD + MAX_BODY)
        except BlockingIOError:
            self._wait_for_more(connection)
            return
        size = connection.size = connection.size or self._size(connection, seen)
        if not size and len(seen) >= MAX_HEAD:
            self._reject(connection, 431 if b"\n" in seen[:MAX_HEAD] else 414)
        elif connection.head is not None and size <= len(seen):
            head, request = connection.head, connection.take(size)
            self._remove(connection)
            connection.is_new = False
            self._serve(connection, head, request[head.size :])
        elif connection.ended or not seen or mask & _GONE:
            self._drop(connection)
        else:
            self._wait_for_more(connection)

    def _size(self, connection: Connection, seen: bytes) -> int:
        """Return the length of the request that is coming; 0 while its head is not complete."""
        size = head_size(seen, connection.searched)
        connection.searched = len(seen)
        if not size:
            return 0
        head = connection.head = read_head(seen[:size])
        if head.body_size and self._app.may_send_body(head, connection.address):
            size += head.body_size
        return size

    def _wait_for_more(self, connection: Connection) -> None:
        """Ignore a request that comes in too many pieces until the next sweep."""
        if connection.reads >= _EAGER_READS:
            self._epoll.modify(connection.sock, select.EPOLLET)
            self._paused.append(connection)

    def _reject(self, connection: Connection, status: int) -> None:
        self._remove(connection)
        try:
            connection.answer(self._app.reject(status).encode(close=True), keep=False)
        except OSError:
            connection.close()  # Its TLS has failed.
            return
        self._take_back(connection, time.monotonic())

    def _take_back(self, connection: Connection, now: float) -> None:
        if not connection.is_answered:
            self._wait(connection, Phase.WRITE, select.EPOLLOUT, now + self.limits.stall_timeout)
        elif connection.keep:
            self._wait_for_request(connection, now)
            if connection.secure and self._is_waiting(connection):
                # epoll does not report what the TLS session has already decrypted.
                self._advance(connection, 0, now)
        else:
            self._linger(connection, now)

    def _write(self, connection: Connection, now: float) -> None:
        try:
            has_written = connection.write()
        except BlockingIOError:  # It is not the client's fault, so it has all of its time again.
            self._remove(connection)
            self._write_on(connection)
            return
        if has_written:
            connection.deadline = now + self.limits.stall_timeout
        if connection.is_answered:
            self._remove(connection)
            self._take_back(connection, now)
        elif not connection.rest:  # Its turn is over: this reports whether the client takes more.
            self._epoll.modify(connection.sock, select.EPOLLOUT | _EDGE)

    def _linger(self, connection: Connection, now: float) -> None:
        """Close in a way that the answer arrives.

        Closing a socket with unread input makes the kernel send a reset, which can overtake the
        answer. So the input is read and dropped until the client closes too.
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
                # This reports what has arrived in the meantime.
                self._epoll.modify(connection.sock, select.EPOLLIN | _EDGE)
        for connection in [each for each in self._table if now > each.deadline]:
            if not self._is_waiting(connection):  # It was evicted for one before it.
                continue
            if connection.phase is Phase.REQUEST and connection.has_begun():
                self._reject(connection, 408)
            else:
                connection.discard_input()  # Or a reset would overtake the previous answer.
                self._drop(connection)

    def _close(self) -> None:
        with self._lock:
            for connection in self._table:
                connection.close()
            self._table.clear()
        self.close_returned()
        for listener in self._listeners.values():
            listener.close()
        self._epoll.close()
        super()._close()
