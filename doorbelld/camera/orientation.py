"""Turns the pictures of a camera that cannot turn them itself, at the price of OpenCV."""

from __future__ import annotations

from doorbelld.camera.base import Camera, CameraError, CameraSettings, Shot
from doorbelld.media import jpeg


class ReorientedCamera:
    """Another camera, with every picture decoded, flipped and rotated, and encoded again.

    ``rotation``, ``hflip``, ``vflip`` and ``quality`` of the settings are obeyed here.
    """

    def __init__(self, camera: Camera, settings: CameraSettings) -> None:
        self._camera = camera
        self._settings = settings
        self._undecodable = 0

    @property
    def name(self) -> str:
        """The other camera's name."""
        return self._camera.name

    @property
    def invalid(self) -> int:
        """What the other camera dropped, and what could not be decoded."""
        return self._camera.invalid + self._undecodable

    def open(self) -> None:
        """Open the other camera. Raises CameraError, also if OpenCV is missing."""
        try:
            jpeg.load_opencv()
        except ImportError as error:
            why = jpeg.why_not(error)
            raise CameraError(f"Turning this camera's picture needs OpenCV{why}") from error
        self._camera.open()

    def read(self, timeout: float) -> Shot | None:
        """Return the next picture, turned; None if none came or it cannot be decoded.

        Raises TooLargeError for one that is too large to be decoded.
        """
        shot = self._camera.read(timeout)
        if shot is None:
            return None
        asked = self._settings
        try:
            data = jpeg.reorient(shot.data, asked.rotation, asked.hflip, asked.vflip, asked.quality)
        except jpeg.TooLargeError:
            raise
        except ValueError:
            self._undecodable += 1
            return None
        return shot._replace(data=data)

    def close(self) -> None:
        """Close the other camera."""
        self._camera.close()
