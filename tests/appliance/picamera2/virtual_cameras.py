"""What libcamera's virtual cameras lack, so that picamera2 takes them for a Raspberry Pi's.

The last thing that picamera2 imports. Nothing else of the library is changed.
"""

from __future__ import annotations

import os
import time
import types
from pathlib import Path
from typing import Any

import libcamera
import numpy as np
import picamera2
import simplejpeg
from picamera2 import encoders, platform
from picamera2.allocators import dmaallocator

INTERVAL = 1 / 30
FAULT = Path("/src/fault")
"""While this file is there, the library has a fault."""


def become_a_pi_5() -> None:
    """Have no hardware encoder. The library asks the kernel for that."""
    platform._platform = platform.Platform.PISP
    picamera2.Picamera2.platform = platform.Platform.PISP
    encoders._hw_encoder_available = False
    encoders.MJPEGEncoder = encoders.LibavMjpegEncoder


def raw_modes(_camera: Any) -> list[dict[str, Any]]:
    """Return one mode: virtual cameras have no raw formats."""
    return [{"format": "NV12", "size": (640, 480)}]


def encode(encoder: Any, request: Any, name: str) -> bytes:
    """Encode NV12, the only format of virtual cameras; the library's encoder takes others."""
    width, height = request.config[name]["size"]
    with picamera2.MappedArray(request, name, reshape=False) as mapped:
        flat = np.asarray(mapped.array).reshape(-1)
        luma = flat[: width * height].reshape(height, width)
        chroma = flat[width * height : width * height * 3 // 2]
        chroma = chroma.reshape(height // 2, width // 2, 2)
        planes = (np.ascontiguousarray(chroma[..., plane]) for plane in (0, 1))
        return bytes(simplejpeg.encode_jpeg_yuv_planes(luma, *planes, encoder.q))


class FrameBuffer:
    """Makes a libcamera.FrameBuffer with a plane for each of NV12's; the library gives it one."""

    Plane = libcamera.FrameBuffer.Plane

    def __new__(cls, planes: list[Any]) -> Any:
        """Return libcamera's object."""
        [luma] = planes
        chroma = cls.Plane()
        chroma.fd = luma.fd
        chroma.offset, chroma.length = luma.length * 2 // 3, luma.length // 3
        luma.length = chroma.offset
        return libcamera.FrameBuffer([luma, chroma])


def paced(process_requests: Any) -> Any:
    """Wait for the time of the next frame: virtual cameras do not."""
    due = 0.0

    def process(camera: Any, display: Any) -> None:
        nonlocal due
        now = time.monotonic()
        time.sleep(max(0.0, due - now))
        due = max(now, due) + INTERVAL
        if FAULT.exists():
            raise LookupError("a fault of the library")
        process_requests(camera, display)

    return process


if "PISP" in os.environ:
    become_a_pi_5()
picamera2.Picamera2._get_raw_modes = raw_modes
picamera2.Picamera2.process_requests = paced(picamera2.Picamera2.process_requests)
encoders.JpegEncoder.encode_func = encode
dmaallocator.libcamera = types.SimpleNamespace(FrameBuffer=FrameBuffer)
# They leave it unset.
libcamera.FrameMetadata.status = property(lambda _: libcamera.FrameMetadata.Status.Success)
