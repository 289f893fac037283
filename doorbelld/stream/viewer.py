"""Viewer: one socket that is being sent the stream, and what is known of it."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
from array import array
from contextlib import suppress
from typing import Any

from doorbelld.media import multipart
from doorbelld.media.frame import Frame
from doorbelld.net.tls import Session
from doorbelld.system import clock

_SIOCOUTQ = 0x5411
"""Ask a TCP socket how many bytes are sent or queued but not yet acknowledged."""

_NOTSENT_LOWAT = 16 * 1024
"""Bytes of a partial write that may wait in the kernel: enough to keep a link busy."""

_EARLY = 0.008
"""Seconds a frame may come before it is due: cameras are not that exact, and waiting for the
next one would space a viewer's frames unevenly."""

_PROBATION = 30
"""How often in a row a viewer must have been found free to be trusted."""

_CREDIT = 4
"""Frames for which a trusted viewer is not asked. Were its link to fail that moment, the limit
on what waits in the kernel bounds what is sent in vain."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Viewer:
    """A connection the broadcaster owns. Only its thread touches it; others may ask its status.

    ``pending`` is what is left of a part that was sent in part: until it is through, no
    other frame may follow. ``sequence`` and ``captured_at`` are those of the newest frame
    that was handed to the kernel whole, 0 before the first, ``sent`` how many there were, those
    of the process before included. ``due`` is when the next frame may go to a viewer
    with a rate cap (0: it takes every frame). ``session`` is its TLS, None for plain text.
    ``slot`` is its place in the ledger for the next process (0: none). ``ticket`` stands for the
    embed URL that opened the stream (b"": none did).
    """

    __slots__ = (
        "address",
        "advance",
        "captured_at",
        "credit",
        "dropped",
        "due",
        "fd",
        "fps",
        "gate",
        "key",
        "partial",
        "passed",
        "pending",
        "period",
        "sent",
        "sent_before",
        "sequence",
        "session",
        "since",
        "slot",
        "sock",
        "stalled_since",
        "ticket",
        "trace",
    )

    def __init__(
        self,
        sock: socket.socket,
        address: str,
        *,
        key: str,
        fps: float | None,
        advance: bool,
        session: Session | None = None,
    ) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.credit = 0
        self.passed = 0
        self.address = address
        self.key = key
        self.advance = advance
        self.session = session
        self.ticket = b""
        self.since = time.monotonic()
        self.period = 1 / fps if fps else 0.0
        self.due = 0.0
        self.pending: memoryview | None = None
        self.partial: Frame | None = None
        self.sequence = 0
        self.captured_at = 0.0
        self.sent = 0
        self.dropped = 0
        self.fps = 0.0
        self.sent_before = 0
        self.slot = 0
        self.stalled_since = 0.0
        self.trace: tuple[int, int, int] = (0, 0, 0)
        self.gate = _tune(sock)

    @property
    def is_settled(self) -> bool:
        """Whether it has been here for a tick at least."""
        return self.stalled_since > 0

    def begin_encrypted(self, encrypted: bytes, frame: Frame) -> None:
        """Make a frame pending: without all of it, nothing sent later can be decrypted."""
        self.pending = memoryview(encrypted)
        self.partial = frame
        if self.period:
            self.advance_due(frame.captured_at)
        self.credit -= 1

    def finish(self) -> None:
        """Count what was pending as through."""
        self.pending = None
        frame, self.partial = self.partial, None
        if frame is not None:
            self.sent += 1
            self.sequence = frame.sequence
            self.captured_at = frame.captured_at

    def end(self) -> None:
        """Close the connection; if the stream ends with it, say so as far as that is possible."""
        if self.pending is None and not self.slot:
            text = b"" if self.advance else multipart.CLOSING_BOUNDARY
            with suppress(OSError):  # It is being closed anyway.
                if self.session is not None:
                    text = self.session.encrypt(text) + self.session.close_notify()
                os.write(self.fd, text)
        self.sock.close()

    def has_room(self) -> bool:
        """Tell whether the link is free for a frame, or as good as free.

        Who has been found free for a second is trusted for a few frames: to ask costs as much
        as everything else that is done for a viewer and a frame.
        """
        if unacknowledged(self.fd) > self.gate:
            self.passed = 0
            return False
        self.passed += 1
        self.credit = _CREDIT if self.passed > _PROBATION else 1
        return True

    def is_due(self, captured_at: float) -> bool:
        """Tell whether a frame captured then may go out under the cap, or nearly so."""
        return captured_at >= self.due - _EARLY

    def advance_due(self, captured_at: float) -> None:
        """Count a frame against the cap, on a fixed grid so that the spacing stays even."""
        on_grid = captured_at - self.due < self.period
        self.due = (self.due if on_grid else captured_at) + self.period

    def sample_rate(self, seconds: float) -> None:
        """Take the frame rate over the last ``seconds``, smoothed over a few samples."""
        rate = (self.sent - self.sent_before) / seconds
        self.sent_before = self.sent
        self.fps = (self.fps + rate) / 2 if self.fps else rate

    def seconds_stalled(self, now: float) -> float:
        """How long nothing has moved although something was under way; 0 while it moves."""
        backlog = unacknowledged(self.fd)
        trace = (self.sent, len(self.pending) if self.pending else 0, backlog)
        if trace != self.trace or not (backlog or self.pending):
            self.trace = trace
            self.stalled_since = now
        return now - self.stalled_since

    def status(self, now: float) -> dict[str, Any]:
        """Return the viewer's row of ``/status``; ``now`` is time.monotonic()."""
        return {
            "key": self.key,
            "address": self.address,
            "since": round(clock.unix(self.since), 3),
            "fps": round(self.fps, 1),
            "sent": self.sent,
            "dropped": self.dropped,
            "age_ms": round((now - self.captured_at) * 1000) if self.captured_at else None,
        }

    def reset_on_close(self) -> None:
        """Make the kernel forget what it still holds as soon as the socket is closed."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


_outq = array("i", [0])


def unacknowledged(fd: int) -> int:
    """Return how many bytes of a TCP socket the other side has not acknowledged.

    Called from the broadcaster's thread alone: the buffer is shared to spare an allocation
    for every viewer and frame.
    """
    fcntl.ioctl(fd, _SIOCOUTQ, _outq, True)
    return _outq[0]


def _tune(sock: socket.socket) -> int:
    """Set the socket up for fresh pictures; return how much may be unacknowledged, in bytes.

    Two segments, for that many may wait for a delayed acknowledgement on the fastest link:
    about 3 KB on Ethernet and Wi-Fi (a few ms on a slow link), more than a frame on
    loopback, where a smaller gate would cost frames.
    """
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOTSENT_LOWAT)
    segment = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    return max(4096, 2 * segment)
