"""The Raspberry Pi camera through picamera 1.13, on systems with the first camera stack.

The GPU encodes the picture, and turns it too. The library calls :meth:`_Output.write` in a
thread of its own, several times a frame.
"""

from __future__ import annotations

import importlib
import time
from functools import partial
from typing import Any

from doorbelld.camera.base import CameraSettings, Shot
from doorbelld.camera.closing import close_in_time, refuse_if_stuck
from doorbelld.drivers.errors import CameraError, Reason
from doorbelld.media import picture
from doorbelld.system.latest import Latest

_BITS_PER_PIXEL = 1.5
"""At the best quality; the encoder has a bit rate, not a JPEG quality."""

_MOST_BITS = 25_000_000
"""The highest bit rate that the GPU's encoder takes, in bits a second."""

_CLOCK_CHECK = 10.0
_FRESH = 5.0
"""Seconds: a frame that seems older than this has a wrong time stamp."""


class _Output:
    """The file that the library writes its recording to: parts of a frame, in its own thread."""

    def __init__(self, library_camera: Any) -> None:
        self.invalid = 0
        self.latest: Latest[tuple[bytes, int | None, float]] = Latest()
        self._camera = library_camera
        self._parts: list[bytes] = []
        self._checker = picture.Checker()

    def write(self, data: bytes) -> None:
        """Take a part of a frame; after its last part, the frame can be fetched."""
        self._parts.append(data)
        # The library updates this before it writes. The example in its manual waits for the
        # first bytes of the next frame instead, which is one frame late.
        frame = self._camera.frame
        if not frame.complete:
            return
        whole = b"".join(self._parts)
        self._parts = []
        try:
            whole = self._checker.mend(whole)
        except ValueError:
            self.invalid += 1
        else:
            self.latest.put((whole, frame.timestamp, time.monotonic()))


class PicameraCamera:
    """The Raspberry Pi camera with the number ``number``."""

    def __init__(self, number: int, settings: CameraSettings) -> None:
        self.name = f"Raspberry Pi camera {number}"
        self.mode = ""
        self._number = number
        self._settings = settings
        self._library: Any = None
        self._camera: Any = None
        self._output = _Output(None)
        self._clock_offset = 0.0
        self._clock_checked = 0.0

    @property
    def invalid(self) -> int:
        """How many frames were damaged."""
        return self._output.invalid

    def open(self) -> None:
        """Start recording. Raises CameraError: no library, no camera, or in use."""
        refuse_if_stuck(self.name)
        self._library = import_picamera()
        try:
            self._start()
        except (self._library.PiCameraError, IndexError) as error:
            self.close()
            raise self._explain(error) from error

    def read(self, timeout: float) -> Shot | None:
        """Return the newest picture, or None if none came within ``timeout`` seconds."""
        received = self._output.latest.take(timeout)
        if received is None:
            self._raise_encoder_error()
            return None
        data, timestamp, arrived = received
        return Shot(data, self._captured_at(timestamp, arrived))

    def close(self) -> None:
        """Stop recording and free the GPU's memory, within a bounded time."""
        if self._camera is not None:
            close_in_time(self.name, partial(_close, self._library, self._camera))
            self._camera = None

    def _start(self) -> None:
        asked = self._settings
        self._camera = self._library.PiCamera(
            camera_num=self._number,
            resolution=(asked.width, asked.height),
            framerate=asked.framerate,
            clock_mode="raw",
        )
        self._camera.hflip = asked.hflip
        self._camera.vflip = asked.vflip
        self._camera.rotation = asked.rotation
        self._check_clock()
        dropped = self._output.invalid
        self._output = _Output(self._camera)
        self._output.invalid = dropped
        bits = asked.width * asked.height * asked.framerate * _BITS_PER_PIXEL
        bitrate = min(int(bits * asked.quality / 100), _MOST_BITS)
        self._camera.start_recording(self._output, format="mjpeg", bitrate=bitrate)

    def _captured_at(self, timestamp: int | None, arrived: float) -> float:
        """Translate the GPU's clock (microseconds) into ours.

        NTP slews our clock, so the difference is measured now and then: here and not in
        write(), where calls into the GPU could deadlock.
        """
        if timestamp is None:
            return arrived
        if arrived - self._clock_checked > _CLOCK_CHECK:
            self._check_clock()
        captured_at = timestamp / 1e6 + self._clock_offset
        return captured_at if arrived - _FRESH < captured_at <= arrived else arrived

    def _check_clock(self) -> None:
        self._clock_checked = time.monotonic()
        self._clock_offset = self._clock_checked - self._camera.timestamp / 1e6

    def _raise_encoder_error(self) -> None:
        try:
            self._camera.wait_recording(0)
        except self._library.PiCameraError as error:
            raise CameraError(f"{self.name} has stopped: {error}", Reason.SILENT) from error

    def _explain(self, error: Exception) -> CameraError:
        text = str(error)
        if "not enabled" in text:
            why = f"{self.name} is not enabled; raspi-config can enable it"
            return CameraError(why, Reason.SETTINGS)
        if "Out of resources" in text:
            return CameraError(f"{self.name} is in use by another program", Reason.BUSY)
        if isinstance(error, IndexError) or "not detected" in text or "No such" in text:
            return CameraError(f"{self.name} is not detected; check its cable", Reason.MISSING)
        return CameraError(f"{self.name} does not start: {text}", Reason.OTHER)


def _close(library: Any, camera: Any) -> None:
    try:
        camera.close()
    except library.PiCameraError:
        # The encoder's error, raised once more, before the camera was freed.
        camera.close()


def import_picamera() -> Any:
    """Return the library. Raises CameraError if it is missing, or not on a Raspberry Pi."""
    try:
        return importlib.import_module("picamera")
    except ImportError as error:
        text = "The Python library picamera is not installed"
        raise CameraError(text, Reason.SOFTWARE) from error
    except OSError as error:  # its GPU libraries are not there
        raise CameraError("picamera works on a Raspberry Pi only", Reason.SOFTWARE) from error


def connected() -> dict[int, str]:
    """Return the sensors of the cameras that the GPU knows, by their numbers; opens none."""
    try:
        library = import_picamera()
    except CameraError:
        return {}
    mmal = importlib.import_module("picamera.mmal")
    mmalobj = importlib.import_module("picamera.mmalobj")
    try:
        with mmalobj.MMALCameraInfo() as info:
            known = info.control.params[mmal.MMAL_PARAMETER_CAMERA_INFO]
            found = known.cameras[: known.num_cameras]
            # Old firmware has no names.
            names = [getattr(camera, "camera_name", b"") for camera in found]
    except library.PiCameraError:
        return {}
    return {number: name.decode("ascii", "replace") for number, name in enumerate(names)}
