"""RawCamera: a network camera that sends any bytes, however wrong or many."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from tests.support.daemon import GUARD


class Asked(NamedTuple):
    """A request: its path and its header lines, as they came."""

    path: str
    head: str

    def header(self, name: str) -> str:
        found = re.search(rf"(?im)^{name}: (.*?)\r?$", self.head)
        return found[1] if found else ""


Script = Callable[[Asked], Iterable[bytes]]
"""What is sent as the answer to a request; the connection then ends."""


def answer(body: bytes, kind: str = "image/jpeg", status: str = "200 OK", more: str = "") -> bytes:
    """Return a whole answer; with no ``kind`` it has no Content-Type."""
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\n{more}"
    head += f"Content-Type: {kind}\r\n" if kind else ""
    return f"{head}\r\n".encode() + body


class RawCamera:
    """Serves one request per connection, with what its script yields.

    ``asked`` are the requests that came. ``secure`` is a server's TLS context.
    """

    def __init__(self, script: Script, secure: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self._script = script
        self._secure = secure
        self._server = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._open: set[socket.socket] = set()
        self._ended = False

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.getsockname()[1]}"

    @property
    def connections(self) -> int:
        """How many connections there have been, open ones included."""
        return len(self._threads) - 1

    def become(self, script: Script) -> None:
        """Serve something else from now on."""
        self._script = script

    def __enter__(self) -> RawCamera:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        for sock in (self._server, *self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            self._open.add(sock)
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        sock = plain
        with suppress(OSError):
            sock.settimeout(GUARD)
            if self._secure:
                sock = self._secure.wrap_socket(sock, server_side=True)
                self._open.add(sock)
            asked = self._read(sock)
            for data in self._script(asked) if asked else ():
                if self._ended:
                    break
                sock.sendall(data)
        self._open.discard(plain)
        self._open.discard(sock)
        plain.close()
        sock.close()

    def _read(self, sock: socket.socket) -> Asked | None:
        """Return the request, None if none comes."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            data = sock.recv(1)
            if not data:
                return None
            head += data
        asked = Asked(head.split(b" ")[1].decode("latin-1"), head.decode("latin-1"))
        self.asked.append(asked)
        return asked
