"""Viewer: one socket that the stream is sent to, and what is known of it."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
from array import array
from contextlib import suppress
from typing import NamedTuple

from doorbelld.media import multipart
from doorbelld.media.frame import Frame
from doorbelld.net.tls import Session
from doorbelld.net.viewerrecord import ViewerRecord, between_parts
from doorbelld.stream.state import ViewerStatus

_SIOCOUTQ = 0x5411
"""Ask a TCP socket how many bytes are sent or queued but not yet acknowledged."""

_NOTSENT_LOWAT_BYTES = 16 * 1024
"""How much of a partial write may wait in the kernel: enough to keep a link busy."""

_EARLY_SECONDS = 0.008
"""How long before it is due a frame may come: cameras are not that exact, and waiting for the
next one would space a viewer's frames unevenly."""

_TRUSTED_IDLE_STREAK = 30
"""How often in a row a viewer's link must have been found idle to be trusted."""

_TRUSTED_UNCHECKED_SENDS = 4
"""Frames for which a trusted link is not checked. If it failed in that moment, the limit
on what waits in the kernel bounds what is sent for nothing."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

_LONG_ROUND_TRIP = 0.01
"""Seconds. Behind a longer one, the next part does not wait until the one before is acknowledged:
that would cost frames although the link is free."""

_JITTER = 0.012
"""Seconds by which a round trip differs from another on a link that is free."""

_MOST_PARTS = 8
"""Parts that may be under way at once: enough for 30 a second behind a round trip of 0.25 s."""

_TCP_INFO = struct.Struct("=16xI36xI8xI8xI36xQ20xI")
_UNKNOWN = 2**32 - 1
"""Of linux/tcp.h, as far as it is read: tcpi_snd_mss, tcpi_last_ack_recv (ms), tcpi_rtt (µs),
tcpi_snd_cwnd, tcpi_bytes_acked and tcpi_min_rtt (µs)."""


_SILENCE = 0.5
"""Seconds without a part after which the next tick brings the state: so one comes every second."""

_SILENCE_WITHOUT_PICTURES = 14.5


class Report(NamedTuple):
    """What a page has measured.

    ``age`` is how old its newest picture was when it came, in seconds, ``rate`` how many bytes a
    second came.
    """

    age: float
    rate: float


class News:
    """What a viewer that reads the state is still to be sent of it.

    Without ``pictures`` it reads nothing else. ``waiting`` is the newest state as a part, b"" once
    it was sent, and ``sent_at`` is when that was, on time.monotonic()'s clock.
    """

    __slots__ = ("pictures", "sent_at", "waiting")

    def __init__(self, *, pictures: bool) -> None:
        self.pictures = pictures
        self.waiting = b""
        self.sent_at = 0.0

    def take(self) -> bytes:
        """Return the part that waits, which is being sent now."""
        part, self.waiting = self.waiting, b""
        self.sent_at = time.monotonic()
        return part

    def is_silent(self, now: float, pictured_at: float) -> bool:
        """Return whether it has read nothing for so long that it needs a sign of life.

        ``pictured_at`` is the moment of its newest picture.
        """
        longest = _SILENCE if self.pictures else _SILENCE_WITHOUT_PICTURES
        return now - max(self.sent_at, pictured_at) > longest


class TcpInfo(NamedTuple):
    """What the kernel knows of a connection: all 0 if it does not say.

    ``ago`` is how long ago an acknowledgement came, ``round_trip`` how long they take now, and
    ``shortest`` how long they took at least, in seconds. ``acknowledged`` and ``room`` are bytes:
    those that have arrived, and how many it lets be under way.
    """

    ago: float = 0.0
    round_trip: float = 0.0
    shortest: float = 0.0
    acknowledged: int = 0
    room: int = 0

    @classmethod
    def of(cls, sock: socket.socket) -> TcpInfo:
        """Ask the kernel."""
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        if len(info) < _TCP_INFO.size:
            return cls()
        segment, ago, round_trip, segments, acknowledged, shortest = _TCP_INFO.unpack(info)
        shortest = 0 if shortest == _UNKNOWN else shortest
        return cls(ago / 1e3, round_trip / 1e6, shortest / 1e6, acknowledged, segment * segments)


class Viewer:
    """A connection that belongs to the broadcaster's thread.

    Others may only ask for its status, and set ``reported``.

    ``pending`` is what is left of a part that was sent only in part: until it is sent, no
    other frame may follow. ``pending_frame`` is its frame. ``sequence`` and ``captured_at`` are
    those of the newest frame that the kernel took as a whole, 0 before the first, ``sent`` how
    many there were, in the processes before as well. ``due`` is when the next frame may go to a
    viewer with a rate cap (0: it takes every frame). ``session`` is its TLS, None for plain
    text. ``row`` is its place among the viewers that outlive the process (0: none).
    ``whole`` is what the table of these viewers says of it while no part is under way.
    ``ticket`` stands for the embed URL that opened the stream (b"": none did). ``news`` is None
    unless it reads the state as well; then it is sent no cards. ``step`` says which
    pictures it is sent: 0 stands for the camera's own, others for smaller ones (see link.py).
    ``reported`` is what its page has measured last.
    ``unchecked_sends`` is for how many frames its link is not checked, ``idle_streak`` how often
    in a row it was idle when it was checked. ``most_unacknowledged`` is how many bytes may be
    under way when the next frame follows: ``usual``, or ``window`` behind a long round trip if
    that is more. ``carried`` is how many arrive in such a round trip, and ``acknowledged`` how many
    had arrived when this was measured.
    """

    __slots__ = (
        "acknowledged",
        "address",
        "advance",
        "captured_at",
        "carried",
        "dropped",
        "due",
        "fd",
        "fps",
        "idle_streak",
        "key",
        "most_unacknowledged",
        "news",
        "pending",
        "pending_frame",
        "period",
        "progress",
        "reported",
        "row",
        "sent",
        "sent_before",
        "sequence",
        "session",
        "since",
        "sock",
        "stalled_since",
        "step",
        "ticket",
        "unchecked_sends",
        "usual",
        "whole",
        "window",
    )

    is_adaptive = False
    """Whether it may be sent smaller pictures than the camera's."""

    def __init__(
        self,
        sock: socket.socket,
        address: str,
        *,
        key: str,
        fps: float | None,
        advance: bool,
        session: Session | None = None,
        ticket: bytes = b"",
        news: News | None = None,
    ) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.unchecked_sends = self.idle_streak = 0
        self.address = address
        self.key = key
        self.advance = advance
        self.session = session
        self.news = news
        self.reported: Report | None = None
        self.ticket = ticket
        self.step = 0
        self.since = time.monotonic()
        self.period = 1 / fps if fps else 0.0
        self.due = 0.0
        self.pending: memoryview | None = None
        self.pending_frame: Frame | None = None
        self.sequence = self.sent = self.dropped = 0
        self.captured_at = 0.0
        self.fps = 0.0
        self.sent_before = 0
        self.row = 0
        self.whole = between_parts(advance=advance, more=self.is_adaptive or news is not None)
        self.stalled_since = 0.0
        self.progress: tuple[int, int, int] = (0, 0, 0)
        self.most_unacknowledged = self.usual = _prepare(sock)
        self.window = self.acknowledged = 0
        self.carried = 0.0

    @classmethod
    def restored(cls, record: ViewerRecord, sock: socket.socket, row: int) -> Viewer:
        """Return a viewer of the process before. Raises OSError if its connection has ended."""
        fps = 1 / record.period if record.period else None
        viewer = cls(
            sock,
            record.address,
            key=record.key,
            fps=fps,
            advance=record.advance,
            ticket=record.ticket,
            news=News(pictures=record.pictures) if record.news else None,
        )
        viewer.since = record.since
        viewer.sent = viewer.sent_before = record.sent
        viewer.dropped = record.dropped
        viewer.due = record.due
        viewer.row = row
        return viewer

    def record(self) -> ViewerRecord:
        """Return what the next process has to know."""
        return ViewerRecord(
            address=self.address,
            key=self.key,
            period=self.period,
            advance=self.advance,
            since=self.since,
            sent=self.sent,
            dropped=self.dropped,
            due=self.due,
            ticket=self.ticket,
            news=self.news is not None,
            pictures=self.has_pictures,
        )

    @property
    def is_settled(self) -> bool:
        """Whether it has been here for a second at least."""
        return self.stalled_since > 0

    @property
    def is_encrypted(self) -> bool:
        """Whether it is over TLS."""
        return self.session is not None

    @property
    def has_pictures(self) -> bool:
        """Whether it is sent pictures, and not the state alone."""
        return self.news is None or self.news.pictures

    @property
    def tier(self) -> int:
        """The best step that it may have."""
        return 0

    @property
    def quality(self) -> str:
        """What ``/status`` says of the pictures that it gets."""
        return "full"

    def set_pending(self, encrypted: bytes, frame: Frame) -> None:
        """Make an encrypted frame pending: without all of it, nothing later can be decrypted."""
        self.pending = memoryview(encrypted)
        self.pending_frame = frame
        if self.period:
            self.advance_due(frame.captured_at)
        self.unchecked_sends -= 1

    def finish_pending(self) -> None:
        """Count what was pending as sent."""
        self.pending = None
        frame, self.pending_frame = self.pending_frame, None
        if frame is not None:
            self.sent += 1
            self.sequence = frame.sequence
            self.captured_at = frame.captured_at

    def close(self) -> None:
        """Close the connection; if the stream ends with it, say so as far as that is possible."""
        if self.pending is None and not self.row:
            text = b"" if self.advance else multipart.ENDING
            with suppress(OSError):  # It is being closed anyway.
                if self.session is not None:
                    text = self.session.encrypt(text) + self.session.close_notify()
                os.write(self.fd, text)
        self.sock.close()

    def is_idle(self) -> bool:
        """Return whether the link can take a frame at once, or nearly so.

        A link that was idle for a second is then trusted for a few frames: to check it costs as
        much as everything else that is done for a viewer and a frame.
        """
        if unacknowledged(self.fd) > self.most_unacknowledged:
            self.idle_streak = 0
            return False
        self.idle_streak += 1
        is_trusted = self.idle_streak > _TRUSTED_IDLE_STREAK
        self.unchecked_sends = _TRUSTED_UNCHECKED_SENDS if is_trusted else 1
        return True

    @property
    def is_free(self) -> bool:
        """Whether nothing is under way to it, so that the state may be sent."""
        return self.pending is None and unacknowledged(self.fd) <= self.most_unacknowledged

    def shows(self, frame: Frame) -> bool:
        """Return whether it is sent this frame. A viewer that reads the state is sent no cards."""
        return self.news is None or (self.news.pictures and frame.live)

    def is_due(self, captured_at: float) -> bool:
        """Return whether the cap lets a frame of that moment through, or nearly so."""
        return captured_at >= self.due - _EARLY_SECONDS

    def advance_due(self, captured_at: float) -> None:
        """Count a frame against the cap, on a fixed grid so that the spacing stays even."""
        on_grid = captured_at - self.due < self.period
        self.due = (self.due if on_grid else captured_at) + self.period

    def sample_rate(self, seconds: float) -> None:
        """Measure the frame rate over the last ``seconds``, smoothed over a few samples."""
        frames = self.sent - self.sent_before
        rate = frames / seconds
        self.sent_before = self.sent
        self.fps = (self.fps + rate) / 2 if self.fps else rate
        self._measure_window(frames, seconds)

    def _measure_window(self, frames: int, seconds: float) -> None:
        """Learn how many bytes are under way on the link itself, and how many may be.

        Those are what arrives in a round trip, and one part more if the link is free. What is more
        than that would wait in a queue, and be old when it arrives: then the round trip is longer,
        by more than a single part takes. The kernel must be able to send the next part at once.
        """
        info = TcpInfo.of(self.sock)
        arrived = info.acknowledged - self.acknowledged
        is_known = self.acknowledged and frames
        self.acknowledged = info.acknowledged
        queued = info.round_trip - info.shortest - _JITTER
        is_long = info.shortest >= _LONG_ROUND_TRIP
        if not is_known or not is_long or queued > info.shortest + seconds / frames:
            self.carried = 0.0
            self.allow(0)
            return
        part = arrived / frames
        self.carried = arrived / seconds * info.shortest
        more = part if queued < info.shortest / 4 else 0.0
        self.allow(int(min(self.carried + more, _MOST_PARTS * part, info.room - part)))

    def allow(self, window: int) -> None:
        """Set how many bytes may be under way behind a long round trip."""
        self.window = max(window, 0)
        self.most_unacknowledged = max(self.usual, window)

    def seconds_stalled(self, now: float) -> float:
        """Return for how long data has been under way without any progress."""
        backlog = unacknowledged(self.fd)
        progress = (self.sent, len(self.pending) if self.pending else 0, backlog)
        if progress != self.progress or not (backlog or self.pending):
            self.progress = progress
            self.stalled_since = now
        return now - self.stalled_since

    def status(self, now: float, clock_offset: float) -> ViewerStatus:
        """Return the viewer's row of ``/status``.

        ``now`` is time.monotonic(), and ``clock_offset`` is clock.offset(): the same for all rows.
        """
        return ViewerStatus(
            self.key,
            self.address,
            round(self.since + clock_offset, 3),
            round(self.fps, 1),
            self.sent,
            self.dropped,
            round((now - self.captured_at) * 1000) if self.captured_at else None,
            self.quality,
        )

    def reset_on_close(self) -> None:
        """Make the kernel drop what it still holds when the socket is closed."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


_outq = array("i", [0])


def unacknowledged(fd: int) -> int:
    """Return how many bytes of a TCP socket the other side has not acknowledged.

    For the broadcaster's thread alone: the buffer is shared, to save an allocation for every
    viewer and frame.
    """
    fcntl.ioctl(fd, _SIOCOUTQ, _outq, True)
    return _outq[0]


def _prepare(sock: socket.socket) -> int:
    """Set the socket up for fresh pictures; return how many bytes may be unacknowledged.

    Two segments, for that many may wait for a delayed acknowledgement on the fastest link:
    about 3 KB on Ethernet and Wi-Fi (a few ms on a slow link), more than a frame on
    loopback, where a smaller limit would cost frames.
    """
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOTSENT_LOWAT_BYTES)
    return max(4096, 2 * segment_size(sock))


def segment_size(sock: socket.socket) -> int:
    """Return how many bytes a TCP socket sends in one packet."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
