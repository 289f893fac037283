"""Films: short videos for tests, made by OpenCV, and MP4s that are patched."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np


def film(
    path: Path, framerate: float, *, frames: int = 8, size: tuple[int, int] = (64, 48)
) -> Path:
    """Make a video of frames that are numbered as in ``pictures.py``; return its path.

    An ``.mp4`` has MPEG-4 in it, anything else JPEGs.
    """
    codec = "mp4v" if path.suffix == ".mp4" else "MJPG"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), framerate, size)
    for number in range(frames):
        writer.write(np.full((size[1], size[0], 3), 8 + 16 * (number % 16), np.uint8))
    writer.release()
    return path


def film_of_quarters(path: Path, shades: Sequence[int], size: tuple[int, int] = (64, 48)) -> Path:
    """Make a video whose quarters are grey: upper left, upper right, lower left, lower right."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    for index, shade in enumerate(shades):
        top, left = (index // 2) * height // 2, (index % 2) * width // 2
        image[top : top + height // 2, left : left + width // 2] = shade
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 20, size)
    for _ in range(4):
        writer.write(image)
    writer.release()
    return path


def turn(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write into the MP4's track header how the picture is to be turned, as phones do.

    The numbers are where the picture's x axis points to (right, down), and then its y axis.
    """
    data = path.read_bytes()
    at = data.index(b"tkhd") + 4 + 40
    right, down, across, along = (each << 16 for each in matrix)
    matrix_box = struct.pack(">9i", right, down, 0, across, along, 0, 0, 0, 1 << 30)
    path.write_bytes(data[:at] + matrix_box + data[at + len(matrix_box) :])
    return path


def patch(path: Path, before: bytes, after: bytes) -> Path:
    """Replace bytes of the file by others of the same length."""
    assert len(before) == len(after)
    data = path.read_bytes()
    assert before in data
    path.write_bytes(data.replace(before, after))
    return path
