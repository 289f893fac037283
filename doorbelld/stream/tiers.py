"""Tiers: smaller pictures for viewers whose link is too slow for the camera's own.

They form a ladder. Step 0 is the camera's own picture, which is never made; each further step has
fewer bytes, first by a lower quality and then by fewer pixels. One thread decodes each frame once,
and makes those steps that a viewer wants. While no viewer wants one, it sleeps, and OpenCV is not
loaded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from functools import lru_cache

from doorbelld.media import codec, jpeg
from doorbelld.media.codec import Size
from doorbelld.media.frame import Frame
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.link import AdaptiveViewer, Link, Steps
from doorbelld.stream.viewer import Viewer
from doorbelld.system.latest import Latest
from doorbelld.system.limited_log import OnceLog
from doorbelld.system.worker import Worker

_log = logging.getLogger(__name__)

MOST_STEPS = 8
"""Steps of any ladder, step 0 included: so a step fits into three bits."""

_MOST_PIXELS = 1_000_000
"""Pixels of the largest picture that is made: more take longer than until the next frame."""

_SMALL_ENOUGH = 100_000
"""Pixels: below this, only the quality is lowered further. 320x240 still shows who it is."""

_FIRST_QUALITIES, _QUALITIES, _LAST_QUALITY = (60, 45), (75, 50), 20
"""JPEG qualities: of pictures as large as the camera's, of smaller ones, and of the last step."""

_BYTES_PER_PIXEL = {20: 0.04, 45: 0.055, 50: 0.08, 60: 0.1, 75: 0.12}
"""About how large a picture of each quality is, until one has been made."""

_TICK = 1.0
_SURVEY_SECONDS = 5.0
"""Seconds after which all steps are made once, to know how many bytes they have."""

_REST_SECONDS = 5.0
"""Seconds without another attempt after a picture that could not be made."""

_PATIENCE = 2.0
"""Seconds without a made picture after which a viewer is sent the camera's own."""

_LOADING_SECONDS = 0.4
_SLOW = 250_000
"""OpenCV takes at least so long to load, and a link of unknown speed carries at least so many bytes
a second: until then, a camera's own picture is sent if it comes sooner."""

_GAIN = 1 / 4
"""How much the newest picture counts in the size of a step."""

_GROWTH = 2
"""How many times as many bytes make a picture another kind of picture at once."""

_MOST_SIZES = 64
"""Steps whose bytes are remembered. A camera that has changed its resolution more often than that
may have any number of them."""


