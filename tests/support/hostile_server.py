"""HostileServer: answers a request with any bytes at all, at any pace, or never."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

from typing_extensions import Self

Script = Callable[[socket.socket, threading.Event], None]


class HostileServer:
    """Runs ``script`` on each connection, until it is left; then ``script`` gets its event.

    With ``tls`` the handshake comes first. ``connections`` counts, ``place`` is its host and port.
    """

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self._is_over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._acceptor = threading.Thread(target=self._accept)
        self.connections = 0
        self.place = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                self._sockets.append(sock)
                self._threads.append(threading.Thread(target=self._serve, args=(sock,)))
                self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError), sock:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            with sock:
                self._script(sock, self._is_over)


def read_head(sock: socket.socket) -> bytes:
    """Return the head of a request, and what came with it."""
    found = b""
    while b"\r\n\r\n" not in found:
        piece = sock.recv(65536)
        if not piece:
            break
        found += piece
    return found


def after_head(answer: bytes) -> Script:
    """Return a script that answers so, whatever was asked."""

    def script(sock: socket.socket, _: threading.Event) -> None:
        read_head(sock)
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass

    return script


def never(_: socket.socket, is_over: threading.Event) -> None:
    """Read nothing and answer nothing."""
    is_over.wait()


def slowly(sock: socket.socket, is_over: threading.Event) -> None:
    """Send a head that never ends, byte by byte."""
    sock.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not is_over.wait(0.05):
        sock.sendall(b"x")


def without_end(head: bytes, more: bytes) -> Script:
    """Return a script that sends a head, and then the same again and again."""

    def script(sock: socket.socket, is_over: threading.Event) -> None:
        read_head(sock)
        sock.sendall(head)
        while not is_over.is_set():
            sock.sendall(more)

    return script


def reset(sock: socket.socket, _: threading.Event) -> None:
    """Close the connection so that the client gets a reset."""
    sock.recv(1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset_after(answer: bytes) -> Script:
    """Return a script that answers so, and resets the connection without reading the body."""

    def script(sock: socket.socket, _: threading.Event) -> None:
        read_head(sock)
        sock.sendall(answer)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return script


def refuse_early(sock: socket.socket, is_over: threading.Event) -> None:
    """Answer before the body was read, as a proxy does if it is too large."""
    read_head(sock)
    sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    sock.shutdown(socket.SHUT_RDWR)
    is_over.wait(0)
