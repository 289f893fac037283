"""Raw: makes JPEGs of the raw pictures of cameras that cannot do that; this takes OpenCV."""

from __future__ import annotations

from doorbelld.camera import orientation
from doorbelld.camera.base import CameraSettings
from doorbelld.media import codec
from doorbelld.v4l2.mode import Mode

FORMATS = tuple(codec.PIXELS)
"""The four-character codes that can be read, the best first."""


def encode(data: bytes, mode: Mode, asked: CameraSettings) -> bytes:
    """Return a raw picture, turned as the settings ask, as a JPEG.

    Raises ValueError if it has another size than agreed.
    """
    image = codec.decode_raw(data, mode.code, mode.width, mode.height, mode.stride)
    return orientation.encode(image, asked)
