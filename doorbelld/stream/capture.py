"""CaptureThread: reads the camera for ever, and publishes every frame.

A camera that is missing, busy, unplugged, silent or broken is closed and opened again, with
a growing delay; meanwhile a card that says so honestly takes the picture's place. A single
picture that is damaged, too large, or too much for the memory there is, is left out.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from doorbelld.camera.base import Camera, CameraError, CameraStuckError, Shot, describe
from doorbelld.media import card, fault, jpeg
from doorbelld.media.fault import Fault
from doorbelld.media.frame import Frame
from doorbelld.system import clock
from doorbelld.system.limited_log import StateLog
from doorbelld.system.wakeup import Wakeup

_log = logging.getLogger(__name__)

_READ = 0.5
"""Seconds a read may take before the thread looks around; bounds how long a stop takes."""

_FIRST_DELAY = 1.0
_LONGEST_DELAY = 15.0
_CARD_INTERVAL = 1.0

_INTERVALS = 30
"""How many frames the measured frame rate goes back, about."""

_HANG = 1.0
"""Seconds beyond the stall timeout after which the thread itself must be stuck in a driver."""

_OPENING = 10.0
"""Seconds after which that is so while a camera is opened, which may take a while."""

_SHORTEST = 1 / 240
"""Seconds between frames at the highest rate that can be asked for. A driver that never waits
would take a processor for itself, and every viewer's link."""

_BREATH = 0.2
"""Seconds of rest after a read for which there was not enough memory."""

_HANGS = "The camera's driver hangs"


@dataclass(frozen=True)
class CaptureSettings:
    """What to capture.

    ``open_camera`` returns an opened camera or raises CameraError. ``name`` is what people
    call it, ``source`` where it is, without passwords. ``width`` and ``height`` are those of
    the placeholder card, in pixels. After ``stall_timeout`` seconds without a picture the
    camera counts as lost; the first one may take ``time_to_start``, if that is longer.
    """

    open_camera: Callable[[], Camera]
    name: str
    source: str
    width: int
    height: int
    stall_timeout: float
    time_to_start: float = 0.0


