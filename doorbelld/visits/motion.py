"""MotionThread: looks for what moves in front of the camera, so that it is recorded as a visit.

It looks at five pictures a second, and only at those: a camera whose pictures no one needs is asked
for these alone. What moves has to be seen in several looks, so a flash, a lamp that is switched on
and the camera's own exposure are no visit.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from doorbelld.media import codec
from doorbelld.media.codec import ChangeFinder
from doorbelld.media.frame import Frame
from doorbelld.stream.hub import FrameHub
from doorbelld.system.limited_log import OnceLog
from doorbelld.system.worker import Worker

_log = logging.getLogger(__name__)

Zone = tuple[float, float, float, float]
"""Left, top, width and height of a part of the picture, in fractions of its width and height."""

_INTERVAL = 0.2
"""Seconds between two looks."""

_FRESH = 0.1
"""Seconds for which a picture that was made for something else is new enough."""

_LEAST = 0.0016
"""The part of the picture that has to move: a person at the far end of a garden path."""

_LOOKS, _LOOKS_WITH_MOTION = 5, 3
"""Of so many looks, so many have to show something that moves."""

_SETTLE = 10
"""Looks after the start, or after the camera was away, while a camera finds its exposure."""

_GAP = 3.0
"""Seconds without a picture after which the camera may look elsewhere."""

_REST, _LONG_REST = 5.0, 60.0
"""Seconds without a look after something has failed, and without OpenCV."""

_DAY = 86400.0
_MOST_A_DAY = 250
"""Visits of motion in a day: half of all, so that there is always room for those who ring."""

_PAUSE, _LONGEST_PAUSE = 10.0, 3600.0
"""Seconds after a visit until motion may begin another. After one that was as long as it can be
they double: what moves all the time is no visitor."""


class MotionSettings(NamedTuple):
    """Where motion does not count, and how long a visit is; see ``[visits]``."""

    ignore: Sequence[Zone] = ()
    after: float = 15.0
    longest: float = 60.0


class Spells:
    """When something moves, and whether it may be recorded. Moments are time.monotonic()'s."""

    def __init__(self, after: float, longest: float) -> None:
        self._after = after
        self._longest = longest
        self._begun: deque[float] = deque(maxlen=_MOST_A_DAY)
        self._last_at = -math.inf
        self._pause = _PAUSE

    def add(self, moved_at: float) -> bool:
        """Note that something moves; return whether it belongs to a visit, a new one or not."""
        begun_at = self._begun[-1] if self._begun else -math.inf
        ends_at = min(self._last_at + self._after, begun_at + self._longest)
        if moved_at <= ends_at:
            self._last_at = moved_at
            return True
        goes_on = moved_at <= self._last_at + self._after
        if goes_on and moved_at < ends_at + self._pause:
            self._last_at = moved_at  # It has moved all the time since.
            return False
        return self._begin(moved_at, ends_at, goes_on=goes_on)

    def _begin(self, moved_at: float, ended_at: float, *, goes_on: bool) -> bool:
        is_full = len(self._begun) == _MOST_A_DAY and moved_at - self._begun[0] < _DAY
        if is_full or moved_at < ended_at + _PAUSE:
            return False
        self._pause = min(self._pause * 2, _LONGEST_PAUSE) if goes_on else _PAUSE
        self._begun.append(moved_at)
        self._last_at = moved_at
        return True


class MotionThread(Worker):
    """Calls ``on_motion`` with the moment of each motion in the live pictures of ``hub``.

    It is called in this thread, for as long as something moves, with time.monotonic() of the first
    look that has shown it. Nothing that goes wrong ends the thread: ``problem`` says what does.
    """

    def __init__(
        self, hub: FrameHub, on_motion: Callable[[float], None], settings: MotionSettings
    ) -> None:
        super().__init__("motion")
        self.problem = ""
        """Why no motion can be found at the moment: a sentence without full stop, or empty."""
        self.looks = 0
        """How many pictures were looked at."""
        self._hub = hub
        self._on_motion = on_motion
        self._slot = hub.subscribe(lambda: None, wants=False)
        self._finder = ChangeFinder(settings.ignore)
        self._spells = Spells(settings.after, settings.longest)
        self._moved: deque[float | None] = deque(maxlen=_LOOKS)
        self._settling = _SETTLE
        self._last: Frame | None = None
        self._once_log = OnceLog(_log)

    def _loop(self) -> None:
        due = time.monotonic()
        while not self._stopping:
            self.beat = now = time.monotonic()
            rest = self._try_to_look(now)
            due = max(due + _INTERVAL, now) + rest
            self._wakeup.wait(max(due - time.monotonic(), 0))

    def _try_to_look(self, now: float) -> float:
        """Look at the newest picture; return for how many seconds to rest after a failure."""
        try:
            self._look(now)
        except ImportError as error:
            self._fail(codec.explain_missing("finding motion", error))
            return _LONG_REST
        except (Exception, SystemExit) as error:  # noqa: BLE001  # libraries raise what they like
            self._fail(str(error) or type(error).__name__)
            return 0.0 if isinstance(error, ValueError) else _REST
        return 0.0

    def _fail(self, why: str) -> None:
        self.problem = why
        self._once_log.log(logging.WARNING, f"motion is not recorded: {why}")

    def _look(self, now: float) -> None:
        frame, last = self._newest(now), self._last
        if frame is None or frame is last:
            return
        if not frame.live or (last and frame.captured_at - last.captured_at > _GAP):
            self._begin_again()
        self._last = frame
        if not frame.live:
            return
        share = self._finder.look(frame.data)
        self.looks += 1
        self.problem = ""
        if self._settling:
            self._settling -= 1
            return
        self._moved.append(frame.captured_at if share >= _LEAST else None)
        moments = [each for each in self._moved if each is not None]
        if len(moments) >= _LOOKS_WITH_MOTION and self._spells.add(moments[0]):
            self._on_motion(moments[0])

    def _newest(self, now: float) -> Frame | None:
        """Return the newest frame; one is made for this only if there is no fresh one already."""
        frame = self._slot.take()
        if frame is None or now - frame.captured_at > _FRESH:
            frame = self._hub.latest
        return frame

    def _begin_again(self) -> None:
        self._finder.forget()
        self._moved.clear()
        self._settling = _SETTLE

    def _close(self) -> None:
        self._hub.unsubscribe(self._slot)
        super()._close()
