"""Pictures that contain their number, so that it can be read after any decoder."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

NUMBERS = 4096
"""How many numbers there are: each is drawn as twelve black or white squares."""

_COLUMNS, _ROWS, _SIDE = 4, 3, 16
_BITS = _COLUMNS * _ROWS


@functools.lru_cache(maxsize=512)
def numbered(number: int, kilobytes: int = 0) -> bytes:
    """Return picture ``number``, filled up to at least that size with bytes of its own."""
    bits = [255 * (number >> bit & 1) for bit in range(_BITS)]
    squares = np.array(bits, np.uint8).reshape(_ROWS, _COLUMNS)
    image = squares.repeat(_SIDE, axis=0).repeat(_SIDE, axis=1)
    plain = bytes(cv2.imencode(".jpg", image)[1])
    filler = random.Random(number)  # noqa: S311  # always the same for the same number
    missing = max(0, 1024 * kilobytes - len(plain))
    comments = b""
    while len(comments) < missing:
        length = min(60_000, missing)
        comments += b"\xff\xfe" + (length + 2).to_bytes(2, "big") + filler.randbytes(length)
    return plain[:2] + comments + plain[2:]


def read_number(picture: bytes | np.ndarray[Any, Any]) -> int:
    """Return the number of a picture, given as JPEG or decoded; AssertionError if it is unclear."""
    if isinstance(picture, bytes):
        decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert decoded is not None
        picture = decoded
    height, width = picture.shape[:2]
    assert (width, height) == (_COLUMNS * _SIDE, _ROWS * _SIDE)
    number = 0
    for bit in range(_BITS):
        top, left = _SIDE * (bit // _COLUMNS), _SIDE * (bit % _COLUMNS)
        # The middle of the square, where all pixels must agree.
        square = picture[top + 4 : top + _SIDE - 4, left + 4 : left + _SIDE - 4]
        assert square.max() < 64 or square.min() > 192, f"bit {bit} is neither black nor white"
        number |= int(square.max() > 128) << bit
    return number


def film(path: Path, count: int) -> Path:
    """Write the pictures from 0 to ``count`` into a file that the daemon plays over and over."""
    path.write_bytes(b"".join(numbered(number) for number in range(count)))
    return path


def numbers_in(path: Path) -> Iterator[int]:
    """Yield the numbers of a video's pictures."""
    capture = cv2.VideoCapture(str(path))
    while True:
        is_there, image = capture.read()
        if not is_there:
            break
        yield read_number(image)
    capture.release()
