"""PreRoll: the live pictures of the last few seconds, so that a film begins before the press."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from doorbelld.media.frame import Frame
from doorbelld.stream.hub import FrameHub, Sampling

_MOST_BYTES = 8 << 20
"""Of all its pictures; if they are large, it goes back less far."""

_LATE = 0.5
"""Seconds by which a press may come late to here, on a busy machine."""

_WINDOW = 1.0
"""Seconds before a press from which its still is taken."""


class PreRoll:
    """Holds pictures of ``hub``, evenly spaced, and passes each on to ``on_frame`` as well.

    ``on_frame`` is called in the thread that publishes the frame, and must neither block nor call
    the hub. Any thread may call the methods.
    """

    def __init__(self, hub: FrameHub, on_frame: Callable[[Frame], None]) -> None:
        self._hub = hub
        self._on_frame = on_frame
        self._lock = threading.Lock()
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._seconds = self._before = 0.0
        self._spacing = 0.0
        self._sampling: Sampling | None = None

    def start(self, before: float, framerate: float) -> None:
        """Hold the last ``before`` seconds from now on; what it holds already stays."""
        self.stop()
        with self._lock:
            self._before, self._spacing = before, 1 / framerate
            self._seconds = max(before, _WINDOW) + self._spacing + _LATE
        self._sampling = self._hub.sample(self._take, framerate)

    def stop(self) -> None:
        """Take no more pictures."""
        if self._sampling is not None:
            self._hub.end_sampling(self._sampling)
            self._sampling = None

    def clear(self) -> None:
        """Forget all pictures."""
        with self._lock:
            self._frames.clear()
            self._bytes = 0

    def before(self, moment: float) -> list[Frame]:
        """Return the pictures of the seconds before ``moment``, and those since, in their order.

        The first one is that which is nearest to the beginning of these seconds.
        """
        with self._lock:
            begin = moment - self._before - self._spacing / 2 if self._before else moment
            return [each for each in self._frames if each.captured_at > begin]

    def sharpest(self, moment: float) -> Frame | None:
        """Return the sharpest picture of the second before ``moment``, None if there is none.

        A sharp picture has more detail than a blurred one of the same scene, so its JPEG is larger.
        """
        with self._lock:
            recent = [each for each in self._frames if 0 <= moment - each.captured_at <= _WINDOW]
        return max(recent, key=lambda each: len(each.data), default=None)

    def _take(self, frame: Frame) -> None:
        with self._lock:
            frames = self._frames
            frames.append(frame)
            self._bytes += len(frame.data)
            oldest = frame.captured_at - self._seconds
            while frames[0].captured_at < oldest or (self._bytes > _MOST_BYTES and len(frames) > 1):
                self._bytes -= len(frames.popleft().data)
        self._on_frame(frame)
