"""The daemon with webcams read through OpenCV, to compare: ``python -m bench.opencv_webcam``.

It takes the command line of doorbelld.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from doorbelld.camera import v4l2
from doorbelld.camera.base import Shot
from doorbelld.cli import main
from doorbelld.drivers.errors import CameraError
from doorbelld.media import codec
from doorbelld.v4l2.mode import Mode

if TYPE_CHECKING:
    from doorbelld.camera.base import CameraSettings


class OpencvWebcam(v4l2.V4l2Camera):
    """A webcam whose JPEGs OpenCV fetches without decoding them."""

    def __init__(self, path: str, settings: CameraSettings) -> None:
        super().__init__(path, settings)
        self._made = Mode("MJPG", settings.width, settings.height, 0, settings.framerate)
        self._capture: Any = None

    def open(self) -> None:
        """Start capturing."""
        cv2, asked = codec.load_opencv(), self._settings
        self._capture = capture = cv2.VideoCapture(self._path, cv2.CAP_V4L2)
        if not capture.isOpened():
            raise CameraError("OpenCV cannot open the camera")
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, asked.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, asked.height)
        capture.set(cv2.CAP_PROP_FPS, asked.framerate)
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)

    def read(self, timeout: float) -> Shot | None:
        """Return the next picture."""
        del timeout
        if not self._capture.grab():
            return None
        stamp = self._capture.get(codec.load_opencv().CAP_PROP_POS_MSEC) / 1000
        whole, image = self._capture.retrieve()
        if not whole:
            self.invalid += 1
            return None
        return Shot(self._jpeg_of(image.tobytes()), min(stamp, time.monotonic()))

    def close(self) -> None:
        """Stop capturing."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


if __name__ == "__main__":
    setattr(v4l2, "V4l2Camera", OpencvWebcam)  # noqa: B010  # a type cannot be assigned to
    sys.exit(main())
