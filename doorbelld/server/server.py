"""Server: the accept loop in front, and a small pool of handler threads behind it.

The accept loop hands over every complete request. A thread of the pool lets the app answer it,
sends what the client takes at once, and gives the connection back. The accept loop also hands over
a connection whose next bytes must be read from a slow disk, as it may not wait for that itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from socket import socket
from typing import TYPE_CHECKING, NamedTuple

from doorbelld.server import request
from doorbelld.server.accept import AcceptLoop
from doorbelld.server.connection import Connection
from doorbelld.server.filebody import FileBody
from doorbelld.server.framing import Head
from doorbelld.server.limits import Limits
from doorbelld.server.request import RequestError
from doorbelld.system.limited_log import OncePerMinute

if TYPE_CHECKING:
    from doorbelld.server.app import App

_log = logging.getLogger(__name__)


class _Answer(NamedTuple):
    """What to send: bytes, then a file if there is one; ``keep`` to keep the connection."""

    data: bytes
    keep: bool = False
    file: FileBody | None = None


class Server:
    """Serves ``app`` on the listeners."""

    def __init__(self, listeners: Sequence[socket], app: App, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._pool = _pool(limits)
        self._pool_lock = threading.Lock()
        self._few_threads = OncePerMinute()
        self._no_memory = OncePerMinute()
        self._loop = AcceptLoop(listeners, app, self._serve, self._write_on, limits)

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return self._limits

    @property
    def beat(self) -> float:
        """The time.monotonic() of the accept loop's last turn, for the watchdog."""
        return self._loop.beat

    @property
    def alive(self) -> bool:
        """Whether the accept loop runs."""
        return self._loop.alive

    def start(self) -> None:
        """Start to accept and to answer. Raises RuntimeError if there is no thread for it."""
        _start_first(self._pool)
        self._loop.start()

    def listen(self, listener: socket) -> None:
        """Serve on one more listener while it runs. Raises OSError."""
        self._loop.listen(listener)

    def stop(self, timeout: float = 1.0) -> bool:
        """Stop both; return whether the accept loop ended within ``timeout`` seconds."""
        ended = self._loop.stop(timeout)
        # No handler waits for a client, so those that still run end by themselves.
        self._pool.shutdown(wait=ended)
        self._loop.close_returned()
        return ended

    def set_limits(self, limits: Limits) -> None:
        """Change the limits; requests in progress finish under the old ones."""
        if limits.max_requests != self._limits.max_requests:
            limits = self._with_new_pool(limits)
        self._limits = self._loop.limits = limits

    def _with_new_pool(self, limits: Limits) -> Limits:
        """Return the limits with the size of the pool that there is after this."""
        pool = _pool(limits)
        try:
            _start_first(pool)
        except RuntimeError as error:
            size = self._limits.max_requests
            _log.error("max_requests stays at %d: %s", size, error)
            return limits._replace(max_requests=size)
        with self._pool_lock:
            self._pool, old = pool, self._pool
        old.shutdown(wait=False)
        return limits

    def _serve(self, connection: Connection, head: Head, body: bytes) -> None:
        self._submit(partial(self._answer, connection, head, body))

    def _write_on(self, connection: Connection) -> None:
        self._submit(partial(self._write, connection))

    def _submit(self, work: Callable[[], None]) -> None:
        with self._pool_lock:  # A pool that was shut down accepts nothing more.
            try:
                self._pool.submit(work)
            except RuntimeError as error:
                # It is in the pool's queue all the same, and the first thread is always there.
                if self._few_threads.is_due():
                    _log.warning("requests have to wait for each other: %s", error)

    def _answer(self, connection: Connection, head: Head, body: bytes) -> None:
        """Answer one request, and give the connection back to the accept loop."""
        try:
            answer = self._respond(connection, head, body)
        except MemoryError:
            if self._no_memory.is_due():
                _log.warning("%s: too little memory for an answer", connection.address)
            answer = self._rejection(503)
        except Exception:  # noqa: BLE001  # a bug in one answer must not end the others
            _log.exception("%s: a request failed", connection.address)
            answer = self._rejection(500)
        if answer is None:
            return
        try:
            connection.answer(answer.data, keep=answer.keep, file=answer.file)
        except (OSError, MemoryError):
            connection.close()  # The client is gone, or cannot be helped.
            return
        self._write(connection)

    def _write(self, connection: Connection) -> None:
        """Send what the client takes at once, and give the connection back."""
        try:
            connection.write(may_wait=True)
        except (OSError, MemoryError):
            connection.close()
            return
        self._loop.give_back(connection)

    def _respond(self, connection: Connection, head: Head, body: bytes) -> _Answer | None:
        """Return the answer to send; None if the connection is taken over."""
        peer, secure = connection.address, connection.secure
        try:
            asked = request.read(head, body, peer, secure=secure)
        except RequestError as error:
            response = self._app.refuse(error, peer, secure=secure)
            return _Answer(response.encode(close=True, without_body=error.method == "HEAD"))
        response = self._app(asked)
        if response.take_over is not None and response.otherwise is not None:
            first = response.encode(close=True)
            if response.take_over(connection.sock, first, connection.session):
                return None
            response = response.otherwise
        keep = asked.keep_alive and not response.close
        is_head, file = asked.method == "HEAD", response.file
        if file is not None and is_head:
            file.close()
            file = None
        return _Answer(response.encode(close=not keep, without_body=is_head), keep, file)

    def _rejection(self, status: int) -> _Answer:
        return _Answer(self._app.reject(status).encode(close=True))


def _pool(limits: Limits) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(limits.max_requests, thread_name_prefix="handler")


def _start_first(pool: ThreadPoolExecutor) -> None:
    """Start one thread of the pool, which stays even if the system allows no more later.

    Raises RuntimeError if the system allows none.
    """
    pool.submit(threading.get_ident)
