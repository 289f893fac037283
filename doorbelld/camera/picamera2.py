"""The Raspberry Pi camera through picamera2, on systems with libcamera."""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from doorbelld.camera.base import CameraSettings, Shot
from doorbelld.camera.closing import close_in_time, refuse_if_stuck
from doorbelld.drivers import libcamera, tuning
from doorbelld.drivers.controls import Control
from doorbelld.drivers.errors import CameraError
from doorbelld.media import picture
from doorbelld.system.latest import Latest

_BITS_PER_PIXEL = 1.5
"""At the best quality; the hardware encoder has a bit rate."""

_FRESH = 5.0
"""Seconds: a frame that seems older than this has a wrong time stamp."""


class Picamera2Camera:
    """The Raspberry Pi camera with the number ``number``; it can flip, but not rotate by 90°."""

    def __init__(self, number: int, settings: CameraSettings) -> None:
        self.invalid = 0
        self.name = f"Raspberry Pi camera {number}"
        self.mode = ""
        self._number = number
        self._settings = settings
        self._latest: Latest[Shot] = Latest()
        self._checker = picture.Checker()
        self._camera: Any = None
        self._encoder: Any = None

    def open(self) -> None:
        """Start recording. Raises CameraError: no library, no camera, or in use."""
        refuse_if_stuck(self.name)
        library = import_picamera2()
        try:
            self._start(library)
        except (RuntimeError, IndexError, OSError) as error:
            self.close()
            raise CameraError(self._explain(error)) from error

    def read(self, timeout: float) -> Shot | None:
        """Return the newest picture, or None if none came within ``timeout`` seconds."""
        return self._latest.take(timeout)

    def close(self) -> None:
        """Stop recording, within a bounded time: the library can hang there for ever."""
        if self._camera is not None:
            close_in_time(self.name, self._stop_of(self._camera))
            self._camera = None

    def _start(self, library: Any) -> None:
        encoders = importlib.import_module("picamera2.encoders")
        asked, make = self._settings, partial(library.Picamera2, self._number)
        self._camera = tuning.open_camera(self.name, library.Picamera2, asked.tuning, make)
        self._encoder, pixels = self._choose_encoder(encoders)
        libcamera.start(
            self.name,
            self._camera,
            asked,
            configure=lambda: self._camera.configure(self._configuration(pixels)),
            record=lambda: self._camera.start_recording(self._encoder, self._make_output()),
        )

    def _choose_encoder(self, encoders: Any) -> tuple[Any, str]:
        """Return an encoder, and the format of pixels it takes."""
        asked = self._settings
        if encoders.MJPEGEncoder.__name__ == "MJPEGEncoder":
            bits = asked.width * asked.height * asked.framerate * _BITS_PER_PIXEL
            return encoders.MJPEGEncoder(bitrate=int(bits * asked.quality / 100)), "YUV420"
        # Without the hardware, that name is a software encoder that holds several frames
        # back. JpegEncoder does not, and has a JPEG quality.
        return encoders.JpegEncoder(q=asked.quality), "RGB888"

    def _configuration(self, pixels: str) -> Any:
        libcamera = importlib.import_module("libcamera")
        asked = self._settings
        upside_down = asked.rotation == 180
        duration = int(1e6 / asked.framerate)
        return self._camera.create_video_configuration(
            main={"size": (asked.width // 2 * 2, asked.height // 2 * 2), "format": pixels},
            raw=None,
            transform=libcamera.Transform(
                hflip=asked.hflip != upside_down, vflip=asked.vflip != upside_down
            ),
            controls={"FrameDurationLimits": (duration, duration)},
        )

    def _make_output(self) -> Any:
        """Return the library's kind of output; FileOutput would swallow errors."""
        outputs = importlib.import_module("picamera2.outputs")

        class Output(outputs.Output):  # type: ignore[misc, name-defined]
            def outputframe(
                _,  # noqa: N805 - self is the camera
                frame: bytes,
                keyframe: bool = True,
                timestamp: int | None = None,
                packet: Any = None,
                audio: bool = False,
            ) -> None:
                del keyframe, packet, audio
                self._take(bytes(frame), timestamp)

        return Output()

    def _take(self, data: bytes, timestamp: int | None) -> None:
        """Take a frame; called in a thread of the library."""
        try:
            self._latest.put(Shot(self._checker.mend(data), self._captured_at(timestamp)))
        except ValueError:
            self.invalid += 1

    def _captured_at(self, timestamp: int | None) -> float:
        """Translate the encoder's time stamp into our clock.

        It counts microseconds since the encoder's first frame, whose time is on the kernel's
        boot clock; that clock goes on while the machine sleeps, ours does not.
        """
        now = time.monotonic()
        if timestamp is None or self._encoder.firsttimestamp is None:
            return now
        age = time.clock_gettime(time.CLOCK_BOOTTIME)
        age -= (self._encoder.firsttimestamp + timestamp) / 1e6
        return now - age if 0 <= age < _FRESH else now

    @staticmethod
    def _stop_of(camera: Any) -> Any:
        def stop() -> None:
            camera.stop_recording()
            camera.close()

        return stop

    def _explain(self, error: Exception) -> str:
        # The library wraps the message of libcamera in its own.
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        text = str(cause)
        if "busy" in text.lower():
            return f"{self.name} is in use by another program"
        if isinstance(cause, IndexError) or "not found" in text:
            return f"{self.name} is not detected; check its cable"
        return f"{self.name} does not start: {text}"


def import_picamera2() -> Any:
    """Return the library. Raises CameraError if it, or what it needs, is missing."""
    try:
        return importlib.import_module("picamera2")
    except (ImportError, OSError) as error:
        raise CameraError(f"The Python library picamera2 cannot be used: {error}") from error


def connected() -> dict[int, str]:
    """Return the sensors of the cameras that picamera2 sees, by their numbers; opens none.

    USB cameras are left out: they are in its list too, but V4L2 can do more with them.
    """
    try:
        library = import_picamera2()
        cameras = library.Picamera2.global_camera_info()
    except (CameraError, RuntimeError):
        return {}
    return {camera["Num"]: camera["Model"] for camera in cameras if "/usb" not in camera["Id"]}


def controls(number: int) -> list[Control]:
    """Return what can be set on a camera; nothing if it is in use. Opens it for a moment."""
    try:
        library = import_picamera2()
        with _quiet():
            return _controls(library.Picamera2(number), f"Raspberry Pi camera {number}")
    except Exception:  # noqa: BLE001  # It is only a list, and the library raises what it likes.
        return []


def _controls(camera: Any, name: str) -> list[Control]:
    try:
        with suppress(RuntimeError):  # Then the ranges are those of any sensor.
            camera.configure(camera.create_video_configuration(raw=None, buffer_count=1))
        return libcamera.listed(libcamera.offer_of(camera))
    finally:
        close_in_time(name, camera.close)


@contextmanager
def _quiet() -> Iterator[None]:
    """Let the library not log that a camera is in use, or that it is closed."""
    theirs = logging.getLogger("picamera2")
    level = theirs.level
    theirs.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        theirs.setLevel(level)
