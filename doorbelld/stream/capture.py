"""CaptureThread: reads the camera and publishes every picture, for as long as the daemon runs.

A camera that is missing, busy, unplugged, silent or broken is closed and opened again, after a
delay that grows; until then a placeholder says what is wrong. A single picture that is damaged,
too large, or too much for the memory that is left, is left out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from doorbelld.camera.base import Camera, Shot
from doorbelld.drivers.errors import CameraError, CameraStuckError, Reason, describe, reason_of
from doorbelld.media import card
from doorbelld.stream import placeholder
from doorbelld.stream.counters import Counters
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.placeholder import HangWatch, Placeholder
from doorbelld.stream.reader import SILENT, Picture, PictureReader
from doorbelld.stream.state import CameraState, CameraStatus, Condition, StateTracker
from doorbelld.system import clock
from doorbelld.system.limited_log import StateLog
from doorbelld.system.worker import Worker

_log = logging.getLogger(__name__)

_READ = 0.5
"""Seconds that a read may take; so long a stop may have to wait for the thread."""

_LOOK = 1.0
"""Seconds between two looks at a picture while no frame is wanted."""

_FIRST_DELAY = 1.0
_LONGEST_DELAY = 15.0
"""Seconds until a camera is opened again: they double."""

_PAUSED = "The camera is paused: the shutter was closed on purpose"
_LONG = 3600.0


@dataclass(frozen=True)
class CaptureSettings:
    """What to capture.

    ``open_camera`` returns an opened camera or raises CameraError. ``name`` is what people
    call it, ``source`` where it is, without passwords. ``width`` and ``height`` are those of
    the placeholder, in pixels. After ``stall_timeout`` seconds without a picture the camera
    counts as lost; the first one may take ``time_to_start``, if that is longer.
    """

    open_camera: Callable[[], Camera]
    name: str
    source: str
    width: int
    height: int
    stall_timeout: float
    time_to_start: float = 0.0


class _Failure(NamedTuple):
    """Why a camera was closed: a sentence, the same as a code, and a clue for the log alone.

    All empty: it was asked for.
    """

    detail: str = ""
    reason: str = ""
    clue: str = ""
    is_stuck: bool = False


class CaptureThread(Worker):
    """Publishes pictures, and the placeholder while there are none, to ``hub``.

    ``on_change`` is called when the camera's state changes, in any thread, and must not block.
    """

    def __init__(
        self,
        settings: CaptureSettings,
        hub: FrameHub,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__("capture")
        self._settings = settings
        self._hub = hub
        self._reopen = False
        self._pausing = threading.Lock()
        self._paused_at: float | None = None
        self._looked_at = 0.0
        self._on_change = on_change
        self._state_log = StateLog(_log)
        self._tracker = StateTracker(self._state_log, on_change)
        self._placeholder = Placeholder(hub)
        self._hang_watch = HangWatch(self._tracker, Placeholder(hub))
        self._counters = Counters()
        self._reader: PictureReader | None = None

    # Called from other threads.

    def reconfigure(self, settings: CaptureSettings) -> None:
        """Close the camera and open the one of ``settings``; viewers stay.

        No picture of the old one is published any more from this moment on.
        """
        with self._pausing:
            self._settings = settings
            self._hub.take_live(False)
            self._reopen = True
        self._wakeup.set()

    def pause(self, paused: bool) -> None:
        """Close the camera, and keep it closed until ``pause(False)``. Waits for nothing.

        No picture is shown any more from this moment on, even if the driver needs a while.
        """
        now = time.monotonic()
        with self._pausing:
            self._paused_at = now if paused else None
            was_live = paused and self._hub.forget_live()
        if was_live:
            self._hub.publish(card.READY_MADE, now, live=False)  # The thread draws a better one.
        self._reopen = True
        self._wakeup.set()
        self._on_change()

    def status(self) -> CameraStatus:
        """Return the camera's part of ``/status``."""
        condition, found, reader = self._condition(), self._counters, self._reader
        width, height = found.size or (None, None)
        fps = found.rate.fps if condition.state is CameraState.STREAMING else 0.0
        return CameraStatus(
            name=self._settings.name,
            source=self._settings.source,
            state=condition.state,
            detail=condition.detail,
            reason=condition.reason,
            since=round(clock.unix(condition.since), 3),
            width=width,
            height=height,
            fps=round(fps, 1),
            frames=found.frames,
            invalid=reader.invalid if reader else found.invalid,
            reopened=found.reopened,
            age_ms=found.age_ms,
        )

    def reason(self) -> str:
        """Return the code for why there is no live picture, one of docs/live.md; "" if there is."""
        condition = self._condition()
        if condition.state is CameraState.STREAMING:
            return ""
        return condition.reason or Reason.SILENT.value

    def check_for_hang(self) -> None:
        """Show the placeholder if the thread cannot, because it hangs in a driver.

        The main thread calls this about once a second.
        """
        settings = self._settings
        self._hang_watch.update(self._condition(), settings.name, settings.width, settings.height)

    def _condition(self) -> Condition:
        found = self._hang_watch.condition(
            self.beat, self._counters.captured_at, self._settings.stall_timeout
        )
        paused_at = self._paused_at
        if paused_at is not None and found.reason not in (Reason.PAUSED, Reason.HANGS):
            return Condition(CameraState.OFFLINE, _PAUSED, paused_at, Reason.PAUSED)
        return found

    # The thread.

    def _loop(self) -> None:
        delay = _FIRST_DELAY
        while not self._stopping:
            self._wakeup.clear()
            self._reopen = False
            if not self._may_open():
                self._rest()
                delay = _FIRST_DELAY
                continue
            frames = self._counters.frames
            failure = self._capture()
            if self._is_interrupted():
                delay = _FIRST_DELAY
                self._begin_again()
                continue
            if self._counters.frames > frames:
                delay = _FIRST_DELAY
            if failure.is_stuck and delay >= _LONGEST_DELAY:
                self._lose(failure)
                return  # The daemon ends with this thread, and is started again.
            self._lose(failure, f"; trying again in {delay:g} s")
            self._show_placeholder(delay)
            delay = _FIRST_DELAY if self._reopen else min(delay * 2, _LONGEST_DELAY)

    def _may_open(self) -> bool:
        """Return whether the camera may be opened. If so, its pictures are taken from now on.

        Not sooner: the driver may hold back one from before, or from while it was paused.
        """
        with self._pausing:
            may_open = self._paused_at is None
            if may_open:
                self._hub.take_live(True)
            return may_open

    def _begin_again(self) -> None:
        if not self._stopping and self._paused_at is None:
            self._tracker.change(CameraState.STARTING, "starting the camera")

    def _rest(self) -> None:
        """Leave the camera closed for as long as it is paused."""
        self._tracker.change(CameraState.OFFLINE, _PAUSED, reason=Reason.PAUSED)
        while self._paused_at is not None and not self._stopping:
            self._wakeup.clear()
            self._reopen = False
            self._show_placeholder(_LONG)
        self._begin_again()

    def _lose(self, failure: _Failure, more: str = "") -> None:
        detail, reason, clue, _ = failure
        self._tracker.change(CameraState.OFFLINE, detail, clue, more, reason=reason)

    def _is_interrupted(self) -> bool:
        """Return whether the thread has to end, or to open another camera."""
        return self._stopping or self._reopen

    def _capture(self) -> _Failure:
        """Open the camera and publish its pictures until that fails or is interrupted."""
        try:
            camera = self._settings.open_camera()
            self._reader = PictureReader(
                camera, self._state_log, self._wakeup.wait, self._counters.invalid
            )
            self._counters.opened += 1
            self._read(self._reader)
        except CameraError as error:
            is_stuck = isinstance(error, CameraStuckError)
            return _Failure(str(error), error.reason, is_stuck=is_stuck)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # libraries raise what they like
            _log.debug("the camera's driver failed", exc_info=True)
            text = "The camera's driver failed; the log tells more"
            return _Failure(text, reason_of(error), describe(error))
        finally:
            self._close_camera()
        return _Failure()

    def _close_camera(self) -> None:
        reader = self._reader
        if reader is None:
            return
        # First: status() could count less than before otherwise.
        self._counters.invalid = reader.invalid
        self._reader = None
        try:
            reader.camera.close()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # as above
            _log.debug("the camera's driver failed", exc_info=True)
            text = f"the camera could not be closed properly: {describe(error)}"
            self._state_log.log(logging.WARNING, text)

    def _read(self, reader: PictureReader) -> None:
        """Publish pictures until interrupted. Raises CameraError when none comes for too long."""
        settings, last_at = self._settings, time.monotonic()
        patience = max(settings.stall_timeout, settings.time_to_start)
        while not self._is_interrupted():
            self.beat = now = time.monotonic()
            self._state_log.flush()
            shot = reader.read(min(_READ, settings.stall_timeout))
            if shot is not None and self._take(shot, reader, now):
                last_at, patience = now, settings.stall_timeout
            elif now - last_at > patience:
                name, why = reader.camera.name, reader.fault
                raise CameraError(f"{name} {why.always} for {patience:g} s", why.reason)
            else:
                self._placeholder.publish_if_due(now)

    def _take(self, shot: Shot, reader: PictureReader, now: float) -> bool:
        """Publish a picture, or offer it if no frame is wanted; return whether it can be shown."""
        if self._is_at_rest(shot, reader, now):
            self._offer(shot, reader)
        else:
            self._looked_at = now
            picture = reader.load(shot)
            if picture is None:
                return False
            self._publish(picture, reader.camera)
        if pause := self._counters.rate.pause:
            self._wakeup.wait(pause)
        return True

    def _is_at_rest(self, shot: Shot, reader: PictureReader, now: float) -> bool:
        """Return whether this picture need not be loaded.

        Now and then one is loaded all the same, to see whether the pictures can be shown.
        """
        return (
            not self._hub.wants(shot.captured_at)
            and now - self._looked_at < _LOOK
            and reader.fault is SILENT
            and self._tracker.current.state is CameraState.STREAMING
        )

    def _publish(self, picture: Picture, camera: Camera) -> None:
        """Publish a live picture, once the status says that there is one."""
        data, captured_at, size = picture
        found = self._counters
        found.captured_at = captured_at
        found.frames += 1
        self._placeholder.clear()
        if self._tracker.current.state is not CameraState.STREAMING or size != found.size:
            found.size = size
            found.rate.reset()
            mode = camera.mode and f", {camera.mode}"
            detail = f"{camera.name}, {size[0]}x{size[1]}{mode}"
            self._tracker.change(CameraState.STREAMING, detail)
        found.rate.add(captured_at)
        self._hub.publish(data, captured_at, live=True)

    def _offer(self, shot: Shot, reader: PictureReader) -> None:
        """Count a live picture, and have it ready."""
        found = self._counters
        found.captured_at = shot.captured_at
        found.frames += 1
        found.rate.add(shot.captured_at)
        self._hub.offer(partial(reader.load_in_any_thread, shot), shot.captured_at)

    def _show_placeholder(self, seconds: float) -> None:
        """Publish the placeholder once a second, until it is time to try again."""
        settings = self._settings
        self._placeholder.draw(
            settings.name, self._tracker.current, settings.width, settings.height
        )
        again_at = time.monotonic() + seconds
        while not self._is_interrupted() and (now := time.monotonic()) < again_at:
            self.beat = now
            self._state_log.flush()
            self._placeholder.publish(now)
            self._wakeup.wait(min(placeholder.INTERVAL, again_at - now))
