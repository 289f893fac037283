"""Wire: a relay between a phone and the daemon that can be cut, go dead, do damage, or be slow."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

_LOSS = 100


class _Link:
    """One connection of the phone, with its counterpart to the daemon."""

    def __init__(self, phone: socket.socket, daemon: socket.socket) -> None:
        self.ends = {phone: daemon, daemon: phone}
        self.request = b""
        """The phone's last request."""
        self.backlog = bytearray()
        """What a slow wire has not sent to the phone yet."""
        self.is_slow = False
        self.is_damaged = False
        """Whether the next bytes for the phone get lost."""
        self._phone = phone

    def forward(self, source: socket.socket) -> bool:
        """Forward what has come; return false at the end."""
        try:
            data = source.recv(1 << 16)
            if source is not self._phone:
                self._answer(data)
            else:
                self.ends[source].sendall(data)
                self.request = data
        except OSError:
            return False
        return bool(data)

    def _answer(self, data: bytes) -> None:
        if self.is_damaged:
            self.is_damaged = False
            data = data[_LOSS:]
        if self.is_slow:
            self.backlog += data
        else:
            self._phone.sendall(data)

    def drip(self, most: int) -> int:
        """Send so many bytes of the backlog to the phone; return how many there were."""
        some = bytes(self.backlog[:most])
        del self.backlog[:most]
        try:
            self._phone.sendall(some)
        except OSError:
            self.backlog.clear()
        return len(some)

    def close(self) -> None:
        for end in self.ends:
            end.close()


class Wire:
    """Forwards connections from ``port`` to the daemon's port, or to where ``target`` connects.

    With a ``rate``, only so many bytes a second go to the phone, but all are taken from the daemon
    at once: that is what a proxy with a buffer does on a slow link. The rate may be changed.
    """

    def __init__(self, target: int | Callable[[], socket.socket], rate: int = 0) -> None:
        self._target = target
        self.rate = rate
        self._dripped_at = time.monotonic()
        self._links: list[_Link] = []
        self._dead: list[_Link] = []
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector.register(self._listener, selectors.EVENT_READ)
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

    def damage(self, path: str) -> int:
        """Lose some bytes for the phone on each connection that requested this path; return how
        many."""
        with self._lock:
            found = self._asking_for(path)
            for link in found:
                link.is_damaged = True
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
            if self._down:
                time.sleep(0.02)
                continue
            for key, _ in self._selector.select(0.02):
                with self._lock:
                    if not self._down:
                        self._serve(key)
            if self.rate:
                with self._lock:
                    self._drip()

    def _drip(self) -> None:
        now = time.monotonic()
        left = int(self.rate * (now - self._dripped_at))
        self._dripped_at = now
        for link in self._links:
            left -= link.drip(left)

    def _serve(self, key: selectors.SelectorKey) -> None:
        if key.fileobj is self._listener:
            self._accept()
        elif key.data in self._links and not key.data.forward(key.fileobj):
            self._close(key.data)

    def _accept(self) -> None:
        phone, _ = self._listener.accept()
        try:
            daemon = self._connect()
        except OSError:
            phone.close()
            return
        link = _Link(phone, daemon)
        link.is_slow = bool(self.rate)
        self._links.append(link)
        for end in link.ends:
            self._selector.register(end, selectors.EVENT_READ, link)

    def _connect(self) -> socket.socket:
        if isinstance(self._target, int):
            return socket.create_connection(("127.0.0.1", self._target))
        return self._target()

    def _close(self, link: _Link) -> None:
        for end in link.ends:
            self._selector.unregister(end)
        self._links.remove(link)
        link.close()
