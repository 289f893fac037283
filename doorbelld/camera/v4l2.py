"""The ``v4l2:`` source: a webcam, read through OpenCV."""

from __future__ import annotations

import logging
import time
from typing import Any

from doorbelld.camera.base import CameraSettings, Shot
from doorbelld.camera.orientation import encode, need_opencv, turn_jpeg
from doorbelld.drivers import devices
from doorbelld.drivers.errors import CameraError
from doorbelld.media import codec, jpeg, picture

logger = logging.getLogger(__name__)

_BUFFERS = 4
"""How many pictures OpenCV lets a V4L2 driver keep ready."""

_TRIES = 3
_FRESH = 5.0
"""Seconds: a time stamp older than this is from another clock."""


class V4l2Camera:
    """A webcam, or anything else that the kernel shows as /dev/videoN.

    If it makes JPEGs, and the picture need not be turned, they are passed on as they are;
    otherwise raw pictures are encoded. ``captured_at`` is the driver's time stamp of the buffer.
    """

    def __init__(self, path: str, settings: CameraSettings) -> None:
        self.invalid = 0
        self.name = f"Camera {path}"
        self.mode = ""
        self._path = path
        self._settings = settings
        self._capture: Any = None
        self._turned = bool(settings.rotation or settings.hflip or settings.vflip)
        self._sends_jpeg = False
        self._checker = picture.Checker()
        self._stale = 0.0
        self._failures = 0

    def open(self) -> None:
        """Start capturing. Raises CameraError: missing, forbidden, busy, or no camera."""
        cv2 = need_opencv("This camera")
        self.name = f"{devices.probe(self._path).name} ({self._path})"
        self.mode = ""
        self._capture = cv2.VideoCapture(self._path, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            self.close()
            raise CameraError(f"{self.name} offers no picture format that OpenCV can read")
        self._configure(cv2)

    def read(self, timeout: float) -> Shot | None:
        """Return the newest picture, or None if none came or it was damaged.

        OpenCV waits for a second if the camera is silent, even if ``timeout`` is less.
        """
        del timeout
        captured_at = self._grab()
        if captured_at is None:
            return None
        whole, image = self._capture.retrieve()
        try:
            if whole:
                return Shot(self._jpeg(image), captured_at)
        except jpeg.TooLargeError:
            raise
        except ValueError as error:
            logger.debug("%s: %s", self.name, error)
        self.invalid += 1
        return None

    def close(self) -> None:
        """Stop capturing."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _configure(self, cv2: Any) -> None:
        asked, capture = self._settings, self._capture
        mjpg = cv2.VideoWriter.fourcc(*"MJPG")
        # Raw pictures need not be decoded before they are turned. But they may be too large
        # for the cable to carry many a second.
        for fourcc in (None, mjpg) if self._turned else (mjpg,):
            if fourcc:
                capture.set(cv2.CAP_PROP_FOURCC, fourcc)
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, asked.width)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, asked.height)
            capture.set(cv2.CAP_PROP_FPS, asked.framerate)
            if capture.get(cv2.CAP_PROP_FPS) > asked.framerate * 0.9:
                break
        self._sends_jpeg = int(capture.get(cv2.CAP_PROP_FOURCC)) == mjpg
        if self._sends_jpeg:  # Do not let OpenCV decode it.
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        self._stale = 2 / max(capture.get(cv2.CAP_PROP_FPS), 1)

    def _grab(self) -> float | None:
        """Take the newest picture from the driver; return the time of its capture."""
        # If we paused, the driver has kept the oldest pictures, not the newest. Such a picture
        # comes at once, and is old; fetching it frees its buffer.
        for _ in range(_BUFFERS + 1):
            started = time.monotonic()
            if not self._capture.grab():
                self._miss(time.monotonic() - started)
                return None
            self._failures = 0
            now = time.monotonic()
            captured_at = self._captured_at(now)
            if now - started > self._stale / 10 or now - captured_at < self._stale:
                break
        return captured_at

    def _captured_at(self, now: float) -> float:
        position = codec.load_opencv().CAP_PROP_POS_MSEC
        stamp = float(self._capture.get(position)) / 1000
        return stamp if now - _FRESH < stamp <= now else now

    def _miss(self, waited: float) -> None:
        """Raise CameraError if the camera is gone, and not just silent (then OpenCV has waited)."""
        if waited > 0.5:
            self._failures = 0
            return
        # It failed at once: the device is gone, or a signal came while OpenCV waited.
        self._failures += 1
        try:
            devices.query(self._path)
        except (OSError, CameraError) as error:
            raise CameraError(f"{self.name} was unplugged") from error
        if self._failures >= _TRIES:
            raise CameraError(f"{self.name} has stopped working")

    def _jpeg(self, image: Any) -> bytes:
        """Return what OpenCV gave as a JPEG. Raises ValueError if it is damaged."""
        asked = self._settings
        if self._sends_jpeg:
            return turn_jpeg(self._checker.mend(image.tobytes()), asked)
        if image.shape[0] == 1:
            # If the colours are in OpenCV's own order already, it returns one long row.
            height = int(self._capture.get(codec.load_opencv().CAP_PROP_FRAME_HEIGHT))
            image = image.reshape(height, -1, 3)
        return encode(image, asked)
