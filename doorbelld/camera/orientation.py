"""Orientation: turns pictures that the camera itself cannot turn.

OpenCV does it for everyone. Without it, a JPEG says in its Exif data which way up it is to be
shown; browsers obey that, and many other programs do not.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from doorbelld.camera.base import Camera, CameraSettings, Shot
from doorbelld.drivers.errors import CameraError, Reason
from doorbelld.media import codec, exif
from doorbelld.system.limited_log import OncePerMinute

logger = logging.getLogger(__name__)

_ONLY_BROWSERS = (
    "browsers turn it themselves, but many other programs will show it unturned;"
    " for those, install python3-opencv"
)

_may_warn = OncePerMinute()
"""For the whole process: a camera that is lost every second is opened again as often."""


def need_opencv(what: str) -> Any:
    """Return the ``cv2`` module. Raises CameraError: ``what`` needs it."""
    try:
        return codec.load_opencv()
    except ImportError as error:
        raise CameraError(codec.explain_missing(what, error), Reason.SOFTWARE) from error


def has_opencv() -> bool:
    """Return whether OpenCV can be loaded, and load it."""
    try:
        codec.load_opencv()
    except ImportError:
        return False
    return True


def encode(image: Any, asked: CameraSettings) -> bytes:
    """Return an OpenCV image, turned as the settings ask, as a JPEG. Raises ValueError."""
    image = codec.turn(image, asked.rotation, asked.hflip, asked.vflip)
    return codec.encode(image, asked.quality)


def zoom_before_turning(asked: CameraSettings) -> tuple[float, float, float, float]:
    """Return which part of the unturned picture becomes the part that is asked for."""
    left, top, width, height = asked.zoom
    for _ in range(asked.rotation // 90):
        left, top, width, height = top, 1 - left - width, height, width
    if asked.hflip:
        left = 1 - left - width
    if asked.vflip:
        top = 1 - top - height
    return left, top, width, height


def turn_jpeg(data: bytes, asked: CameraSettings) -> bytes:
    """Return a JPEG turned as the settings ask. Raises TooLargeError and ValueError."""
    return codec.turn_jpeg(data, asked.rotation, asked.hflip, asked.vflip, asked.quality)


class TurnedCamera:
    """Another camera, with every picture flipped and rotated, as the settings ask.

    With OpenCV a picture is decoded, turned, and encoded again with the settings' ``quality``.
    Without it, the picture stays as it is and gets an Exif orientation.
    """

    def __init__(self, camera: Camera, settings: CameraSettings) -> None:
        self._camera = camera
        self._settings = settings
        self._by_exif = False

    @property
    def name(self) -> str:
        """The other camera's name."""
        return self._camera.name

    @property
    def mode(self) -> str:
        """What the other camera delivers, and whether only browsers show it turned."""
        modes = (self._camera.mode, "turned by the browser" if self._by_exif else "")
        return ", ".join(filter(None, modes))

    @property
    def invalid(self) -> int:
        """How many pictures the other camera dropped as damaged."""
        return self._camera.invalid

    def open(self) -> None:
        """Open the other camera. Raises CameraError."""
        problem = ""
        try:
            codec.load_opencv()
        except ImportError as error:
            problem = codec.explain_missing("turning its picture", error)
        self._by_exif = bool(problem)
        self._camera.open()
        if problem and _may_warn.is_due():
            logger.warning("%s: %s; %s", self.name, problem, _ONLY_BROWSERS)

    def read(self, timeout: float) -> Shot | None:
        """Return the next picture, to be turned when it is loaded; None if none came."""
        shot = self._camera.read(timeout)
        if shot is None:
            return None
        return Shot(b"", shot.captured_at, partial(self._turn, shot))

    def _turn(self, shot: Shot) -> bytes:
        data, asked = shot.jpeg(), self._settings
        if not self._by_exif:
            return turn_jpeg(data, asked)
        wanted = exif.turned(exif.orientation(data), asked.rotation, asked.hflip, asked.vflip)
        return exif.with_orientation(data, wanted)

    def close(self) -> None:
        """Close the other camera."""
        self._camera.close()