class CaptureThread:
    """Publishes frames from the camera; ``beat`` is the time.monotonic() of its last turn."""

    def __init__(self, settings: CaptureSettings, publish: Callable[[Frame], None]) -> None:
        self.beat = time.monotonic()
        self._settings = settings
        self._publish = publish
        self._wake = Wakeup()
        self._stopping = False
        self._reopen = False
        self._numbers = itertools.count(1)  # next() on it is safe in any thread
        self._state = "starting"
        self._detail = "starting the camera"
        self._since = time.monotonic()
        self._clue = ""
        self._state_log = StateLog(_log)
        self._trouble = fault.SILENT
        self._complaints: set[Fault] = set()
        self._hang_card: bytes | None = None
        self._size: tuple[int, int] | None = None
        self._latest: Frame | None = None
        self._card: bytes | None = None
        self._card_at = 0.0
        self._interval = 0.0
        self._intervals = 0
        self._frames = 0
        self._invalid = 0
        self._opened = 0
        self._is_stuck = False
        self._camera: Camera | None = None
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs; false after start() means that it failed."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread; it opens the camera."""
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> bool:
        """Stop it and close the camera; return whether it ended within ``timeout`` seconds.

        It may not: a driver can hold a read for as long as it likes.
        """
        self._stopping = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        else:
            self._wake.close()
        return not self._thread.is_alive()

    def reconfigure(self, settings: CaptureSettings) -> None:
        """Close the camera and open the one of ``settings``; viewers stay."""
        self._settings = settings
        self._reopen = True
        self._wake.set()

    def status(self) -> dict[str, Any]:
        """Return the camera's part of ``/status``."""
        # The state before the frame: who is streaming has one already.
        state, detail, since = self._truth()
        latest, camera = self._latest, self._camera
        width, height = self._size or (None, None)
        interval = self._interval
        fps = 1 / interval if state == "streaming" and interval > 0 else 0.0
        return {
            "name": self._settings.name,
            "source": self._settings.source,
            "state": state,
            "detail": detail,
            "since": round(clock.unix(since), 3),
            "width": width,
            "height": height,
            "fps": round(fps, 1),
            "frames": self._frames,
            "invalid": self._invalid + (camera.invalid if camera else 0),
            "reopened": max(0, self._opened - 1),
            "age_ms": round((time.monotonic() - latest.captured_at) * 1000) if latest else None,
        }

    def look(self) -> None:
        """Show the card if the thread itself cannot, for it is stuck in a driver.

        To be called about once a second, by the thread that looks after the others.
        """
        state, detail, since = self._truth()
        if detail != _HANGS:
            if self._hang_card is not None:
                self._hang_card = None
                self._tell_state(state, detail)
            return
        if self._hang_card is None:
            self._hang_card = self._draw_card(detail, since)
            self._tell_state(state, detail)
        self._publish(self._number(self._hang_card, time.monotonic(), live=False))

    def _truth(self) -> tuple[str, str, float]:
        """Return state, detail and since when, though the thread may be stuck and cannot tell."""
        state, detail, since = self._state, self._detail, self._since
        latest, now = self._latest, time.monotonic()
        if state == "streaming" and latest is not None:
            if now - self.beat > self._settings.stall_timeout + _HANG:
                return "offline", _HANGS, latest.captured_at
        elif now - self.beat > max(self._settings.stall_timeout, _OPENING):
            return "offline", _HANGS, self.beat
        return state, detail, since

    # The thread.

    def _run(self) -> None:
        try:
            self._loop()
        except Exception:  # noqa: BLE001  # the thread ends, and main ends the daemon
            _log.exception("the capture thread failed")
        finally:
            self._wake.close()

    def _loop(self) -> None:
        delay = _FIRST_DELAY
        while not self._stopping:
            self._wake.clear()
            self._reopen = False
            frames = self._frames
            reason, clue = self._capture()
            if self._interrupted():
                delay = _FIRST_DELAY
                if not self._stopping:
                    self._change_state("starting", "starting the camera")
                continue
            if self._frames > frames:
                delay = _FIRST_DELAY
            if self._is_stuck and delay >= _LONGEST_DELAY:
                self._change_state("offline", reason, clue)
                return  # The daemon ends with this thread, and is started anew.
            self._change_state("offline", reason, clue, f"; trying again in {delay:g} s")
            self._show_card(delay)
            delay = min(delay * 2, _LONGEST_DELAY)

    def _interrupted(self) -> bool:
        """Whether somebody wants the thread to end, or to open another camera."""
        return self._stopping or self._reopen

    def _capture(self) -> tuple[str, str]:
        """Open the camera and publish its pictures; return what went wrong, and a clue for us."""
        self._is_stuck = False
        try:
            self._camera = self._settings.open_camera()
            self._opened += 1
            self._read(self._camera)
        except CameraError as error:
            self._is_stuck = isinstance(error, CameraStuckError)
            return str(error), ""
        except (Exception, SystemExit) as error:  # noqa: BLE001  # libraries raise what they like
            _log.debug("the camera's driver failed", exc_info=True)
            return "The camera's driver failed; the log tells more", describe(error)
        finally:
            self._close_camera()
        return "", ""

    def _close_camera(self) -> None:
        camera, self._camera = self._camera, None
        if camera is None:
            return
        self._invalid += camera.invalid
        try:
            camera.close()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # as above
            _log.debug("the camera's driver failed", exc_info=True)
            text = f"the camera could not be closed properly: {describe(error)}"
            self._state_log.log(logging.WARNING, text)

    def _read(self, camera: Camera) -> None:
        """Read until the camera fails or somebody wants something else."""
        self._complaints.clear()
        self._trouble = fault.SILENT
        heard_at = time.monotonic()
        patience = max(self._settings.stall_timeout, self._settings.time_to_start)
        while not self._interrupted():
            self.beat = now = time.monotonic()
            self._state_log.flush()
            if self._shoot(camera):
                heard_at, patience = now, self._settings.stall_timeout
            elif now - heard_at > patience:
                raise CameraError(f"{camera.name} {self._trouble.always} for {patience:g} s")
            elif self._card and now - self._card_at >= _CARD_INTERVAL:
                self._publish_card(self._card, now)  # still nothing better to show

    def _shoot(self, camera: Camera) -> bool:
        """Read once; show the picture, and return whether there was one that can be shown."""
        damaged = camera.invalid
        try:
            shot = camera.read(min(_READ, self._settings.stall_timeout))
        except MemoryError:
            self._leave_out(camera, fault.NO_MEMORY, camera.invalid == damaged)  # else it counts
            self._wake.wait(_BREATH)
            return False
        except jpeg.TooLargeError:
            self._leave_out(camera, fault.TOO_MANY_TO_TURN)
            return False
        if camera.invalid > damaged:
            self._leave_out(camera, fault.DAMAGED, 0)
        if shot is None:
            return False
        found = fault.judge(shot.data)
        if isinstance(found, Fault):
            self._leave_out(camera, found)
            return False
        self._take(shot, found, camera)
        return True

    def _leave_out(self, camera: Camera, trouble: Fault, count: int = 1) -> None:
        """Count a picture, and log why it is missing: once, until the camera is reopened."""
        self._invalid += count
        self._trouble = trouble
        if trouble not in self._complaints:
            self._complaints.add(trouble)
            self._state_log.log(logging.WARNING, f"{camera.name}: {trouble.once} was left out")

    def _take(self, shot: Shot, size: tuple[int, int], camera: Camera) -> None:
        before = self._latest
        frame = self._number(shot.data, shot.captured_at, live=True)
        self._latest = frame
        self._frames += 1
        self._card = None
        self._trouble = fault.SILENT
        if self._state != "streaming" or size != self._size:
            self._size = size
            self._interval, self._intervals = 0.0, 0
            self._change_state("streaming", f"{camera.name}, {size[0]}x{size[1]}")
        elif before is not None:
            self._measure(frame.captured_at - before.captured_at)
        self._publish(frame)
        if self._intervals == _INTERVALS and self._interval < _SHORTEST:
            self._wake.wait(_SHORTEST)

    def _measure(self, interval: float) -> None:
        """Follow the mean interval; the mean of rates would leap with every hasty frame."""
        self._intervals = min(self._intervals + 1, _INTERVALS)
        self._interval += (interval - self._interval) / self._intervals

    def _number(self, data: bytes, captured_at: float, *, live: bool) -> Frame:
        timestamp = captured_at + clock.ahead()
        return Frame(data, next(self._numbers), captured_at, timestamp, live)

    def _change_state(self, state: str, detail: str, clue: str = "", more: str = "") -> None:
        if (state, detail, clue) == (self._state, self._detail, self._clue):
            return
        if state != self._state:
            self._since = time.monotonic()
        self._state, self._detail, self._clue = state, detail, clue
        self._tell_state(state, detail, (f" ({clue})" if clue else "") + more)

    def _tell_state(self, state: str, detail: str, more: str = "") -> None:
        level = logging.WARNING if state == "offline" else logging.INFO
        self._state_log.log(level, f"camera {state}: {detail}{more}")

    def _draw_card(self, detail: str, since: float) -> bytes:
        text = time.strftime("since %H:%M", time.localtime(clock.unix(since)))
        settings = self._settings
        return card.placeholder(settings.name, detail, text, settings.width, settings.height)

    def _show_card(self, seconds: float) -> None:
        """Publish the placeholder card once a second, until it is time to try again."""
        card = self._draw_card(self._detail, self._since)
        self._card = card
        again_at = time.monotonic() + seconds
        while not self._interrupted() and (now := time.monotonic()) < again_at:
            self.beat = now
            self._state_log.flush()
            self._publish_card(card, now)
            self._wake.wait(min(_CARD_INTERVAL, again_at - now))

    def _publish_card(self, card: bytes, now: float) -> None:
        self._card_at = now
        self._publish(self._number(card, now, live=False))
