"""Link: what the way to one viewer can carry, and which quality of picture fits it.

The quality is a step of a ladder: step 0 is the camera's own picture, and each further step has
fewer bytes (see tiers.py). The aim is twenty pictures a second, each of them on the screen soon
after its capture. What a link carries is learnt from the time that each part takes to be
acknowledged, without the round trip, which is the same for a smaller one. Behind a proxy that is
only what the proxy took, so a viewer may also report what it gets: the worse of the two counts.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from dataclasses import replace
from typing import NamedTuple

from doorbelld.net.viewerrecord import ViewerRecord
from doorbelld.stream.viewer import TcpInfo, Viewer, segment_size, unacknowledged

_LONGEST = 0.05
"""Seconds that a part may take; if it takes longer, smaller ones are sent."""

_FITTING = 0.042
"""Seconds that a part of the smaller ones takes at most, if there are any that small."""

_RISING = 0.03
"""Seconds that a part of the larger ones would take at most, before these are sent."""

_EASY = 0.03
"""Seconds: if parts take no longer, a step up is tried even if the next one does not seem to fit.
Delays that have nothing to do with the number of bytes make it look slower than it is."""

_LONG_ROUND_TRIP = 0.03
"""Seconds. Behind a longer one there are fewer pictures anyway, and parts may take longer too."""

_SEVERE = 0.3
"""Seconds: a part that takes so long is believed at once."""

_ENOUGH = 3
"""Parts of which the fastest counts: a link that is too slow is so for each of them, and other
delays (Wi-Fi, a lost packet, a busy processor) are not."""

_FALLING_GAIN, _RISING_GAIN = 1 / 2, 1 / 8
"""How much of a new measurement counts, if it is worse or better than those before."""

_STEP_SECONDS = 1.0
"""Seconds between two steps up, and for which the next one has to fit before it is taken."""

_TRIAL_SECONDS = 3.0
"""Seconds for which parts have to be easy before a step up is tried."""

_FAILED_WITHIN = 15.0
"""Seconds after a step up in which a fall means that the step was too much."""

_REPORTED_WITHIN = 20.0
"""The same for a fall because of a report: the buffers of a proxy have to fill first."""

_FIRST_HOLD, _LONGEST_HOLD = 2.0, 60.0
"""Seconds after a fall without a step up. They double each time that one was too much."""

_REPORTED_HOLD = 5.0
"""The same, for a viewer that had to report: how it fares is not known before its next report."""

_BEHIND = 0.5
"""Seconds: a viewer whose report has an older picture than this is behind."""

_BELIEVED = 30.0
"""Seconds after which a viewer is not behind any more if it has not reported so again."""

_DRAINING = 0.7
"""Part of the reported rate that is used, so that what is on its way can drain."""

_USEFUL = 0.85
"""A step must have at most this part of the bytes of the one before, or it is left out."""


class Wishes(NamedTuple):
    """What a viewer with adaptive quality has asked for.

    ``width`` is how many pixels its screen can show, ``rate`` how many bytes a second it has
    measured; 0 for not given. ``best`` is the best step that it may have, if its width is not
    known any more.
    """

    width: int = 0
    rate: float = 0.0
    best: int = 0


class Steps:
    """What the steps of the ladder are now; the same object for all viewers.

    ``sizes`` are the bytes of a picture on each step, ``widths`` the pixels; step 0 is the camera's
    own. If no others can be made, it is the only one.
    """

    def __init__(self) -> None:
        self.sizes: tuple[float, ...] = (0.0,)
        self.widths: tuple[int, ...] = (0,)

    def best(self, wishes: Wishes) -> int:
        """Return the best step that a viewer may have."""
        if not wishes.width:
            return min(wishes.best, len(self.sizes) - 1)
        width = max(wishes.width, min(self.widths))
        return next(step for step, each in enumerate(self.widths) if each <= width)

    def useful(self, best: int) -> list[int]:
        """Return the steps from ``best`` on, without those that save next to nothing."""
        sizes, found = self.sizes, [best]
        for step in range(best + 1, len(sizes)):
            if sizes[step] < _USEFUL * sizes[found[-1]]:
                found.append(step)
        return found


class Link:
    """Chooses the step for one viewer. Time is time.monotonic(), or that of a simulation.

    ``step`` is the one that fits. The sender calls :meth:`sent` for each part, and
    :meth:`arrived` when it is acknowledged.
    """

    def __init__(self, steps: Steps, wishes: Wishes, now: float) -> None:
        self.sent_at = 0.0
        self._steps = steps
        self._wishes = wishes
        self._size = 0.0
        self._waiting = 0
        self._pace = 0.0  # seconds a byte; 0 while it is not known
        self._recent: deque[float] = deque(maxlen=_ENOUGH)
        self._fits_since = self._easy_since = now
        self._patience = 1.0  # how many times as long as usual a part may take
        self._changed_at = now
        self._rose_at = 0.0  # 0 if the last step up was too much
        self._hold = _FIRST_HOLD
        self._rise_at = now
        self._failed_pace = 0.0
        self._reported_at = -_BELIEVED
        self._reports = False
        self._unused_rate = wishes.rate  # until there are steps to choose from; then 0
        self.step = self.best
        self.choose(now)

    @property
    def best(self) -> int:
        """The best step that the viewer may have, whatever its link carries."""
        return self._steps.best(self._wishes)

    @property
    def quality(self) -> str:
        """What ``/status`` says of it; any thread may ask."""
        step, widths = self.step, self._steps.widths
        if len(widths) == 1:
            return "full"
        return f"auto {widths[min(step, len(widths) - 1)]}" if step else "auto"

    def sent(self, now: float, step: int, waiting: int) -> None:
        """Begin to measure a part of a picture on this step, which is being sent.

        ``waiting`` bytes before it are not acknowledged.
        """
        self.sent_at = now
        sizes = self._steps.sizes
        self._size = sizes[step] if step < len(sizes) else 0.0
        self._waiting = waiting

    def arrived(
        self, now: float, waiting: int, round_trip: float, *, at_latest: bool = False
    ) -> None:
        """Learn that the part has arrived, but for ``waiting`` bytes that are not acknowledged.

        ``at_latest`` if it may have arrived long before.
        """
        taken = max(now - self.sent_at - round_trip, 0.001)
        self.sent_at = 0.0
        self._patience = max(1.0, round_trip / _LONG_ROUND_TRIP)
        if not self._size:
            return
        moved = self._size + self._waiting - waiting
        if at_latest or moved < self._size / 2:  # Too little to measure, and nothing in its way.
            taken, moved = min(taken, _FITTING / 2), self._size
        pace = taken / moved
        self._recent.append(pace)
        if taken < _SEVERE * self._patience:
            if len(self._recent) < _ENOUGH:
                return  # A connection is slow at first.
            pace = min(self._recent)
        gain = _FALLING_GAIN if pace > self._pace else _RISING_GAIN
        self._pace = self._pace + gain * (pace - self._pace) if self._pace else pace
        if taken >= _SEVERE * self._patience:
            self._pace = max(self._pace, pace)
        self.choose(now)

    def report(self, now: float, age: float, rate: float) -> None:
        """Learn from the viewer how old its pictures are, and how many bytes a second came in."""
        if age > _BEHIND:
            self._believe(now, rate)
            return
        if self._is_behind(now):
            self._rise_at = now + self._hold
        self._reported_at = -_BELIEVED
        self._unused_rate = 0.0

    def choose(self, now: float) -> None:
        """Fall to a step that fits, or rise by one if the next has fitted for long enough."""
        if self._unused_rate and len(self._steps.sizes) > 1:
            self._believe(now, self._unused_rate)
        useful = self._steps.useful(self.best)
        if self.step not in useful:
            self.step = next((each for each in useful if each > self.step), useful[-1])
        better = useful[max(useful.index(self.step) - 1, 0)]
        if self._takes(better) > _RISING:
            self._fits_since = now
        if self._takes(self.step) > _EASY:
            self._easy_since = now
        if self._takes(self.step) > _LONGEST:
            self._fall(now, self._fitting(useful, self._pace))
        elif better < self.step and self._may_rise(now):
            self._rise(now, better)

    def _takes(self, step: int) -> float:
        """Return how long a part takes, in seconds, allowing for a long round trip."""
        return self._steps.sizes[step] * self._pace / self._patience

    def _fitting(self, useful: list[int], pace: float) -> int:
        most = _FITTING * self._patience / pace
        return next((each for each in useful if self._steps.sizes[each] <= most), useful[-1])

    def _is_behind(self, now: float) -> bool:
        return now - self._reported_at < _BELIEVED

    def _may_rise(self, now: float) -> bool:
        if self._is_behind(now):
            return False
        # It is another link than the one on which the last step up was too much.
        is_better = self._pace < self._failed_pace / 2 and not self._reports
        if now - self._changed_at < _STEP_SECONDS or (now < self._rise_at and not is_better):
            return False
        easy_since = max(self._changed_at, self._easy_since)
        return now - self._fits_since >= _STEP_SECONDS or now - easy_since >= _TRIAL_SECONDS

    def _rise(self, now: float, step: int) -> None:
        if self._rose_at and now - self._rose_at > _FAILED_WITHIN:  # It was not too much.
            self._hold = max(self._hold / 2, _FIRST_HOLD)
        self.step = step
        self._changed_at = self._rose_at = now
        self._rise_at = now + (_REPORTED_HOLD if self._reports else _STEP_SECONDS)

    def _fall(self, now: float, step: int, within: float = _FAILED_WITHIN) -> None:
        """Fall to this step; a step up less than ``within`` seconds ago was too much."""
        if step <= self.step:
            return
        if self._rose_at and now - self._rose_at < within:
            self._hold = min(2 * self._hold, _LONGEST_HOLD)
            self._failed_pace = self._pace
            self._rose_at = 0.0
        self.step = step
        self._changed_at = now
        self._rise_at = now + self._hold

    def _believe(self, now: float, rate: float) -> None:
        """Fall to what a viewer that is behind says it gets."""
        self._reports = True
        self._reported_at = now
        self._unused_rate = rate if len(self._steps.sizes) == 1 else 0.0
        self._hold = max(self._hold, _REPORTED_HOLD)
        useful = self._steps.useful(self.best)
        step = self._fitting(useful, 1 / max(rate * _DRAINING, 1.0))
        self._fall(now, step, _REPORTED_WITHIN)


class AdaptiveViewer(Viewer):
    """A viewer whose link is measured. It may be sent to after :meth:`adapt`.

    ``wishes`` is what it has asked for, and has to be set once it is made.
    """

    __slots__ = ("_round_trips", "_segments", "_was_busy", "link", "wishes")

    is_adaptive = True
    link: Link
    wishes: Wishes

    @classmethod
    def restored(cls, record: ViewerRecord, sock: socket.socket, row: int) -> AdaptiveViewer:
        """Return a viewer of the process before. Raises OSError if its connection has ended."""
        viewer = super().restored(record, sock, row)
        assert isinstance(viewer, cls)
        viewer.wishes = Wishes(best=record.tier)
        return viewer

    def adapt(self, link: Link) -> None:
        """Begin to measure."""
        self.link = link
        self._was_busy = False
        self._round_trips = 1.0
        self._segments = self.most_unacknowledged, segment_size(self.sock)
        self.change_step(link.step)

    def change_step(self, step: int) -> None:
        """Send it pictures on this step from now on.

        One segment may wait for a delayed acknowledgement. Small pictures are not much more, and
        with two of them one picture would wait behind another.
        """
        self.usual = self._segments[step > 0]
        self.allow(0 if step > self.step else self.window)
        self.step = step

    @property
    def quality(self) -> str:
        """What ``/status`` says of the pictures that it gets."""
        return self.link.quality

    @property
    def tier(self) -> int:
        """The best step that it may have; before there are any, that of the process before."""
        return self.link.best or self.wishes.best

    def record(self) -> ViewerRecord:
        """Return what the next process has to know."""
        return replace(super().record(), auto=True, tier=self.tier)

    def is_idle(self) -> bool:
        """Return whether the link can take a frame at once, and measure how fast it takes them."""
        now = time.monotonic()
        if not super().is_idle():
            self._was_busy = True
            return False
        if self.step:
            self.unchecked_sends = 1
        is_measured = self.unchecked_sends == 1
        if self.link.sent_at or is_measured:
            waiting = unacknowledged(self.fd)
            if self.link.sent_at:
                self._arrived(now, waiting)
            if is_measured:
                self.link.sent(now, self.step, waiting)
                self._round_trips = 1.0
                if self.carried:  # If the link is full, acknowledgements come all the time.
                    self._round_trips = max(0.0, 1 - waiting / self.carried)
        self._was_busy = False
        return True

    def measure(self, now: float) -> bool:
        """Look whether the last part has arrived; return whether it is still under way."""
        if not self.link.sent_at:
            return False
        if self.pending is not None:
            return False  # That it can be written to will be an event.
        if self.window > self.usual:
            return False  # The next part need not wait, and then it is seen what has arrived.
        waiting = unacknowledged(self.fd)
        if waiting > self.most_unacknowledged:
            return True
        self._was_busy = True
        self._arrived(now, waiting)
        return False

    def _arrived(self, now: float, waiting: int) -> None:
        info = TcpInfo.of(self.sock)
        # This thread may have had to wait for a processor.
        at = max(now - info.ago, self.link.sent_at)
        round_trip = info.shortest * self._round_trips
        if self.carried and not self._was_busy:
            round_trip = 0.0  # How much of it the next part had to wait is not known.
        self.link.arrived(at, waiting, round_trip, at_latest=not self._was_busy)
