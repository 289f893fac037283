"""Broadcaster: one thread that sends every frame to every viewer.

Handler threads answer ``GET /video_feed`` by handing the socket over (:meth:`join`); from
then on it belongs to the broadcaster's thread. A new frame becomes a multipart part once,
and the same bytes go to every viewer that is ready, with one ``send`` each. A viewer that
is not ready loses the frame and never delays another: the newest frame wins.

A viewer is ready when nothing of an earlier part is left to write *and* the kernel holds
next to nothing for it that is still unacknowledged (see :meth:`Viewer.is_idle`). This
keeps pictures fresh on a weak link: the socket's buffer would hold seconds of video.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial

from doorbelld.media import multipart
from doorbelld.media.frame import Frame
from doorbelld.media.multipart import Parts
from doorbelld.net.tls import Session
from doorbelld.net.viewerrecord import SavedViewers
from doorbelld.stream.counters import Deliveries, DeliveryCounter
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.link import AdaptiveViewer, Wishes
from doorbelld.stream.state import ViewerStatus
from doorbelld.stream.tiers import MOST_STEPS, AdaptiveViewers, Tiers
from doorbelld.stream.viewer import News, Report, Viewer
from doorbelld.system import clock
from doorbelld.system.limited_log import StateLog
from doorbelld.system.worker import Worker

_log = logging.getLogger(__name__)

_TICK = 1.0
"""Seconds between checks of frame rates and stalls; the longest that the thread sleeps."""

_RETRY = 0.004
"""Seconds between attempts for viewers that missed a frame: there is no event for «the other
side has acknowledged», and waiting for the next frame would waste a slow link's time."""

_NEWS_PAUSE = 0.1
"""Seconds between two states that are sent because of a change: viewers may come and go fast."""

