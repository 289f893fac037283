"""Crowd: many viewers at once in one thread, each as strict as a Stream."""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections.abc import Callable
from types import TracebackType

from tests.support.daemon import GUARD, Daemon
from tests.support.stream import Part


class Watcher:
    """One of the crowd, who takes the exact form of the stream apart as it comes."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.status = 0
        self.parts: list[Part] = []
        self.ended = False
        self._buffer = bytearray()

    @property
    def bodies(self) -> list[bytes]:
        """The pictures so far."""
        return [part.body for part in self.parts]

    @property
    def torn(self) -> bool:
        """Whether its stream has ended in the middle of a part."""
        return self.ended and bool(self._buffer)

    def receive(self) -> None:
        """Take what has come."""
        try:
            data = self.socket.recv(1 << 20)
            # Of what TLS holds already the selector knows nothing.
            while isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
                data += self.socket.recv(1 << 20)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except ConnectionResetError:
            data = b""
        self.ended = not data
        self._buffer += data
        if not self.status:
            self._take_status()
        while self.status == 200 and self._take_part():
            pass

    def _take_status(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end >= 0:
            self.status = int(self._buffer.split(b" ", 2)[1])
            del self._buffer[: end + 4]

    def _take_part(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n", 0, 4096)
        if end < 0:
            return False
        boundary, *lines = bytes(self._buffer[:end]).decode("ascii").split("\r\n")
        assert boundary == "--frame"
        pairs = [line.split(": ") for line in lines]
        headers = {name.lower(): value for name, value in pairs}
        start, length = end + 4, int(headers["content-length"])
        if len(self._buffer) < start + length + 2:
            return False
        body = bytes(self._buffer[start : start + length])
        assert self._buffer[start + length : start + length + 2] == b"\r\n"
        del self._buffer[: start + length + 2]
        self.parts.append(Part(headers, body))
        return True


class Crowd:
    """Viewers who all read whatever comes, while the test waits for something."""

    def __init__(self, daemon: Daemon) -> None:
        self.watchers: list[Watcher] = []
        self._daemon = daemon
        self._selector = selectors.DefaultSelector()

    def join(
        self,
        count: int = 1,
        path: str = "/video_feed",
        source: str = "127.0.0.1",
        buffer: int = 0,
        headers: str = "",
    ) -> list[Watcher]:
        """Let ``count`` more ask for the stream, with a small receive ``buffer`` if given.

        ``headers`` are further lines of the request, each with its end.
        """
        new = []
        for _ in range(count):
            sock = self._daemon.connect(source=source, buffer=buffer)
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
            sock.setblocking(False)
            watcher = Watcher(sock)
            self._selector.register(sock, selectors.EVENT_READ, watcher)
            new.append(watcher)
        self.watchers += new
        return new

    def wait(self, until: Callable[[], bool], what: str) -> None:
        """Read until something is the case."""
        give_up_at = time.monotonic() + GUARD
        while not until():
            assert time.monotonic() < give_up_at, f"never: {what}"
            for key, _ in self._selector.select(0.05):
                watcher: Watcher = key.data
                watcher.receive()
                if watcher.ended:
                    self._selector.unregister(watcher.socket)

    def wait_for_parts(self, count: int, watchers: list[Watcher] | None = None) -> None:
        """Read until every one of them, or of these, has had so many pictures."""
        some = self.watchers if watchers is None else watchers
        self.wait(
            lambda: all(len(watcher.parts) >= count for watcher in some),
            f"{count} pictures for each",
        )

    def __enter__(self) -> Crowd:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for watcher in self.watchers:
            watcher.socket.close()
        self._selector.close()
