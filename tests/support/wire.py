"""Wire: a relay between a phone and the daemon that can be cut or go dead."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType


class _Link:
    """One connection of the phone, with its counterpart to the daemon."""

    def __init__(self, phone: socket.socket, daemon: socket.socket) -> None:
        self.ends = {phone: daemon, daemon: phone}
        self.request = b""
        """The phone's last request."""
        self._phone = phone

    def forward(self, source: socket.socket, most: int) -> int:
        """Forward what has come, at most so many bytes; return how many, 0 at the end."""
        try:
            data = source.recv(most)
            self.ends[source].sendall(data)
        except OSError:
            return 0
        if source is self._phone:
            self.request = data
        return len(data)

    def close(self) -> None:
        for end in self.ends:
            end.close()


class Wire:
    """Forwards connections from ``port`` to the daemon's port.

    ``rate`` may be changed: the bytes a second that all connections together carry.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._links: list[_Link] = []
        self._dead: list[_Link] = []
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector.register(self._listener, selectors.EVENT_READ)
        self.rate = float("inf")
        self._down = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run)

    def cut(self, path: str) -> int:
        """Close every connection that requested this path; return how many."""
        with self._lock:
            found = self._asking_for(path)
            for link in found:
                self._close(link)
        return len(found)

    def deaden(self, path: str) -> int:
        """Forward nothing more on connections that requested this path, but keep them open;
        return how many."""
        with self._lock:
            found = self._asking_for(path)
            for link in found:
                for end in link.ends:
                    self._selector.unregister(end)
                self._links.remove(link)
                self._dead.append(link)
        return len(found)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Carry nothing in this block, as a network that is out of reach."""
        with self._lock:
            self._down = True
        yield
        self._down = False

    def __enter__(self) -> Wire:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping = True
        self._thread.join()
        for link in (*self._links, *self._dead):
            link.close()
        self._listener.close()
        self._selector.close()

    def _asking_for(self, path: str) -> list[_Link]:
        start = f"GET {path}".encode()
        return [link for link in self._links if link.request.startswith(start)]

    def _run(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select(0.02):
                with self._lock:
                    size = 0 if self._down else self._serve(key)
                time.sleep(size / self.rate)
            if self._down:
                time.sleep(0.02)  # What waits to be read would wake it at once.

    def _serve(self, key: selectors.SelectorKey) -> int:
        """Return how many bytes it has forwarded."""
        if key.fileobj is self._listener:
            self._accept()
        elif key.data in self._links:
            size: int = key.data.forward(key.fileobj, int(min(1 << 16, self.rate / 20)))
            if not size:
                self._close(key.data)
            return size
        return 0

    def _accept(self) -> None:
        phone, _ = self._listener.accept()
        try:
            daemon = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            phone.close()
            return
        link = _Link(phone, daemon)
        self._links.append(link)
        for end in link.ends:
            self._selector.register(end, selectors.EVENT_READ, link)

    def _close(self, link: _Link) -> None:
        for end in link.ends:
            self._selector.unregister(end)
        self._links.remove(link)
        link.close()
