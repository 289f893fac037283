"""Viewers: some read everything, some read little, and some read nothing."""

from __future__ import annotations

import random
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from tests.soak.camera import Number, number_of
from tests.support.daemon import Daemon
from tests.support.stream_parser import StreamParser

_ROOM = 1 << 20
"""Receive buffer of a viewer that reads everything: when the machine is busy this program may stop
reading for a moment, and that is not the daemon's fault."""

_LITTLE = 4096
_ALL = 1 << 20


class Viewer:
    """One viewer. Raises AssertionError for a stream that is torn, goes back, or just ends.

    With ``live`` it reads the page's stream. ``most`` is how many bytes it reads at a time, 0 if it
    reads nothing. ``got`` counts the camera's pictures that came, ``missed`` those that were left
    out in between.
    """

    def __init__(
        self,
        daemon: Daemon,
        *,
        most: int,
        advance: bool = False,
        live: bool = False,
        query: str = "",
    ) -> None:
        self.most = most
        self.capped = bool(query)
        self.got, self.missed = 0, 0
        self._last = Number(0, 0)
        self.ended = False
        self._head = b""
        self._parts = StreamParser(advance=advance, live=live)
        self.socket = daemon.connect(buffer=_ROOM if most == _ALL else _LITTLE)
        accept = "image/webp,*/*" if advance else "*/*"
        path = f"{'/live' if live else '/video_feed'}{query}"
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n"
        self.socket.sendall(request.encode())
        self.socket.setblocking(False)

    @property
    def is_fast(self) -> bool:
        """Whether it reads everything, and has no cap."""
        return self.most == _ALL and not self.capped

    @property
    def span(self) -> int:
        """How many pictures the camera took while it watched."""
        return self.got + self.missed

    def read(self) -> None:
        """Read some of what has come."""
        try:
            data = self.socket.recv(self.most)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self.ended = not data
        assert data or self.most != _ALL, "the stream of a viewer that reads everything has ended"
        if b"\r\n\r\n" not in self._head:
            data = self._take_head(data)
        for part in self._parts.feed(data):
            if not part.is_state:
                self._take(part.body)

    def _take_head(self, data: bytes) -> bytes:
        """Keep the head of the answer, and return the rest."""
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            return b""
        assert head.startswith(b"HTTP/1.1 200 "), head
        self._head = head + end
        return rest

    def _take(self, picture: bytes) -> None:
        assert picture.startswith(b"\xff\xd8"), picture[:40]
        assert picture.endswith(b"\xff\xd9"), picture[-40:]
        number = number_of(picture)
        if number is None:
            return
        assert number > self._last, f"{number} after {self._last}"
        if number.opened == self._last.opened:
            self.missed += number.place - self._last.place - 1
        self._last = number
        self.got += 1

    def leave(self, how: str) -> None:
        """Leave by a "reset", a "half-close" or a "close"."""
        if how == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if how == "half-close":
            with suppress(OSError):  # The daemon has dropped it because it read nothing.
                self.socket.shutdown(socket.SHUT_WR)
        self.socket.close()


class Viewers:
    """All current viewers. ``fast`` has those that read everything, past ones included."""

    def __init__(self, daemon: Daemon, chance: random.Random) -> None:
        self.fast: list[Viewer] = []
        self.joined = 0
        self._daemon = daemon
        self._chance = chance
        self._stay: set[Viewer] = set()
        self._now: list[Viewer] = []
        self._selector = selectors.DefaultSelector()

    def __len__(self) -> int:
        return len(self._now)

    def join(self, *, stay: bool = False) -> None:
        """Add a viewer; one that is to ``stay`` reads everything, others at random."""
        most = _ALL if stay else self._chance.choice([_ALL, _ALL, _LITTLE, 0])
        query = "" if stay else self._chance.choice(["", "", "", "?fps=5"])
        form = self._chance.choice([{}, {"advance": True}, {"live": True}])
        viewer = Viewer(self._daemon, most=most, query=query, **form)
        self.joined += 1
        self._now.append(viewer)
        if stay:
            self._stay.add(viewer)
        if viewer.is_fast:
            self.fast.append(viewer)
        if most == _ALL:
            self._selector.register(viewer.socket, selectors.EVENT_READ, viewer)

    def one_leaves(self) -> None:
        """Let a viewer leave that need not stay, if there is one."""
        others = [viewer for viewer in self._now if viewer not in self._stay]
        if others:
            self._let_go(self._chance.choice(others))

    def all_leave(self, *, staying_too: bool = False) -> None:
        """Let all viewers leave that need not stay."""
        for viewer in list(self._now):
            if staying_too or viewer not in self._stay:
                self._let_go(viewer)

    def read(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let every viewer read in its own way, for so long or until ``until`` returns true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            for key, _ in self._selector.select(0.02):
                key.data.read()
            for viewer in [each for each in self._now if each.most == _LITTLE]:
                viewer.read()
                if viewer.ended:
                    self._let_go(viewer)

    def _let_go(self, viewer: Viewer) -> None:
        self._now.remove(viewer)
        if viewer.most == _ALL:
            self._selector.unregister(viewer.socket)
        viewer.leave(self._chance.choice(["close", "reset", "half-close"]))

    def close(self) -> None:
        """Let all viewers leave."""
        self.all_leave(staying_too=True)
        self._selector.close()
