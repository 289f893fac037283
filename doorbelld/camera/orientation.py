"""Orientation: turns pictures that the camera itself cannot turn; this takes OpenCV."""

from __future__ import annotations

from functools import partial
from typing import Any

from doorbelld.camera.base import Camera, CameraSettings, Shot
from doorbelld.drivers.errors import CameraError
from doorbelld.media import codec


def need_opencv(what: str) -> Any:
    """Return the ``cv2`` module. Raises CameraError: ``what`` needs it."""
    try:
        return codec.load_opencv()
    except ImportError as error:
        raise CameraError(codec.explain_missing(what, error)) from error


def encode(image: Any, asked: CameraSettings) -> bytes:
    """Return an OpenCV image, turned as the settings ask, as a JPEG. Raises ValueError."""
    image = codec.turn(image, asked.rotation, asked.hflip, asked.vflip)
    return codec.encode(image, asked.quality)


def turn_jpeg(data: bytes, asked: CameraSettings) -> bytes:
    """Return a JPEG turned as the settings ask. Raises TooLargeError and ValueError."""
    return codec.turn_jpeg(data, asked.rotation, asked.hflip, asked.vflip, asked.quality)


class TurnedCamera:
    """Another camera, with every picture decoded, flipped and rotated, and encoded again.

    ``rotation``, ``hflip``, ``vflip`` and ``quality`` of the settings apply here.
    """

    def __init__(self, camera: Camera, settings: CameraSettings) -> None:
        self._camera = camera
        self._settings = settings

    @property
    def name(self) -> str:
        """The other camera's name."""
        return self._camera.name

    @property
    def mode(self) -> str:
        """What the other camera delivers."""
        return self._camera.mode

    @property
    def invalid(self) -> int:
        """How many pictures the other camera dropped as damaged."""
        return self._camera.invalid

    def open(self) -> None:
        """Open the other camera. Raises CameraError, also if OpenCV is missing."""
        need_opencv("Turning this camera's picture")
        self._camera.open()

    def read(self, timeout: float) -> Shot | None:
        """Return the next picture, to be turned when it is loaded; None if none came."""
        shot = self._camera.read(timeout)
        if shot is None:
            return None
        return Shot(b"", shot.captured_at, partial(self._turn, shot))

    def _turn(self, shot: Shot) -> bytes:
        return turn_jpeg(shot.jpeg(), self._settings)

    def close(self) -> None:
        """Close the other camera."""
        self._camera.close()