@lru_cache(maxsize=8)
def ladder(width: int, height: int) -> tuple[Size, ...]:
    """Return the steps after step 0 for a camera's picture of this size, the largest first.

    There are none if it is too large to be decoded.
    """
    if width * height > jpeg.MOST_PIXELS_DECODED:
        return ()
    scale = 1
    while width * height / scale**2 > _MOST_PIXELS:
        scale *= 2
    sizes = []
    while True:
        wide, high = max(width // scale, 1), max(height // scale, 1)
        is_last = wide * high <= _SMALL_ENOUGH
        qualities = _FIRST_QUALITIES if scale == 1 else _QUALITIES
        sizes += [Size(wide, high, quality) for quality in qualities]
        if is_last:
            return (*sizes, Size(wide, high, _LAST_QUALITY))
        scale *= 2


class Tiers(Worker):
    """Makes the steps that are wanted from every frame of ``hub``.

    A frame of which no smaller picture can be made is passed on as it is.
    """

    def __init__(self, hub: FrameHub) -> None:
        super().__init__("encode")
        # Viewers already want frames; without one, no step is wanted.
        self._slot = hub.subscribe(self._wake_if_wanted, wants=False)
        self._hub = hub
        self._made: tuple[Latest[Frame], ...] = ()
        self._wanted: frozenset[int] = frozenset()
        self._source: Frame | None = None
        self._done: set[int] = set()
        self._left_out: frozenset[int] = frozenset()
        self._bytes: dict[Size, float] = {}
        self._survey_at = 0.0
        self._failed_at = -_REST_SECONDS
        self._made_at = -_PATIENCE
        self._is_missing = not codec.is_installed()
        self._once_log = OnceLog(_log)

    # Called from other threads.

    @property
    def available(self) -> bool:
        """Whether smaller pictures can be made, as far as is known."""
        return not self._is_missing and time.monotonic() - self._failed_at >= _REST_SECONDS

    @property
    def has_begun(self) -> bool:
        """Whether a picture has been made, so that others follow without delay."""
        return bool(self._bytes)

    def deliver(self, on_put: Callable[[], None]) -> tuple[Latest[Frame], ...]:
        """Return a slot for each step, in which its newest frame will be; before start() only."""
        self._made = tuple(Latest(on_put) for _ in range(MOST_STEPS))
        return self._made

    def want(self, steps: Iterable[int]) -> None:
        """Make these steps, and no others, from now on; the newest frame at once."""
        wanted = frozenset(steps) - {0}
        if wanted != self._wanted:
            self._wanted = wanted
            self._wakeup.set()

    def steps_of(self, frame: Frame) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """Return how many bytes each step of such a frame has, and how wide it is."""
        width, height = jpeg.size(frame.data) or (0, 0)
        sizes = ladder(width, height) if self.available and width and height else ()
        known = [self._bytes.get(each) or _guess(each) for each in sizes]
        return (len(frame.data), *known), (width, *(each.width for each in sizes))

    def _wake_if_wanted(self) -> None:
        if self._wanted:
            self._wakeup.set()

    # The thread.

    def _loop(self) -> None:
        while not self._stopping:
            self._wakeup.wait(_TICK)
            self._wakeup.clear()
            self.beat = time.monotonic()
            if self._wanted:
                self._make_wanted(self._wanted)
            else:
                self._take(None)

    def _make_wanted(self, wanted: frozenset[int]) -> None:
        """Make the wanted steps of the newest frame, as far as they are not made yet."""
        frame = self._slot.take()
        if frame is not None:
            self._take(frame)
        elif self._left_out:  # No other frame came after it, so it is better than none.
            self._pass_on(self._left_out)
            self._left_out = frozenset()
        frame = self._source = self._source or self._hub.latest
        missing = wanted - self._done
        if frame is None or not missing:
            return
        self._done |= missing
        width, height = jpeg.size(frame.data) or (0, 0)
        sizes = ladder(width, height) if self.available and width and height else ()
        left = {step for step in missing if step <= len(sizes)}
        try:
            if left:
                self._make(frame, sizes, left)
        except ImportError as error:
            self._is_missing = True
            self._explain(codec.explain_missing("making them", error))
        except ValueError as error:
            self._explain(str(error))
            if self.beat - self._made_at < _PATIENCE:  # It may be this picture alone.
                self._left_out = missing
                return
            self._failed_at = time.monotonic()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # libraries raise what they like
            self._failed_at = time.monotonic()
            self._explain(str(error) or type(error).__name__)
        else:
            missing -= set(range(1, len(sizes) + 1))
            self._made_at = self.beat
        self._pass_on(missing)

    def _take(self, frame: Frame | None) -> None:
        """Make the steps of this frame from now on."""
        self._source = frame
        self._done.clear()
        self._left_out = frozenset()

    def _pass_on(self, steps: Iterable[int]) -> None:
        """Deliver the camera's own picture in place of these steps."""
        assert self._source is not None
        for step in steps:
            self._put(step, self._source)

    def _put(self, step: int, frame: Frame) -> None:
        """Deliver a frame, unless the camera was closed on purpose while it was made."""
        if not frame.live or self._hub.takes_live:
            self._made[step].put(frame)

    def _make(self, frame: Frame, sizes: tuple[Size, ...], wanted: set[int]) -> None:
        """Make these steps of a frame, and put each into its slot as soon as it is made."""
        now = time.monotonic()
        is_survey = now >= self._survey_at or any(each not in self._bytes for each in sizes)
        if is_survey:
            self._survey_at = now + _SURVEY_SECONDS
            if len(self._bytes) > _MOST_SIZES:
                self._bytes.clear()
        steps = range(1, len(sizes) + 1) if is_survey else sorted(wanted)
        for step, data in zip(steps, codec.shrink(frame.data, [sizes[step - 1] for step in steps])):
            size = sizes[step - 1]
            before = self._bytes.get(size, len(data))
            self._bytes[size] = before + _GAIN * (len(data) - before)
            if step in wanted:
                self._put(step, frame._replace(data=data, made_width=size.width))

    def _explain(self, why: str) -> None:
        """Log once why there are no smaller pictures."""
        self._once_log.log(
            logging.WARNING, f"viewers with slow links get the camera's own pictures: {why}"
        )

    def _close(self) -> None:
        self._hub.unsubscribe(self._slot)
        super()._close()


def _guess(size: Size) -> float:
    return size.width * size.height * _BYTES_PER_PIXEL[size.quality]


class AdaptiveViewers:
    """The viewers with adaptive quality, for the broadcaster's thread: which frame is for which.

    ``shown`` is the newest made frame of each step that is wanted. ``is_measuring`` is whether a
    part is under way whose arrival has to be looked for.
    """

    def __init__(self, tiers: Tiers | None, on_made: Callable[[], None]) -> None:
        self.shown: dict[int, Frame] = {}
        self.is_measuring = False
        self._tiers = tiers
        self._slots = tiers.deliver(on_made) if tiers else ()
        self._viewers: dict[int, AdaptiveViewer] = {}
        self._steps = Steps()
        self._looked_at = 0.0
        self._is_live = False  # whether the camera's newest frame is
        self._asked: set[int] = set()
        # Of each step, the time of the oldest frame that has waited for it since the last made one.
        self._awaited: dict[int, float] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._viewers)

    def add(self, viewer: AdaptiveViewer, newest: Frame | None) -> None:
        """Begin with a viewer; ``newest`` is the camera's newest frame."""
        now = time.monotonic()
        self._is_live = newest is not None and newest.live
        self._look(newest, now)
        viewer.adapt(Link(self._steps, viewer.wishes, now))
        self._begin(viewer, newest)
        self._viewers[viewer.fd] = viewer
        self._want()

    def remove(self, viewer: Viewer) -> None:
        """Forget a viewer, if it was one of these."""
        if self._viewers.pop(viewer.fd, None):
            self._want()

    def take(self) -> set[int]:
        """Take the frames that were made; return their steps.

        Viewers that wait for such a step are sent its pictures from now on.
        """
        fresh = set()
        for step in self._asked:
            frame = self._slots[step].take()
            if frame is None:
                continue
            self.shown[step] = frame
            self._awaited.pop(step, None)
            fresh.add(step)
            if not frame.made_width:
                self._looked_at = 0.0  # It could not be made.
            for viewer in self._viewers.values():
                if viewer.link.step == step != viewer.step:
                    viewer.change_step(step)
        return fresh

    def of_step(self, step: int, frame: Frame) -> list[Viewer]:
        """Return the viewers for which this frame of a step is."""
        return [
            viewer
            for viewer in self._viewers.values()
            if viewer.step == step and viewer.sequence < frame.sequence and viewer.shows(frame)
        ]

    def without(self, viewers: list[Viewer], frame: Frame) -> list[Viewer]:
        """Return the ``viewers`` that are sent the camera's own ``frame``.

        Those of a step are too if nothing is made for it any more.
        """
        has_grown = len(frame.data) > _GROWTH * self._steps.sizes[0]
        is_other = frame.live and (has_grown or not self._is_live)  # perhaps of another camera
        self._is_live = frame.live
        if is_other:
            self._look(frame, time.monotonic())
        for viewer in self._viewers.values():
            if viewer.link.step and (is_other or not viewer.sequence):
                self._begin(viewer, frame)
            is_newer = viewer.sequence < frame.sequence
            if (
                viewer.step
                and is_newer
                and not (viewer.link.step and self._is_served(viewer, frame))
            ):
                viewer.change_step(0)
        return [viewer for viewer in viewers if not viewer.step]

    def first(self, viewer: Viewer, newest: Frame | None) -> Frame | None:
        """Return the frame with which a viewer begins, None if it is still to be made."""
        if newest is None or not viewer.step:
            return newest
        made = self.shown.get(viewer.step)
        return made if made is not None and made.sequence >= newest.sequence else None

    def follow(self, newest: Frame | None, now: float) -> None:
        """Measure the links, and have those steps made that fit them."""
        if now - self._looked_at >= _TICK:
            self._look(newest, now)
        self.is_measuring = False
        for viewer in self._viewers.values():
            if viewer.reported is not None:
                viewer.link.report(now, viewer.reported.age, viewer.reported.rate)
                viewer.reported = None
            if viewer.step and viewer.measure(now):
                self.is_measuring = True
        self._want()

    def clear(self) -> None:
        """Forget all viewers."""
        self._viewers.clear()
        self._want()

    def _begin(self, viewer: AdaptiveViewer, newest: Frame | None) -> None:
        """Choose the first pictures of a viewer: the camera's own, while those come sooner."""
        most = (viewer.wishes.rate or _SLOW) * _LOADING_SECONDS
        is_loading = self._tiers is not None and not self._tiers.has_begun
        is_sooner = is_loading and newest is not None and len(newest.data) <= most
        viewer.change_step(0 if is_sooner else viewer.link.step)

    def _look(self, newest: Frame | None, now: float) -> None:
        """Look what the steps of the camera's pictures are now."""
        if self._tiers is None or newest is None or not newest.live:
            return
        self._looked_at = now
        self._steps.sizes, self._steps.widths = self._tiers.steps_of(newest)
        for viewer in self._viewers.values():
            viewer.link.choose(now)

    def _is_served(self, viewer: AdaptiveViewer, frame: Frame) -> bool:
        """Return whether pictures of its step are made in time."""
        made = self.shown.get(viewer.step)
        if made is not None and made.sequence >= frame.sequence - 1:
            return True
        # Not since the last made one: the camera may have had nothing to show for any time.
        since = self._awaited.setdefault(viewer.step, frame.captured_at)
        return frame.captured_at - since < _PATIENCE

    def _wanted(self) -> set[int]:
        """Return the steps that viewers are sent or wait for."""
        viewers = self._viewers.values()
        steps = {viewer.step for viewer in viewers} | {viewer.link.step for viewer in viewers}
        return steps - {0}

    def _want(self) -> None:
        wanted = self._wanted()
        if self._tiers is None or wanted == self._asked:
            return
        for step in wanted - self._asked:
            self._slots[step].take()  # It was being made when the last viewer left.
        for step in self._asked - wanted:
            self.shown.pop(step, None)
            self._awaited.pop(step, None)
        self._asked = wanted
        self._tiers.want(wanted)
