"""The Raspberry Pi camera through picamera2, on systems with libcamera."""

from __future__ import annotations

import errno
import importlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from doorbelld.camera.base import CameraSettings, Shot
from doorbelld.camera.closing import close_in_time, refuse_if_stuck
from doorbelld.drivers import libcamera, picamera2, sensor, tuning
from doorbelld.drivers.controls import Control
from doorbelld.drivers.errors import CameraError, Reason, describe, reason_of
from doorbelld.drivers.picamera2 import HeldFrame, InFlight, limited, on_demand
from doorbelld.media import jpeg, picture
from doorbelld.system.latest import Latest

logger = logging.getLogger(__name__)

_BITS_PER_PIXEL = 1.5
"""At the best quality; the hardware encoder has a bit rate."""

_LARGEST = 1920
"""Pixels in width and height that the hardware encoder takes."""

_BUFFER = 512 << 10
"""Bytes of the hardware encoder's buffer: a picture that is larger is cut off there."""

_FRESH = 5.0
"""Seconds: a frame that seems older than this has a wrong time stamp."""

_CUT = 2.0
"""Seconds of nothing but pictures that were cut off, after which that is a fault."""

_TOO_LARGE = "pictures are too large for its encoder, and are cut off; lower quality or resolution"


class Picamera2Camera:
    """The Raspberry Pi camera with the number ``number``; it can flip, but not rotate by 90°."""

    def __init__(self, number: int, settings: CameraSettings) -> None:
        self.invalid = 0
        self.name = f"Raspberry Pi camera {number}"
        self.mode = ""
        self._number = number
        self._settings = settings
        self._latest: Latest[Shot] = Latest()
        self._in_flight = InFlight()
        self._held: HeldFrame | None = None
        self._checker = picture.Checker()
        self._cut_since: float | None = None
        self._has_warned = False
        self._camera: Any = None
        self._encoder: Any = None

    def open(self) -> None:
        """Start recording. Raises CameraError: no library, no camera, or in use."""
        refuse_if_stuck(self.name)
        library = picamera2.load()
        try:
            self._check_number(library)
            self._start(library)
        except CameraError:
            self._end(picamera2.abandon)
            raise
        except Exception as error:  # the library raises whatever happens in it
            fault = self._explain(error)
            self._end(picamera2.abandon)
            picamera2.free(error)
            raise fault from error

    def read(self, timeout: float) -> Shot | None:
        """Return the newest picture, or None if none came within ``timeout`` seconds."""
        shot, since = self._latest.take(timeout), self._cut_since
        if shot is None and since is not None and time.monotonic() - since > _CUT:
            raise CameraError(f"{self.name}: {_TOO_LARGE}", Reason.SETTINGS)
        return shot

    def close(self) -> None:
        """Stop recording, within a bounded time: the library can hang there for ever."""
        if self._camera is not None:
            self._end(picamera2.close)
            picamera2.free()

    def _end(self, close: Callable[[Any, Any], None]) -> None:
        if self._camera is not None:
            close_in_time(self.name, partial(close, self._camera, self._encoder))
            self._camera = self._encoder = None
            if self._held is not None:
                self._held.give_back()
                self._held = None

    def _check_number(self, library: Any) -> None:
        found = picamera2.cameras(library)
        if self._number in found:
            return
        if self._number < len(library.Picamera2.global_camera_info()):
            text = f"{self.name} is a USB camera; use v4l2:/dev/videoN for it"
            raise CameraError(text, Reason.SETTINGS)
        those = ", ".join(f"{number} ({model})" for number, model in found.items())
        hint = f"there is: {those}" if those else "check its cable"
        raise CameraError(f"{self.name} is not detected; {hint}", Reason.MISSING)

    def _start(self, library: Any) -> None:
        kind, asked = library.Picamera2, self._settings
        make = partial(self._make, kind)
        self._camera = tuning.open_camera(self.name, kind, asked.tuning, make)
        self._encoder, pixels = self._make_encoder()
        libcamera.start(
            self.name,
            self._camera,
            asked,
            configure=partial(self._configure, pixels),
            record=lambda: self._camera.start_recording(self._encoder, self._make_output()),
        )
        self.mode = sensor.describe(
            getattr(self._camera, "camera_properties", {}),
            getattr(self._camera, "camera_config", {}),
            getattr(self._camera, "camera_controls", {}),
            self._settings.framerate,
        )

    def _make(self, kind: Any, **options: Any) -> Any:
        # In two steps, so that a camera whose constructor fails can be closed: it may be in use
        # by then, and could never be opened again.
        self._camera = camera = kind.__new__(kind)
        try:
            camera.__init__(self._number, **options)
        except Exception:
            self._end(picamera2.abandon)
            raise
        return camera

    def _make_encoder(self) -> tuple[Any, str]:
        """Return an encoder, and the format of pixels it takes."""
        encoders = importlib.import_module("picamera2.encoders")
        asked = self._settings
        hardware = encoders.MJPEGEncoder
        if hardware.__name__ == "MJPEGEncoder" and max(asked.width, asked.height) <= _LARGEST:
            bits = asked.width * asked.height * asked.framerate * _BITS_PER_PIXEL
            return limited(hardware, self._in_flight)(
                bitrate=int(bits * asked.quality / 100)
            ), "YUV420"
        # Without the hardware, that name is a software encoder that holds several frames
        # back. JpegEncoder does not, and has a JPEG quality.
        return on_demand(encoders.JpegEncoder, self._hold)(q=asked.quality), "RGB888"

    def _configure(self, pixels: str) -> None:
        asked = self._settings
        # If only a part is shown, that part should have enough pixels.
        _, _, width, height = asked.zoom
        properties = getattr(self._camera, "camera_properties", {})
        mode = sensor.mode_for(properties, (asked.width / width, asked.height / height))
        try:
            self._camera.configure(self._configuration(pixels, mode))
        except Exception as error:
            if mode is None:
                raise
            # For example, because there is not enough memory for that.
            logger.info("%s: no full field of view: %s", self.name, describe(error))
            self._camera.configure(self._configuration(pixels, None))

    def _configuration(self, pixels: str, mode: sensor.Size | None) -> Any:
        library = importlib.import_module("libcamera")
        asked = self._settings
        upside_down = asked.rotation == 180
        options = {
            "main": {"size": (asked.width // 2 * 2, asked.height // 2 * 2), "format": pixels},
            "transform": library.Transform(
                hflip=asked.hflip != upside_down, vflip=asked.vflip != upside_down
            ),
            # That of JPEG. The library's own choice is a video's, and looks pale in a JPEG.
            "colour_space": library.ColorSpace.Sycc(),
            "controls": self._controls(library),
        }
        create = self._camera.create_video_configuration
        if mode is None:
            return create(raw=None, **options)
        try:
            return create(raw=None, sensor={"output_size": mode}, **options)
        except TypeError:  # before version 0.3.13, in which the raw stream chooses the mode
            return create(raw={"size": mode}, **options)

    def _controls(self, library: Any) -> dict[str, Any]:
        """Return the controls that the camera starts with."""
        asked = self._settings
        slowest = min(asked.framerate, asked.framerate_dark)
        found = {"FrameDurationLimits": (int(1e6 / asked.framerate), int(1e6 / slowest))}
        if "AfMode" in getattr(self._camera, "camera_controls", {}):
            found["AfMode"] = library.controls.AfModeEnum.Continuous
        return found

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
        self._in_flight.leave()
        if len(data) >= _BUFFER and not jpeg.is_whole(data):
            self.invalid += 1
            self._warn_of_cut()
            return
        try:
            shot = Shot(self._checker.mend(data), self._captured_at(timestamp))
        except ValueError:
            self.invalid += 1
            return
        self._cut_since = None
        self._latest.put(shot)

    def _hold(self, frame: HeldFrame) -> None:
        """Take a frame that is not encoded yet; called in a thread of the library."""
        last, self._held = self._held, frame
        self._latest.put(Shot(b"", self._on_our_clock(frame.taken_at), frame.encode))
        if last is not None:
            last.give_back()

    def _warn_of_cut(self) -> None:
        self._cut_since = self._cut_since or time.monotonic()
        if not self._has_warned:
            self._has_warned = True
            logger.warning("%s: %s", self.name, _TOO_LARGE)

    def _captured_at(self, timestamp: int | None) -> float:
        """Translate the encoder's time stamp: microseconds since the encoder's first frame."""
        first = getattr(self._encoder, "firsttimestamp", None)
        if timestamp is None or first is None:
            return time.monotonic()
        return self._on_our_clock((first + timestamp) / 1e6)

    @staticmethod
    def _on_our_clock(taken_at: float | None) -> float:
        """Translate a moment of the kernel's boot clock, which goes on while the machine sleeps."""
        now = time.monotonic()
        if taken_at is None:
            return now
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - taken_at
        return now - age if 0 <= age < _FRESH else now

    def _explain(self, error: Exception) -> CameraError:
        # The library wraps the message of libcamera in its own.
        cause: BaseException = error
        while found := cause.__cause__ or cause.__context__:
            cause = found
        text = str(cause)
        code = getattr(cause, "errno", None)
        if "busy" in text.lower():
            return CameraError(f"{self.name} is in use by another program", Reason.BUSY)
        if isinstance(cause, PermissionError):
            why = f"No permission to use {self.name}; the user must be in the group video"
            return CameraError(why, Reason.DENIED)
        if code == errno.ENOMEM or "Cannot allocate memory" in text:
            why = f"{self.name} has too little memory for this; lower resolution"
            return CameraError(why, Reason.SOFTWARE)
        if isinstance(cause, IndexError) or text.startswith("Camera(s) not found"):
            return CameraError(f"{self.name} is not detected; check its cable", Reason.MISSING)
        if not isinstance(cause, (RuntimeError, OSError)):
            text = describe(cause)
        why = f"{self.name} does not start: {' '.join(text.split())}"
        return CameraError(why, reason_of(cause))


def connected() -> dict[int, str]:
    """Return the sensors of the cameras that picamera2 sees, by their numbers; opens none."""
    try:
        return picamera2.cameras(picamera2.load())
    except CameraError:
        return {}
    except Exception as error:  # noqa: BLE001  # the library raises whatever happens in it
        logger.debug("picamera2 cannot list its cameras: %s", describe(error))
        return {}


def controls(number: int) -> list[Control]:
    """Return what can be set on a camera; nothing if it is in use. Opens it for a moment."""
    try:
        library = picamera2.load()
        with _quiet():
            return _controls(library.Picamera2, number)
    except Exception:  # noqa: BLE001  # It is only a list, and the library raises what it likes.
        return []


def _controls(kind: Any, number: int) -> list[Control]:
    camera = kind.__new__(kind)
    try:
        camera.__init__(number)
        with suppress(RuntimeError):  # Then the ranges are those of any sensor.
            camera.configure(camera.create_video_configuration(raw=None, buffer_count=1))
        return libcamera.listed(libcamera.offer_of(camera))
    finally:
        close_in_time(f"Raspberry Pi camera {number}", partial(picamera2.abandon, camera, None))


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
