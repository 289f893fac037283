"""How long a webcam takes to its first picture: ``python -m bench.first_picture PATH [opencv]``.

It prints the milliseconds from opening the camera, with the libraries that this loads; so nothing
here may load them before.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from doorbelld.camera.base import CameraSettings
from doorbelld.camera.v4l2 import V4l2Camera

if TYPE_CHECKING:
    from doorbelld.camera.base import Camera


def _webcam(path: str) -> Camera:
    if "opencv" in sys.argv:
        from bench.opencv_webcam import OpencvWebcam

        return OpencvWebcam(path, CameraSettings())
    return V4l2Camera(path, CameraSettings())


def main() -> None:
    """Open the camera, and read until there is a picture."""
    begin = time.monotonic()
    camera = _webcam(sys.argv[1])
    camera.open()
    while not (shot := camera.read(1)) or not shot.jpeg():
        pass
    print((time.monotonic() - begin) * 1000)
    camera.close()


if __name__ == "__main__":
    main()
