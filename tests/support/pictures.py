"""Pictures that tests can distinguish."""

from __future__ import annotations

import functools
import re
from typing import Any

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


def segment(marker: int, content: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def with_segments(data: bytes, *segments: bytes) -> bytes:
    """Return a JPEG with these segments at its start."""
    return data[:2] + b"".join(segments) + data[2:]


def encoded(image: Any, *options: int) -> bytes:
    """Return an image as a JPEG made with these options of OpenCV."""
    return bytes(cv2.imencode(".jpg", image, options)[1])


def scene(width: int = 160, height: int = 120) -> Any:
    """Return an image with as much detail as a camera's."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(2).normal(0, 6, (height, width, 3))
    ramps = np.stack([x + y, 2 * x, 255 - y], axis=-1) % 256
    return np.clip(ramps + noise, 0, 255).astype(np.uint8)


@functools.cache
def progressive(width: int = 160, height: int = 120) -> bytes:
    """Return a JPEG in several scans."""
    return encoded(scene(width, height), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)


@functools.cache
def with_restarts(interval: int = 5) -> bytes:
    """Return a JPEG with a restart marker after so many units."""
    return encoded(scene(), cv2.IMWRITE_JPEG_RST_INTERVAL, interval)


_TABLES = re.compile(rb"\xff\xc4..[\x00-\x03\x10-\x13]", re.DOTALL)


def without_tables(data: bytes) -> bytes:
    """Return a JPEG without its Huffman tables, as Motion JPEG has it."""
    while found := _TABLES.search(data):
        length = int.from_bytes(data[found.start() + 2 : found.start() + 4], "big")
        data = data[: found.start()] + data[found.start() + 2 + length :]
    return data


def with_standard_tables(data: bytes) -> bytes:
    """Return such a JPEG with OpenCV's tables in one segment; they are the standard's own."""
    grey = jpeg(1)
    tables = b"".join(
        grey[found.start() + 4 : found.start() + 2 + length]
        for found in _TABLES.finditer(grey)
        for length in [int.from_bytes(grey[found.start() + 2 : found.start() + 4], "big")]
    )
    bare = without_tables(data)
    at = bare.index(b"\xff\xda")
    end = b"" if bare.endswith(b"\xff\xd9") else b"\xff\xd9"
    return bare[:at] + segment(0xC4, tables) + bare[at:] + end


def phone_picture(data: bytes, thumbnail: bytes, second: bytes) -> bytes:
    """Return a picture as phones make it: Exif data with a thumbnail, and a second picture."""
    exif = segment(0xE1, b"Exif\0\0MM\0*" + bytes(8) + thumbnail)
    index = segment(0xE2, b"MPF\0MM\0*" + bytes(64))
    return with_segments(data, exif, index) + second


def cmyk() -> bytes:
    """Return a JPEG of one unit with four components."""
    tables = segment(0xDB, bytes([0]) + bytes([1] * 64))
    frame = segment(
        0xC0, bytes([8, 0, 8, 0, 8, 4, *(b for c in range(1, 5) for b in (c, 0x11, 0))])
    )
    scan = segment(0xDA, bytes([4, *(b for c in range(1, 5) for b in (c, 0)), 0, 63, 0]))
    bare = b"\xff\xd8" + tables + frame + scan + b"\x28\xa2\x8a\xff\xd9"
    return with_standard_tables(bare)
