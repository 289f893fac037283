"""Broadcaster: one thread that sends every frame to every viewer.

Handler threads answer ``GET /video_feed`` by handing the socket over (:meth:`join`); from
then on it belongs to the broadcaster's thread. A new frame becomes a multipart part once,
and the same bytes go to every viewer that is ready, with one ``send`` each. A viewer that
is not ready loses the frame and never delays anyone: newest frame wins.

A viewer is ready when nothing of an earlier part is left to write *and* the kernel holds
next to nothing for it that is still unacknowledged (asked for, or trusted to be so for a few
frames: see :meth:`Viewer.has_room`). The second half keeps pictures fresh on a weak link, where
the socket's buffer would otherwise swallow seconds of video.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from doorbelld import multipart
from doorbelld.frame import Frame
from doorbelld.viewer import Viewer
from doorbelld.wakeup import Wakeup

_log = logging.getLogger(__name__)

_TICK = 1.0
"""Seconds between looks at frame rates and stalls; the longest the thread sleeps."""

_RETRY = 0.004
"""Seconds between looks at viewers that missed a frame: there is no event for «the other
side has acknowledged», and waiting for the next frame would waste a slow link's time."""

_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Broadcaster:
    """Sends what is published to all who joined.

    ``beat`` is the time.monotonic() of the thread's last turn, for the watchdog.
    """

    def __init__(self, *, max_viewers: int, stall_timeout: float) -> None:
        self.max_viewers = max_viewers
        self.stall_timeout = stall_timeout
        self.beat = time.monotonic()
        self._latest: Frame | None = None
        # What the viewers have been sent; it lags behind the latest for a moment.
        self._shown: Frame | None = None
        self._viewers: dict[int, Viewer] = {}
        self._late: list[Viewer] = []
        self._joining: deque[tuple[Viewer, bytes]] = deque()
        self._watching = 0
        self._lock = threading.Lock()
        self._stopping = False
        self._epoll = select.epoll()
        self._wakeup = Wakeup()
        self._epoll.register(self._wakeup, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="broadcast", daemon=True)

    # Called from any thread.

    @property
    def latest(self) -> Frame | None:
        """The newest frame published, live or placeholder; None before the first."""
        return self._latest

    @property
    def watching(self) -> int:
        """How many viewers there are now, those just joining included."""
        return self._watching

    @property
    def alive(self) -> bool:
        """Whether the thread runs; false after start() means that it failed."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> bool:
        """End every stream and the thread; return whether it ended within ``timeout`` seconds."""
        self._stopping = True
        self._wakeup.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        elif not self._epoll.closed:
            self._close()
        return not self._thread.is_alive()

    def publish(self, frame: Frame) -> None:
        """Make this the newest frame. Costs the caller no more than a wake-up."""
        self._latest = frame
        self._wakeup.set()

    def join(
        self,
        sock: socket.socket,
        head: bytes,
        *,
        address: str,
        key: str = "",
        fps: float | None = None,
        advance: bool = False,
    ) -> bool:
        """Take over a socket: send it ``head``, the newest frame at once, then every frame.

        ``fps`` caps the frames a second; ``advance`` picks the browsers' form of the stream.
        Returns False, and leaves the socket alone, when ``max_viewers`` are watching.
        """
        with self._lock:
            if self._watching >= self.max_viewers or self._stopping:
                return False
            try:
                viewer = Viewer(sock, address, key=key, fps=fps, advance=advance)
            except OSError as error:
                _log.info("%s: gone before watching: %s", address, error.strerror)
                sock.close()
                return True
            self._watching += 1
            self._joining.append((viewer, head))
        self._wakeup.set()
        return True

    def viewers(self, key: str | None = None) -> list[dict[str, Any]]:
        """Return a row for every viewer, or for those that named themselves ``key``."""
        now = time.monotonic()
        found = list(self._viewers.values())
        return [viewer.status(now) for viewer in found if key is None or viewer.key == key]

    # The broadcaster's own thread.

    def _run(self) -> None:
        try:
            self._loop()
        except Exception:  # noqa: BLE001  # the thread ends, and main ends the daemon
            _log.exception("the broadcaster failed")
        finally:
            self._close()

    def _loop(self) -> None:
        ticked = time.monotonic()
        while not self._stopping:
            self._wait(_RETRY if self._late else _TICK)
            self.beat = now = time.monotonic()
            self._send_newest()
            while self._joining:
                self._admit(*self._joining.popleft())
            if now - ticked >= _TICK:
                self._inspect(now, now - ticked)
                ticked = now

    def _send_newest(self) -> None:
        """Send what was published since the last turn, or give those a chance who missed it."""
        frame = self._latest
        if frame is None:
            return
        late, self._late = self._late, []
        if frame is not self._shown:
            self._shown = frame
            self._send_to(list(self._viewers.values()), frame)
        elif late:
            self._send_to(list(self._second_chance(late, frame)), frame)

    def _second_chance(self, late: list[Viewer], frame: Frame) -> Iterator[Viewer]:
        """Take back the miss of those who want the frame still; a new one counts again."""
        for viewer in late:
            if self._viewers.get(viewer.fd) is viewer and viewer.is_due(frame.captured_at):
                viewer.dropped -= 1
                yield viewer

    def _wait(self, timeout: float) -> None:
        for fd, events in self._epoll.poll(timeout):
            viewer = self._viewers.get(fd)
            if viewer is None:
                self._wakeup.clear()
            elif events & _GONE:
                self._leave(viewer, "left")
            elif viewer.pending is not None:
                self._flush(viewer)

    def _admit(self, viewer: Viewer, head: bytes) -> None:
        """Start a viewer: response head, then the newest frame without waiting for the next."""
        self._viewers[viewer.fd] = viewer
        # Edge-triggered, so one registration serves for good: the kernel tells of room in
        # the buffer only after a partial write, and then once.
        self._epoll.register(viewer.fd, select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)
        _log.info("%s: watching (%d watching)", viewer.address, self._watching)
        if viewer.advance:
            head += multipart.ADVANCE_HEAD
        if self._shown is not None:
            head += _part(self._shown, viewer.advance)
            viewer.partial = self._shown
            viewer.advance_due(self._shown.captured_at)
        viewer.pending = memoryview(head)
        self._flush(viewer)

    def _send_to(self, viewers: list[Viewer], frame: Frame) -> None:
        """Send a frame to all who are ready; the others are late. The hot path."""
        parts: list[bytes | None] = [None, None]
        captured_at, write = frame.captured_at, os.write
        for viewer in viewers:
            if viewer.period and not viewer.is_due(captured_at):
                continue
            if viewer.pending is not None:
                viewer.dropped += 1
                continue
            part = parts[viewer.advance]
            if part is None:
                part = parts[viewer.advance] = _part(frame, viewer.advance)
            try:
                count = write(viewer.fd, part) if viewer.credit or viewer.has_room() else 0
            except BlockingIOError:
                count = 0
            except OSError as error:
                self._leave(viewer, f"lost: {error.strerror}")
                continue
            if not count:
                viewer.dropped += 1
                viewer.credit = 0
                self._late.append(viewer)
                continue
            if viewer.period:
                viewer.advance_due(captured_at)
            viewer.credit -= 1
            if count == len(part):
                viewer.sent += 1
                viewer.sequence = frame.sequence
                viewer.captured_at = captured_at
            else:
                viewer.credit = 0
                viewer.pending = memoryview(part)[count:]
                viewer.partial = frame

    def _flush(self, viewer: Viewer) -> None:
        """Write more of what is pending; once it is through, newer frames may follow."""
        assert viewer.pending is not None
        try:
            count = os.write(viewer.fd, viewer.pending)
        except BlockingIOError:
            return
        except OSError as error:
            self._leave(viewer, f"lost: {error.strerror}")
            return
        if count < len(viewer.pending):
            viewer.pending = viewer.pending[count:]
            return
        viewer.pending = None
        frame, viewer.partial = viewer.partial, None
        if frame is not None:
            viewer.sent += 1
            viewer.sequence = frame.sequence
            viewer.captured_at = frame.captured_at
        if self._shown is not None and self._shown.sequence > viewer.sequence:
            self._late.append(viewer)

    def _inspect(self, now: float, seconds: float) -> None:
        """Once a tick: sample every viewer's frame rate, drop those that have stalled."""
        for viewer in list(self._viewers.values()):
            viewer.sample_rate(seconds)
            if viewer.seconds_stalled(now) > self.stall_timeout:
                self._leave(viewer, f"took nothing for {self.stall_timeout:g} s", reset=True)

    def _leave(self, viewer: Viewer, why: str, *, reset: bool = False) -> None:
        del self._viewers[viewer.fd]
        viewer.pending = viewer.partial = None
        if reset:
            viewer.reset_on_close()
        viewer.sock.close()
        with self._lock:
            self._watching -= 1
        _log.info(
            "%s: %s after %d frames (%d watching)",
            viewer.address,
            why,
            viewer.sent,
            self._watching,
        )

    def _close(self) -> None:
        """End every stream properly, as far as the kernel takes it without waiting."""
        self._stopping = True
        with self._lock:
            joining = [viewer.sock for viewer, _ in self._joining]
            self._joining.clear()
        for viewer in self._viewers.values():
            if viewer.pending is None and not viewer.advance:
                with suppress(OSError):  # It is being closed anyway.
                    os.write(viewer.fd, multipart.CLOSING_BOUNDARY)
            joining.append(viewer.sock)
        self._viewers.clear()
        self._late.clear()
        for sock in joining:
            sock.close()
        self._watching = 0
        self._epoll.close()
        self._wakeup.close()


def _part(frame: Frame, advance: bool) -> bytes:
    if advance:
        return multipart.advance_part(frame.data)
    return multipart.exact_part(frame.data, frame.timestamp)
