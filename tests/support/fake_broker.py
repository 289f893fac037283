"""FakeBroker: a broker that does what a real one rarely does. It serves one client at a time."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType

_CONNECT, _PUBLISH, _SUBSCRIBE = 0x10, 0x30, 0x80


class FakeBroker:
    """Answers a CONNECT with ``code`` and a SUBSCRIBE with ``granted``; reads all else.

    Before it reads on, it waits until ``may_read`` is set. ``extra`` is sent after the first
    answer.
    """

    def __init__(
        self, *, code: int = 0, granted: int = 0, extra: bytes = b"", port: int = 0
    ) -> None:
        self.connects = 0
        self.published: list[tuple[str, bytes]] = []
        self.may_read = threading.Event()
        self.may_read.set()
        self._answers = bytes([0x20, 2, 0, code]) + extra
        self._granted = granted
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> FakeBroker:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.may_read.set()
        for sock in (self._listener, self._client):
            if sock is not None:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def hang_up(self) -> None:
        """End the connection without a word."""
        assert self._client is not None
        self._client.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                self._client, _ = self._listener.accept()
                with self._client, suppress(OSError):
                    while self._answer(self._client):
                        pass

    def _answer(self, sock: socket.socket) -> bool:
        """Read one packet and answer it; return False at the end."""
        first = sock.recv(1)
        if not first:
            return False
        size, shift = 0, 0
        while True:
            byte = _exactly(sock, 1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        body = _exactly(sock, size)
        kind = first[0] & 0xF0
        if kind == _CONNECT:
            self.connects += 1
            sock.sendall(self._answers)
        elif kind == _SUBSCRIBE:
            sock.sendall(bytes([0x90, 3]) + body[:2] + bytes([self._granted]))
        elif kind == _PUBLISH:
            self._note(first[0], body)
            if first[0] & 0x06:
                end = 2 + int.from_bytes(body[:2], "big")
                sock.sendall(bytes([0x40, 2]) + body[end : end + 2])
        self.may_read.wait()
        return True

    def _note(self, header: int, body: bytes) -> None:
        end = 2 + int.from_bytes(body[:2], "big")
        content = end + (2 if header & 0x06 else 0)
        self.published.append((body[2:end].decode(), body[content:]))


def _exactly(sock: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        data = sock.recv(size - len(parts))
        if not data:
            raise ConnectionResetError
        parts += data
    return bytes(parts)
