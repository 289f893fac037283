"""Server: the accept loop in front, a small pool of handler threads behind it.

The accept loop hands over every whole request head; a thread of the pool lets a Handler
answer it, sends what the client takes at once, and gives the connection back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from socket import socket
from typing import Any

from doorbelld.accept import AcceptLoop, Connection
from doorbelld.assets import Asset
from doorbelld.broadcast import Broadcaster
from doorbelld.handler import Handler

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
        camera_status: Callable[[], dict[str, Any]],
        assets: Mapping[str, Asset],
        max_requests: int,
        header_timeout: float,
        stall_timeout: float,
    ) -> None:
        self.broadcaster = broadcaster
        self.camera_status = camera_status
        self.assets = assets
        self.started_at = time.monotonic()
        self._max_requests = max_requests
        self._pool = _pool(max_requests)
        self._pool_lock = threading.Lock()
        self._loop = AcceptLoop(
            listeners,
            serve=self._serve,
            reject=_rejection,
            header_timeout=header_timeout,
            stall_timeout=stall_timeout,
        )

    @property
    def beat(self) -> float:
        """The time.monotonic() of the accept loop's last turn, for the watchdog."""
        return self._loop.beat

    @property
    def alive(self) -> bool:
        """Whether the accept loop runs."""
        return self._loop.alive

    def start(self) -> None:
        """Start to accept and to answer."""
        self._loop.start()

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
            self._max_requests = max_requests
            with self._pool_lock:
                self._pool, old = _pool(max_requests), self._pool
            old.shutdown(wait=False)

    def limits(self) -> dict[str, Any]:
        """Return the limits in force, for ``/status``."""
        return {
            "max_viewers": self.broadcaster.max_viewers,
            "max_requests": self._max_requests,
            "header_timeout": self._loop.header_timeout,
            "stall_timeout": self._loop.stall_timeout,
        }

    def _serve(self, connection: Connection, head: bytes) -> None:
        with self._pool_lock:  # One that is shut down meanwhile takes nothing more.
            self._pool.submit(self._answer, connection, head)

    def _answer(self, connection: Connection, head: bytes) -> None:
        """Handle one request, and give the connection back to the accept loop."""
        try:
            handler = Handler(head, connection, self)
            if handler.handed_over:
                return
            answer, connection.keep = handler.answer(), not handler.close_connection
        except Exception:  # noqa: BLE001  # a bug in one answer must not end the others
            _log.exception("%s: a request failed", connection.address)
            answer, connection.keep = _rejection(500), False
        try:
            sent = connection.sock.send(answer)
        except BlockingIOError:
            sent = 0
        except OSError:
            connection.sock.close()  # The client is gone.
            return
        connection.rest = memoryview(answer)[sent:]
        self._loop.give_back(connection)


def _pool(max_requests: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_requests, thread_name_prefix="handler")


def _rejection(status: int) -> bytes:
    """Return a whole answer for a request that no handler has seen."""
    phrase = HTTPStatus(status).phrase
    body = f"{phrase}\n"
    return (
        f"HTTP/1.1 {status} {phrase}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n"
        f"\r\n{body}"
    ).encode("ascii")
