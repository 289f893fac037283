"""Pictures that tests can distinguish."""

from __future__ import annotations

import functools

import cv2
import numpy as np


@functools.cache
def jpeg(number: int = 0, width: int = 64, height: int = 48) -> bytes:
    """Return a JPEG of one grey, which encodes its number (0..15): see :func:`number_of`."""
    shade = 8 + 16 * (number % 16)
    image = np.full((height, width, 3), shade, np.uint8)
    return bytes(cv2.imencode(".jpg", image)[1])


def number_of(data: bytes) -> int:
    """Return the number of a picture made by :func:`jpeg`."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return int(image.mean()) // 16


@functools.cache
def big_jpeg(kilobytes: int = 400) -> bytes:
    """Return a noisy JPEG of at least that size."""
    noise = np.random.default_rng(1)
    side = 64
    while True:
        image = noise.integers(0, 255, (side, side, 3), dtype=np.uint8)
        data = bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
        if len(data) >= kilobytes * 1024:
            return data
        side += 64


def huge_jpeg(megabytes: int, number: int = 0) -> bytes:
    """Return a JPEG of so many megabytes, most of them zeros that decoders ignore."""
    small = jpeg(number)
    return small[:-2] + bytes(megabytes * 1024 * 1024 - len(small)) + small[-2:]


def claiming(width: int, height: int, data: bytes = b"") -> bytes:
    """Return a JPEG that claims another size than it has."""
    data = data or jpeg(1)
    at = data.index(b"\xff\xc0") + 5
    claimed = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return data[:at] + claimed + data[at + 4 :]