_NO_MEMORY = "there was too little memory to send a picture, and it was left out"
_NO_MEMORY_FOR_STATE = "there was too little memory to send the state, and it comes later"
_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Broadcaster(Worker):
    """Sends every frame of ``hub`` to all viewers, those of the process before included.

    ``saved`` keeps them for the next process. ``tiers`` makes smaller frames for slow links.
    """

    def __init__(
        self,
        hub: FrameHub,
        saved: SavedViewers,
        tiers: Tiers | None = None,
        *,
        max_viewers: int,
        stall_timeout: float,
    ) -> None:
        super().__init__("broadcast")
        self.max_viewers = max_viewers
        self.stall_timeout = stall_timeout
        self._hub = hub
        self._newest = hub.subscribe(self._wakeup.set, wants=False)
        # The frame that viewers have been sent; the hub's may be newer for a moment.
        self._shown: Frame | None = None
        self._viewers: dict[int, Viewer] = {}
        self._tiers = tiers
        self._adaptive = AdaptiveViewers(tiers, self._wakeup.set)
        self._quality = self.quality
        self._without_pictures: dict[int, Viewer] = {}
        # Viewers for which a state waits until their link is free.
        self._uninformed: dict[int, Viewer] = {}
        self._make_news: Callable[[], bytes] = bytes
        self._has_news = False
        self._news_at = 0.0
        self._late: list[Viewer] = []
        self._joining: deque[tuple[Viewer, bytes]] = deque()
        self._watching = self._reading = 0
        self._deliveries = DeliveryCounter()
        self._state_log = StateLog(_log)
        self._saved = saved
        self._lock = threading.Lock()
        self._dismissals: deque[tuple[Callable[[Viewer], bool], bytes | None]] = deque()
        self._epoll = select.epoll()
        self._epoll.register(self._wakeup, select.EPOLLIN)

    # Called from any thread.

    @property
    def watching(self) -> int:
        """How many viewers with pictures there are, those just joining included."""
        return self._watching

    @property
    def reading(self) -> int:
        """How many read the state without pictures."""
        return self._reading

    def steps(self) -> list[int]:
        """Return how many viewers there are on each step of the ladder (see tiers.py)."""
        found = [0] * MOST_STEPS
        for viewer in self._viewers.copy().values():
            found[viewer.step] += 1
        return found

    def deliveries(self) -> Deliveries:
        """Return how many frames all viewers of this process were sent and have missed."""
        return self._deliveries.total()

    @property
    def quality(self) -> str:
        """The best that a viewer with a slow link can get: "auto", or "full" for nothing else."""
        return "auto" if self._tiers is not None and self._tiers.available else "full"

    def use_news(self, make: Callable[[], bytes]) -> None:
        """Set what returns the state, as the body of a part; the broadcaster's thread calls it."""
        self._make_news = make

    def renew(self) -> None:
        """Send the state to the viewers that read it, because it has changed."""
        self._has_news = True
        self._wakeup.set()

    def start(self) -> None:
        """Start the thread, with the viewers of the process before."""
        for row, sock, record in self._saved.restore(self.max_viewers):
            try:
                kind = AdaptiveViewer if record.auto else Viewer
                viewer = kind.restored(record, sock, row)
            except OSError:  # It has left.
                self._saved.remove(row, sock)
                sock.close()
                continue
            self._joining.append((viewer, record.rest))
            self._count(viewer, 1)
        self._wakeup.set()
        super().start()

    def join(
        self,
        sock: socket.socket,
        head: bytes,
        *,
        address: str,
        key: str = "",
        fps: float | None = None,
        advance: bool = False,
        session: Session | None = None,
        ticket: bytes = b"",
        news: News | None = None,
        wishes: Wishes | None = None,
    ) -> bool:
        """Take over a socket: send it ``head``, the newest frame at once, then every frame.

        ``fps`` caps the frames a second; ``advance`` picks the browsers' form of the stream;
        for ``session`` and ``ticket`` see :class:`Viewer`. With ``news`` it gets the state as well.
        With ``wishes`` it gets smaller pictures on a slow link. Returns False, and leaves the
        socket alone, if ``max_viewers`` watch, or read the state without pictures.
        """
        kind = Viewer if wishes is None else AdaptiveViewer
        make = partial(kind, sock, address, key=key, fps=fps, advance=advance, session=session)
        head += multipart.ADVANCE_HEAD if advance else multipart.BOUNDARY
        with self._lock:
            taken = self._watching if news is None or news.pictures else self._reading
            if taken >= self.max_viewers or self._stopping:
                return False
            try:
                viewer = make(ticket=ticket, news=news)
                if isinstance(viewer, AdaptiveViewer) and wishes is not None:
                    viewer.wishes = wishes
            except OSError as error:
                _log.info("%s: gone before watching: %s", address, error.strerror)
                sock.close()
                return True
            self._count(viewer, 1)
            self._joining.append((viewer, head))
        self._wakeup.set()
        return True

    def dismiss(self, password_id: bytes) -> None:
        """End all streams, because there is another password; viewers may connect again.

        ``password_id`` is the new one's, see :meth:`SavedViewers.set_password_id`.
        """
        self._dismissals.append((lambda _viewer: False, password_id))
        self._wakeup.set()

    def keep_only(self, may_stay: Callable[[Viewer], bool]) -> None:
        """End the streams of all viewers that may not stay."""
        self._dismissals.append((may_stay, None))
        self._wakeup.set()

    def report(self, key: str, address: str, age: float, rate: float) -> bool:
        """Note what viewers with this key and address have measured; return whether there are any.

        ``age`` is that of the newest picture when it came, in seconds, ``rate`` bytes a second.
        """
        reported = Report(age, rate)
        found = [
            each
            for each in self._viewers.copy().values()
            if each.key == key and each.address == address
        ]
        for viewer in found:
            viewer.reported = reported
        return bool(found)

    def viewers(self, key: str | None = None) -> list[ViewerStatus]:
        """Return the status of every viewer, or of those with this ``key``."""
        now, offset = time.monotonic(), clock.offset()
        found = list(self._viewers.values())
        return [viewer.status(now, offset) for viewer in found if key is None or viewer.key == key]

    def _count(self, viewer: Viewer, more: int) -> None:
        if not viewer.has_pictures:
            self._reading += more
            return
        self._watching += more
        self._has_news = True
        self._hub.want(self._newest, self._watching > 0)

    # The broadcaster's thread.

    def _loop(self) -> None:
        ticked = time.monotonic()
        while not self._stopping:
            is_busy = (
                self._late or self._uninformed or self._has_news or self._adaptive.is_measuring
            )
            self._wait(_RETRY if is_busy else _TICK)
            self.beat = now = time.monotonic()
            try:
                if self._has_news or self._uninformed:
                    self._send_news(now)
                self._send_newest()
                if self._adaptive:
                    self._adaptive.follow(self._shown, now)
            except MemoryError:  # For the part itself. Viewers without it get the next one.
                self._state_log.log(logging.WARNING, _NO_MEMORY)
            self._admit_and_dismiss()
            if now - ticked >= _TICK:
                self._inspect(now, now - ticked)
                ticked = now
        if self._saved.active:  # The next process continues, also with viewers that join now.
            self._admit_and_dismiss()
            self._saved.save(self._all())

    def _all(self) -> list[Viewer]:
        """Return all viewers, those without pictures included."""
        return [*self._viewers.values(), *self._without_pictures.values()]

    def _admit_and_dismiss(self) -> None:
        """Admit viewers that join; then end streams that are to be ended, of new viewers too."""
        # A copy: while it is looked through, other threads may add viewers.
        if self._joining and any(viewer.has_pictures for viewer, _ in self._joining.copy()):
            self._hub.load_offer()  # For the first viewer; no other can be delayed by it.
            self._send_newest()
        while self._joining:
            self._admit(*self._joining.popleft())
        while self._dismissals:
            may_stay, password_id = self._dismissals.popleft()
            why = (
                "is not let in any more"
                if password_id is None
                else "was let in by another password"
            )
            for viewer in [each for each in self._all() if not may_stay(each)]:
                self._leave(viewer, why)
            # Only now: if the process were killed earlier, the next one would restore them.
            if password_id is not None:
                self._saved.set_password_id(password_id)

    def _send_newest(self) -> None:
        """Send the frame that is new, or try again for viewers that missed it."""
        late, self._late = self._late, []
        made = self._adaptive.take() if self._adaptive else None
        frame = self._newest.take()
        if frame is not None:
            self._shown = frame
            viewers = _shown_to(list(self._viewers.values()), frame)
            if made is not None:
                viewers = self._adaptive.without(viewers, frame)
            self._send_to(viewers, frame)
        elif late and self._shown is not None:
            missed = late if made is None else [viewer for viewer in late if not viewer.step]
            missed = _shown_to(missed, self._shown)
            self._send_to(list(self._second_chance(missed, self._shown)), self._shown)
        if made is not None:
            self._send_made(made, late)

    def _send_made(self, steps: set[int], late: list[Viewer]) -> None:
        """Send the frames of these steps, which are new; of the others, to those that are late."""
        for step, frame in list(self._adaptive.shown.items()):
            viewers = self._adaptive.of_step(step, frame)
            if step not in steps:
                theirs = set(viewers)
                viewers = list(self._second_chance([v for v in late if v in theirs], frame))
            if viewers:
                self._send_to(viewers, frame)

    def _second_chance(self, late: list[Viewer], frame: Frame) -> Iterator[Viewer]:
        """Yield viewers that still want the frame; their miss is taken back until the next."""
        for viewer in late:
            if self._viewers.get(viewer.fd) is viewer and viewer.is_due(frame.captured_at):
                viewer.dropped -= 1
                yield viewer

    def _send_news(self, now: float) -> None:
        """Send the state to all that read it if it has changed, and to those that wait for it."""
        if self._has_news and now - self._news_at >= _NEWS_PAUSE:
            self._has_news, self._news_at = False, now
            self._inform([viewer for viewer in self._all() if viewer.news is not None])
        waiting, self._uninformed = self._uninformed, {}
        for viewer in waiting.values():
            self._pass_on_news(viewer)

    def _inform(self, viewers: Sequence[Viewer]) -> None:
        """Have the state as it is now wait for these viewers, in place of an older one."""
        if not viewers:
            return
        try:
            part = self._news_part()
        except MemoryError:
            self._state_log.log(logging.WARNING, _NO_MEMORY_FOR_STATE)
            self._has_news = True  # It is tried again soon.
            return
        for viewer in viewers:
            if viewer.news is not None:
                viewer.news.waiting = part
                self._uninformed[viewer.fd] = viewer

    def _news_part(self) -> bytes:
        return multipart.json_part(self._make_news())

    def _pass_on_news(self, viewer: Viewer) -> None:
        """Send a viewer the state that waits for it, unless something else is under way."""
        if viewer.news is None or not viewer.news.waiting or viewer.pending is not None:
            return  # When all that is pending is sent, _catch_up() comes back to this.
        try:
            if not viewer.is_free:
                self._uninformed[viewer.fd] = viewer
                return
            part = viewer.news.take()
            viewer.pending = memoryview(
                part if viewer.session is None else viewer.session.encrypt(part)
            )
        except (OSError, MemoryError) as error:
            self._leave(viewer, f"lost: {getattr(error, 'strerror', 'too little memory')}")
            return
        self._saved.torn[viewer.row] = True
        self._flush(viewer)

    def _wait(self, timeout: float) -> None:
        for fd, events in self._epoll.poll(timeout):
            viewer = self._viewers.get(fd) or self._without_pictures.get(fd)
            if viewer is None:
                self._wakeup.clear()
            elif events & _GONE:
                self._leave(viewer, "left")
            elif viewer.pending is not None and self._flush(viewer):
                self._catch_up(viewer)

    def _admit(self, viewer: Viewer, head: bytes) -> None:
        """Start a viewer: response head, then the newest frame without waiting for the next."""
        if isinstance(viewer, AdaptiveViewer):
            self._adaptive.add(viewer, self._shown)
        self._table(viewer)[viewer.fd] = viewer
        self._deliveries.begin(viewer)
        try:
            # Edge-triggered, so one registration is enough: the kernel reports room in the
            # buffer only after a partial write, and then once.
            self._epoll.register(viewer.fd, select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)
        except OSError as error:
            self._leave(viewer, f"cannot be served: {error.strerror}")
            return
        if viewer.has_pictures:
            _log.info("%s: watching (%d watching)", viewer.address, self._watching)
        try:
            viewer.pending = memoryview(self._opening(viewer, head))
        except (OSError, MemoryError) as error:  # Its TLS may have failed by now.
            why = getattr(error, "strerror", "too little memory")
            self._leave(viewer, f"cannot be served: {why}")
            return
        self._saved.torn[viewer.row] = True
        self._flush(viewer)

    def _opening(self, viewer: Viewer, head: bytes) -> bytes:
        if viewer.news is not None:
            head += self._news_part()
            viewer.news.sent_at = time.monotonic()
        frame = self._adaptive.first(viewer, self._shown)
        if frame is not None and viewer.shows(frame) and viewer.is_due(frame.captured_at):
            head += Parts(frame)[viewer.advance]
            viewer.pending_frame = frame
            viewer.advance_due(frame.captured_at)
        return head if viewer.session is None else viewer.session.encrypt(head)

    def _send_to(self, viewers: list[Viewer], frame: Frame) -> None:
        """Send a frame to all viewers that are ready; the others are late. The hot path."""
        parts = Parts(frame)
        captured_at, write, writing = frame.captured_at, os.write, self._saved.writing
        for viewer in viewers:
            if viewer.period and not viewer.is_due(captured_at):
                continue
            if viewer.pending is not None:
                viewer.dropped += 1
                continue
            part = parts[viewer.advance]
            if viewer.session is not None:
                self._send_encrypted(viewer, viewer.session, part, frame)
                continue
            writing[0] = viewer.row
            try:
                count = write(viewer.fd, part) if viewer.unchecked_sends or viewer.is_idle() else 0
            except BlockingIOError:
                count = 0
            except OSError as error:
                self._leave(viewer, f"lost: {error.strerror}")
                continue
            if not count:
                viewer.dropped += 1
                viewer.unchecked_sends = 0
                self._late.append(viewer)
                continue
            if viewer.period:
                viewer.advance_due(captured_at)
            viewer.unchecked_sends -= 1
            if count == len(part):
                viewer.sent += 1
                viewer.sequence = frame.sequence
                viewer.captured_at = captured_at
            else:
                self._saved.torn[viewer.row] = True
                viewer.unchecked_sends = 0
                viewer.pending = memoryview(part)[count:]
                viewer.pending_frame = frame
        writing[0] = 0

    def _send_encrypted(self, viewer: Viewer, session: Session, part: bytes, frame: Frame) -> None:
        """Send a frame to a viewer over TLS, if it is ready."""
        try:
            if not (viewer.unchecked_sends or viewer.is_idle()):
                viewer.dropped += 1
                self._late.append(viewer)
                return
            viewer.set_pending(session.encrypt(part), frame)
        except (OSError, MemoryError) as error:
            self._leave(viewer, f"lost: {getattr(error, 'strerror', 'too little memory')}")
            return
        self._flush(viewer)
        if viewer.pending is not None:
            viewer.unchecked_sends = 0

    def _flush(self, viewer: Viewer) -> bool:
        """Write more of what is pending; return whether all of it is sent, and more may follow."""
        assert viewer.pending is not None
        try:
            count = os.write(viewer.fd, viewer.pending)
        except BlockingIOError:
            return False
        except OSError as error:
            self._leave(viewer, f"lost: {error.strerror}")
            return False
        if count < len(viewer.pending):
            viewer.pending = viewer.pending[count:]
            return False
        self._saved.torn[viewer.row] = viewer.whole
        viewer.finish_pending()
        return True

    def _catch_up(self, viewer: Viewer) -> None:
        """Send what has come up while a part was under way: the state, then the newest frame."""
        self._pass_on_news(viewer)
        is_behind = self._shown is not None and self._shown.sequence > viewer.sequence
        if is_behind and viewer.pending is None:
            self._late.append(viewer)

    def _inspect(self, now: float, seconds: float) -> None:
        """Once a second: measure every viewer's frame rate, and drop viewers that stall."""
        self._state_log.flush()
        if self._quality != self.quality:
            self._quality, self._has_news = self.quality, True
        viewers = self._all()
        self._saved.sync(viewers)
        self._inform(
            [
                viewer
                for viewer in viewers
                if viewer.news is not None and viewer.news.is_silent(now, viewer.captured_at)
            ]
        )
        for viewer in viewers:
            viewer.sample_rate(seconds)
            if viewer.seconds_stalled(now) > self.stall_timeout:
                self._leave(viewer, f"took nothing for {self.stall_timeout:g} s", reset=True)

    def _leave(self, viewer: Viewer, why: str, *, reset: bool = False) -> None:
        del self._table(viewer)[viewer.fd]
        self._deliveries.end(viewer)
        self._uninformed.pop(viewer.fd, None)
        self._adaptive.remove(viewer)
        viewer.pending = viewer.pending_frame = None
        if reset:
            viewer.reset_on_close()
        with suppress(OSError):  # It could not be registered.
            # Closing is not enough: as long as systemd holds the socket, its events would still
            # come, and be taken for those of the next viewer with that descriptor.
            self._epoll.unregister(viewer.fd)
        if viewer.row:
            self._saved.remove(viewer.row, viewer.sock)
        viewer.sock.close()
        with self._lock:
            self._count(viewer, -1)
            watching = self._watching
        if viewer.has_pictures:
            line = "%s: %s after %d frames (%d watching)"
            _log.info(line, viewer.address, why, viewer.sent, watching)

    def _table(self, viewer: Viewer) -> dict[int, Viewer]:
        return self._viewers if viewer.has_pictures else self._without_pictures

    def _close(self) -> None:
        """Close all connections; streams that no other process continues end properly."""
        with self._lock:
            for viewer, _ in self._joining:
                viewer.sock.close()
            self._joining.clear()
        for viewer in self._all():
            viewer.close()
        self._viewers.clear()
        self._adaptive.clear()
        self._without_pictures.clear()
        self._late.clear()
        self._watching = self._reading = 0
        self._hub.unsubscribe(self._newest)
        self._saved.close()
        self._epoll.close()
        super()._close()


def _shown_to(viewers: list[Viewer], frame: Frame) -> list[Viewer]:
    """Return those of the viewers to which a frame is sent: nearly always all of them."""
    return viewers if frame.live else [viewer for viewer in viewers if viewer.shows(frame)]
