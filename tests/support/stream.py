"""Stream: a viewer that reads /video_feed part by part, and accepts no mistake."""

from __future__ import annotations

import socket
from contextlib import suppress
from types import TracebackType

from tests.support.daemon import Daemon
from tests.support.stream_parser import Part, StreamParser

__all__ = ["Part", "Stream"]


class Stream:
    """Reads the exact form of the stream (Content-Length in every part).

    ``headers`` are further lines of the request, each with its end.
    ``file`` has the bytes after the head of the response, and after each part that was read.
    """

    def __init__(
        self, daemon: Daemon, path: str = "/video_feed", accept: str = "*/*", headers: str = ""
    ) -> None:
        self.socket = daemon.connect()
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n{headers}\r\n"
        self.socket.sendall(request.encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = self._headers()
        self._parser = self._new_parser()

    def _new_parser(self) -> StreamParser:
        return StreamParser()

    def _headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        while True:
            line = self.file.readline()
            if line in (b"\r\n", b""):
                return found
            name, _, value = line.decode("ascii").partition(":")
            found[name.lower()] = value.strip()

    def part(self) -> Part:
        """Return the next part; EOFError if the stream ends between two."""
        part = self._parser.read(self.file)
        if part is None:
            assert self._parser.ended, "the stream was cut off"
            raise EOFError
        if not part.is_state:
            assert part.body.startswith(b"\xff\xd8")
            assert part.body.endswith(b"\xff\xd9")
        return part

    def read_to_end(self) -> None:
        """Read the parts that are left; AssertionError unless the stream ends between two."""
        with suppress(EOFError):
            while True:
                self.part()

    def close(self) -> None:
        """Close the connection."""
        self.file.close()
        self.socket.close()

    def reset(self) -> None:
        """Close the connection with a reset."""
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
