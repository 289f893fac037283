"""Server: the accept loop in front, a small pool of handler threads behind it.

The accept loop hands over every whole request; a thread of the pool lets a Handler
answer it, sends what the client takes at once, and gives the connection back.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from socket import socket
from typing import Any

from doorbelld.access.authenticator import Authenticator
from doorbelld.access.embedding import Embedding
from doorbelld.access.policy import Access
from doorbelld.server import framing
from doorbelld.server.accept import AcceptLoop
from doorbelld.server.connection import Connection
from doorbelld.stream.broadcaster import Broadcaster
from doorbelld.stream.state import CameraStatus
from doorbelld.system.limited_log import OncePerMinute, RefusalLog
from doorbelld.web import gate, headers
from doorbelld.web.assets import Asset
from doorbelld.web.gate import BadRequestError, StrangerError
from doorbelld.web.handler import Handler

_log = logging.getLogger(__name__)


class Server:
    """Answers HTTP on the listeners; ``camera_status`` returns the camera's part of /status.

    The limits may be set anew while it runs.
    """

    def __init__(
        self,
        listeners: Sequence[socket],
        *,
        broadcaster: Broadcaster,
        camera_status: Callable[[], CameraStatus],
        access: Access,
        authenticator: Authenticator,
        embedding: Embedding,
        assets: Mapping[str, Asset],
        max_requests: int,
        header_timeout: float,
        stall_timeout: float,
        tls: ssl.SSLContext | None = None,
        hsts: bool = False,
    ) -> None:
        self.broadcaster = broadcaster
        self.camera_status = camera_status
        self.access = access
        self.authenticator = authenticator
        self.embedding = embedding
        self.assets = assets
        self.refusals = RefusalLog()
        self.hsts = hsts
        self.started_at = time.monotonic()
        self._max_requests = max_requests
        self._pool = _pool(max_requests)
        self._pool_lock = threading.Lock()
        self._few_threads = OncePerMinute()
        self._no_memory = OncePerMinute()
        self._loop = AcceptLoop(
            listeners,
            serve=self._serve,
            reject=_rejection,
            hears=self._hears,
            header_timeout=header_timeout,
            stall_timeout=stall_timeout,
            tls=tls,
        )

    @property
    def tls(self) -> bool:
        """Whether nothing is served but over TLS."""
        return self._loop.tls is not None

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
        self.dismiss_strangers()  # Those of the process before may have come by other rules.
        self._loop.start()

    def listen(self, listener: socket) -> None:
        """Answer on one more listener, while it runs. Raises OSError."""
        self._loop.listen(listener)

    def stop(self, timeout: float = 1.0) -> bool:
        """Stop both; return whether the accept loop ended within ``timeout`` seconds."""
        ended = self._loop.stop(timeout)
        # No handler waits for anything, so those that still run end by themselves.
        self._pool.shutdown(wait=ended)
        self._loop.close_returned()
        return ended

    def set_limits(self, *, max_requests: int, header_timeout: float, stall_timeout: float) -> None:
        """Change the limits; requests under way finish under the old ones."""
        self._loop.header_timeout = header_timeout
        self._loop.stall_timeout = stall_timeout
        if max_requests != self._max_requests:
            self._exchange_pool(max_requests)

    def set_tls(self, context: ssl.SSLContext | None, *, hsts: bool) -> None:
        """Let new connections begin with this; those there are go on as they are."""
        self._loop.tls = context
        self.hsts = hsts

    def welcomes(self, address: str, *, secure: bool, ticket: bytes = b"") -> bool:
        """Return whether a viewer at this address may watch, over TLS or not.

        ``ticket`` is that of the embed URL by which it was opened.
        """
        if ticket and ticket != self.embedding.current_ticket(self.authenticator.password_id):
            return False
        try:
            return self.access.admits(address) and (secure or not self.tls)
        except ValueError:  # The process before has told of it, and it is no address.
            return False

    def dismiss_strangers(self) -> None:
        """End the streams of those who would not be let in now."""
        self.broadcaster.keep_only(
            lambda viewer: self.welcomes(
                viewer.address, secure=viewer.session is not None, ticket=viewer.ticket
            )
        )

    def limits(self) -> dict[str, Any]:
        """Return the limits in force, for ``/status``."""
        return {
            "max_viewers": self.broadcaster.max_viewers,
            "max_requests": self._max_requests,
            "header_timeout": self._loop.header_timeout,
            "stall_timeout": self._loop.stall_timeout,
        }

    def _exchange_pool(self, max_requests: int) -> None:
        pool = _pool(max_requests)
        try:
            _start_first(pool)
        except RuntimeError as error:
            _log.error("max_requests stays at %d: %s", self._max_requests, error)
            return
        self._max_requests = max_requests
        with self._pool_lock:
            self._pool, old = pool, self._pool
        old.shutdown(wait=False)

    def _hears(self, address: str, head: bytes) -> bool:
        """Return whether the client that sends this head may watch."""
        fields = framing.fields(head)
        line = framing.without_empty_line(head).partition(b"\n")[0]
        version = line.strip()[-8:].decode("latin-1")
        try:
            return self.access.admits(gate.client(self.access, fields, version, address))
        except (BadRequestError, StrangerError):  # The answer will say why.
            return False

    def _serve(self, connection: Connection, request: bytes) -> None:
        with self._pool_lock:  # One that is shut down meanwhile takes nothing more.
            try:
                self._pool.submit(self._answer, connection, request)
            except RuntimeError as error:
                # It is in the pool's queue all the same, and at least the first thread is there.
                if self._few_threads.is_due():
                    _log.warning("requests have to wait for each other: %s", error)

    def _answer(self, connection: Connection, request: bytes) -> None:
        """Handle one request, and give the connection back to the accept loop."""
        try:
            handler = Handler(request, connection, self)
            if handler.handed_over:
                return
            answer, keep = handler.answer(), not handler.close_connection
        except MemoryError:
            if self._no_memory.is_due():
                _log.warning("%s: too little memory for an answer", connection.address)
            answer, keep = _rejection(503), False
        except Exception:  # noqa: BLE001  # a bug in one answer must not end the others
            _log.exception("%s: a request failed", connection.address)
            answer, keep = _rejection(500), False
        try:
            connection.answer(answer, keep=keep)
            connection.write()
        except (OSError, MemoryError):
            connection.close()  # The client is gone, or cannot be helped.
            return
        self._loop.give_back(connection)


def _pool(max_requests: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_requests, thread_name_prefix="handler")


def _start_first(pool: ThreadPoolExecutor) -> None:
    """Start one thread of the pool, which stays: however few the system lets us have later.

    Raises RuntimeError if it lets us have none.
    """
    pool.submit(threading.get_ident)


def _rejection(status: int) -> bytes:
    """Return a whole answer for a request that no handler has seen."""
    phrase = HTTPStatus(status).phrase
    body = f"{phrase}\n"
    lines = [f"HTTP/1.1 {status} {phrase}"]
    fields = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        **headers.security(),
        "Connection": "close",
    }
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", body]).encode("ascii")
