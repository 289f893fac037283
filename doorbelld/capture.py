"""CaptureThread: reads the camera for ever, and publishes every frame.

A camera that is missing, busy, unplugged, silent or broken is closed and opened again, with
a growing delay; meanwhile a card that says so honestly takes the picture's place.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from doorbelld import jpeg
from doorbelld.camera import Camera, CameraError, Shot
from doorbelld.frame import Frame

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


@dataclass(frozen=True)
class CaptureSettings:
    """What to capture.

    ``open_camera`` returns an opened camera or raises CameraError. ``name`` is what people
    call it, ``source`` where it is, without passwords. ``width`` and ``height`` are those of
    the placeholder card, in pixels. After ``stall_timeout`` seconds without a picture the
    camera counts as lost.
    """

    open_camera: Callable[[], Camera]
    name: str
    source: str
    width: int
    height: int
    stall_timeout: float


class CaptureThread:
    """Publishes frames from the camera; ``beat`` is the time.monotonic() of its last turn."""

    def __init__(self, settings: CaptureSettings, publish: Callable[[Frame], None]) -> None:
        self.beat = time.monotonic()
        self._settings = settings
        self._publish = publish
        self._wake = threading.Event()
        self._stopping = False
        self._reopen = False
        self._sequence = 0
        self._state = "starting"
        self._detail = "starting the camera"
        self._since = time.time()
        self._latest: Frame | None = None
        self._card: bytes | None = None
        self._card_at = 0.0
        self._interval = 0.0
        self._intervals = 0
        self._frames = 0
        self._invalid = 0
        self._opened = 0
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
        size = jpeg.size(latest.data) if latest else None
        width, height = size or (None, None)
        interval = self._interval
        fps = 1 / interval if state == "streaming" and interval > 0 else 0.0
        return {
            "name": self._settings.name,
            "source": self._settings.source,
            "state": state,
            "detail": detail,
            "since": round(since, 3),
            "width": width,
            "height": height,
            "fps": round(fps, 1),
            "frames": self._frames,
            "invalid": self._invalid + (camera.invalid if camera else 0),
            "reopened": max(0, self._opened - 1),
            "age_ms": round((time.monotonic() - latest.captured_at) * 1000) if latest else None,
        }

    def _truth(self) -> tuple[str, str, float]:
        """Return state, detail and since, though the thread may be stuck and cannot tell."""
        state, detail, since = self._state, self._detail, self._since
        latest = self._latest
        if state == "streaming" and latest is not None:
            patience = self._settings.stall_timeout + _HANG
            if time.monotonic() - latest.captured_at > patience:
                return "offline", "The camera's driver hangs", latest.timestamp
        return state, detail, since

    # The thread.

    def _run(self) -> None:
        try:
            self._loop()
        except Exception:  # noqa: BLE001  # the thread ends, and main ends the daemon
            _log.exception("the capture thread failed")

    def _loop(self) -> None:
        delay = _FIRST_DELAY
        while not self._stopping:
            self._wake.clear()
            self._reopen = False
            frames = self._frames
            reason = self._capture()
            if self._interrupted():
                delay = _FIRST_DELAY
                if not self._stopping:
                    self._change_state("starting", "starting the camera")
                continue
            if self._frames > frames:
                delay = _FIRST_DELAY
            self._change_state("offline", reason, f"; trying again in {delay:g} s")
            self._show_card(delay)
            delay = min(delay * 2, _LONGEST_DELAY)

    def _interrupted(self) -> bool:
        """Whether somebody wants the thread to end, or to open another camera."""
        return self._stopping or self._reopen

    def _capture(self) -> str:
        """Open the camera and publish its pictures; return what went wrong in the end."""
        try:
            self._camera = self._settings.open_camera()
            self._opened += 1
            return self._read(self._camera)
        except CameraError as error:
            return str(error)
        except Exception:  # noqa: BLE001  # camera libraries raise what they like
            _log.exception("unexpected fault in the camera's driver")
            return "The camera's driver failed in a way that is not known; the log tells more"
        finally:
            self._close_camera()

    def _close_camera(self) -> None:
        camera, self._camera = self._camera, None
        if camera is None:
            return
        self._invalid += camera.invalid
        try:
            camera.close()
        except Exception:  # noqa: BLE001  # as above
            _log.exception("the camera could not be closed properly")

    def _read(self, camera: Camera) -> str:
        """Read until the camera fails or somebody wants something else."""
        heard_at = time.monotonic()
        while not self._interrupted():
            self.beat = now = time.monotonic()
            shot = camera.read(min(_READ, self._settings.stall_timeout))
            if shot is not None:
                heard_at = now
                self._take(shot, camera)
            elif now - heard_at > self._settings.stall_timeout:
                silence = f"{self._settings.stall_timeout:g} s"
                raise CameraError(f"{camera.name} has sent no picture for {silence}")
            elif self._card and now - self._card_at >= _CARD_INTERVAL:
                self._publish_card(self._card, now)  # still nothing better to show
        return ""

    def _take(self, shot: Shot, camera: Camera) -> None:
        before = self._latest
        frame = self._number(shot.data, shot.captured_at, live=True)
        self._latest = frame
        self._frames += 1
        self._card = None
        if self._state != "streaming":
            width, height = jpeg.size(shot.data) or (0, 0)
            self._interval, self._intervals = 0.0, 0
            self._change_state("streaming", f"{camera.name}, {width}x{height}")
        elif before is not None:
            self._measure(frame.captured_at - before.captured_at)
        self._publish(frame)

    def _measure(self, interval: float) -> None:
        """Follow the mean interval; the mean of rates would leap with every hasty frame."""
        self._intervals = min(self._intervals + 1, _INTERVALS)
        self._interval += (interval - self._interval) / self._intervals

    def _number(self, data: bytes, captured_at: float, *, live: bool) -> Frame:
        self._sequence += 1
        timestamp = time.time() - (time.monotonic() - captured_at)
        return Frame(data, self._sequence, captured_at, timestamp, live)

    def _change_state(self, state: str, detail: str, more: str = "") -> None:
        if (state, detail) == (self._state, self._detail):
            return
        if state != self._state:
            self._since = time.time()
        self._state, self._detail = state, detail
        level = logging.WARNING if state == "offline" else logging.INFO
        _log.log(level, "camera %s: %s%s", state, detail, more)

    def _show_card(self, seconds: float) -> None:
        """Publish the placeholder card once a second, until it is time to try again."""
        since = time.strftime("since %H:%M", time.localtime(self._since))
        settings = self._settings
        card = jpeg.placeholder(settings.name, self._detail, since, settings.width, settings.height)
        self._card = card
        again_at = time.monotonic() + seconds
        while not self._wake.is_set():
            self.beat = now = time.monotonic()
            if now >= again_at:
                return
            self._publish_card(card, now)
            self._wake.wait(min(_CARD_INTERVAL, again_at - now))

    def _publish_card(self, card: bytes, now: float) -> None:
        self._card_at = now
        self._publish(self._number(card, now, live=False))
