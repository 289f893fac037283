"""ViewerGroup: many viewers at once in one thread, each as strict as a Stream."""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from tests.support.daemon import GUARD, Daemon
from tests.support.numbered_pictures import NUMBERS, numbered
from tests.support.pipe_camera import PipeCamera
from tests.support.stream_parser import Part, StreamParser

_KEY = "lossless"
"""The key of viewers that may lose nothing."""


class Viewer:
    """One viewer of a group; it reads the exact form of the stream."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.status = 0
        self.parts: list[Part] = []
        self.ended = False
        self._head = b""
        self._parser = StreamParser()

    @property
    def bodies(self) -> list[bytes]:
        """The pictures so far."""
        return [part.body for part in self.parts]

    @property
    def torn(self) -> bool:
        """Whether its stream has ended in the middle of a part."""
        return self.ended and not self._parser.between_parts

    def receive(self) -> None:
        """Read what has come."""
        try:
            data = self.socket.recv(1 << 20)
            # The selector does not know of what TLS has read already.
            while isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
                data += self.socket.recv(1 << 20)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except ConnectionResetError:
            data = b""
        self.ended = not data
        if not self.status:
            data = self._take_head(data)
        if self.status == 200:
            self.parts += self._parser.feed(data)

    def _take_head(self, data: bytes) -> bytes:
        """Keep what belongs to the head of the response; return the rest."""
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if end:
            self.status = int(head.split(b" ", 2)[1])
        return rest


class ViewerGroup:
    """Viewers that all read whatever comes, while the test waits for something.

    With a ``camera`` the test shows them picture after picture, none of which they may lose.
    """

    def __init__(self, daemon: Daemon, camera: PipeCamera | None = None) -> None:
        self.viewers: list[Viewer] = []
        self.shown: list[bytes] = []
        """What :meth:`show_next` has shown."""
        self._daemon = daemon
        self._camera = camera
        self._selector = selectors.DefaultSelector()

    def join(
        self,
        count: int = 1,
        path: str = "/video_feed",
        source: str = "127.0.0.1",
        buffer: int = 0,
        headers: str = "",
    ) -> list[Viewer]:
        """Let ``count`` more ask for the stream, with a small receive ``buffer`` if given.

        ``headers`` are further lines of the request, each with its end.
        """
        new = []
        for _ in range(count):
            sock = self._daemon.connect(source=source, buffer=buffer)
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
            sock.setblocking(False)
            viewer = Viewer(sock)
            self._selector.register(sock, selectors.EVENT_READ, viewer)
            new.append(viewer)
        self.viewers += new
        return new

    def join_one_by_one(self, count: int) -> None:
        """Let ``count`` more join, each when the one before has its first picture."""
        if not self.shown:
            self._show(numbered(0))
        for viewer in self.join(count):
            self.wait_for_parts(1, [viewer])
        self.show_next()

    def show_next(self, count: int = 1, kilobytes: int = 0) -> None:
        """Show ``count`` more pictures, each when every viewer has the one before."""
        for _ in range(count):
            picture = numbered(len(self.shown) % NUMBERS, kilobytes)
            self._show(picture)
            self.wait(
                lambda picture=picture: all(  # type: ignore[misc]
                    viewer.parts and viewer.parts[-1].body == picture for viewer in self.viewers
                ),
                f"picture {len(self.shown) - 1} at every viewer",
            )

    def _show(self, picture: bytes) -> None:
        assert self._camera, "a group without a camera"
        self._camera.show(picture)
        self.shown.append(picture)

    def wait(self, until: Callable[[], bool], what: str) -> None:
        """Read until ``until`` returns true."""
        give_up_at = time.monotonic() + GUARD
        while not until():
            assert time.monotonic() < give_up_at, f"never: {what}"
            for key, _ in self._selector.select(0.05):
                viewer: Viewer = key.data
                viewer.receive()
                if viewer.ended:
                    self._selector.unregister(viewer.socket)

    def wait_for_parts(self, count: int, viewers: list[Viewer] | None = None) -> None:
        """Read until every viewer, or each of these, has ``count`` pictures."""
        some = self.viewers if viewers is None else viewers
        self.wait(
            lambda: all(len(viewer.parts) >= count for viewer in some),
            f"{count} pictures for each",
        )

    def check_nothing_lost(self) -> None:
        """Check that all viewers got all that was shown, and that /status says so too."""
        for viewer in self.viewers:
            assert viewer.bodies == self.shown
        counts = (_KEY, len(self.shown), 0)
        self._daemon.wait_for_counts(*[counts] * len(self.viewers), query=f"?key={_KEY}")

    def __enter__(self) -> ViewerGroup:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for viewer in self.viewers:
            viewer.socket.close()
        self._selector.close()


@contextmanager
def lossless_viewers(daemon: Daemon, camera: PipeCamera, count: int) -> Iterator[ViewerGroup]:
    """Let viewers watch during the block, and check at its end that they lost no picture.

    The daemon has the pipe camera, and has shown picture 0 already.
    """
    with ViewerGroup(daemon, camera) as group:
        group.join(count, f"/video_feed?key={_KEY}", source="127.0.0.200")
        group.wait_for_parts(1)
        group.shown.append(numbered(0))
        yield group
        group.check_nothing_lost()
