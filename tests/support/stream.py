"""Stream: a viewer that reads /video_feed part by part, and is strict about it."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import NamedTuple

from tests.support.daemon import Daemon


class Part(NamedTuple):
    """One part: its headers with lower-case names, and its body."""

    headers: dict[str, str]
    body: bytes


class Stream:
    """Reads the exact form of the stream (Content-Length in every part)."""

    def __init__(self, daemon: Daemon, path: str = "/video_feed", accept: str = "*/*") -> None:
        self.socket = daemon.connect()
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n"
        self.socket.sendall(request.encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = self._headers()

    def _headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        while True:
            line = self.file.readline()
            if line in (b"\r\n", b""):
                return found
            name, _, value = line.decode("ascii").partition(":")
            found[name.lower()] = value.strip()

    def part(self) -> Part:
        """Return the next part; EOFError when the stream ends properly before it."""
        boundary = self.file.readline()
        if boundary == b"--frame--\r\n":
            raise EOFError
        assert boundary == b"--frame\r\n", boundary
        headers = self._headers()
        assert headers["content-type"] == "image/jpeg"
        body = self.file.read(int(headers["content-length"]))
        assert body.startswith(b"\xff\xd8")
        assert body.endswith(b"\xff\xd9")
        assert self.file.read(2) == b"\r\n"
        return Part(headers, body)

    def close(self) -> None:
        """Leave."""
        self.file.close()
        self.socket.close()

    def reset(self) -> None:
        """Vanish without a word that the stream ended."""
        self.file.close()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
