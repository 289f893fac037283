"""Raw pictures in every format that can be read, packed and with bytes behind each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from doorbelld.media import codec

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, HEIGHT = 64, 48
COLOUR = (200, 120, 40)  # blue, green, red
GREY = 107
"""As bright as COLOUR."""


def yuv() -> tuple[int, int, int]:
    """Return the brightness and both colour values of COLOUR, as video has them."""
    image = np.full((2, 2, 3), COLOUR, np.uint8)
    planes = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420).flatten()
    return int(planes[0]), int(planes[4]), int(planes[5])


def packed(*pixel: int) -> Any:
    """Return rows in which these bytes repeat."""
    row = np.array([pixel * WIDTH], np.uint8)[:, : WIDTH * 4]
    return np.repeat(row, HEIGHT, axis=0)


def chroma(*planes: Any) -> Any:
    """Return a plane of brightness, and below it planes of colour."""
    return np.concatenate([np.full((HEIGHT, WIDTH), yuv()[0], np.uint8), *planes])


def mosaic(pattern: str) -> Any:
    """Return one colour a pixel, in squares of four."""
    values = dict(zip("BGR", COLOUR))
    square = np.array([values[letter] for letter in pattern], np.uint8).reshape(2, 2)
    return np.tile(square, (HEIGHT // 2, WIDTH // 2))


def rows_of(code: str) -> Any:
    """Return a picture of COLOUR as rows of bytes."""
    y, u, v = yuv()
    blue, green, red = COLOUR
    quarter = np.ones((HEIGHT // 4, WIDTH), np.uint8)
    pairs = np.ones((HEIGHT // 2, WIDTH), np.uint8)
    even = np.arange(WIDTH) % 2 == 0
    makers: dict[str, Callable[[], Any]] = {
        "YUYV": lambda: packed(y, u, y, v)[:, : WIDTH * 2],
        "UYVY": lambda: packed(u, y, v, y)[:, : WIDTH * 2],
        "YVYU": lambda: packed(y, v, y, u)[:, : WIDTH * 2],
        "NV12": lambda: chroma(pairs * np.where(even, u, v).astype(np.uint8)),
        "NV21": lambda: chroma(pairs * np.where(even, v, u).astype(np.uint8)),
        "YU12": lambda: chroma(quarter * u, quarter * v),
        "YV12": lambda: chroma(quarter * v, quarter * u),
        "BGR3": lambda: packed(blue, green, red)[:, : WIDTH * 3],
        "RGB3": lambda: packed(red, green, blue)[:, : WIDTH * 3],
        "XR24": lambda: packed(blue, green, red, 0),
        "AR24": lambda: packed(blue, green, red, 255),
        "BGR4": lambda: packed(blue, green, red, 9),
        "BA81": lambda: mosaic("BGGR"),
        "GBRG": lambda: mosaic("GBRG"),
        "GRBG": lambda: mosaic("GRBG"),
        "RGGB": lambda: mosaic("RGGB"),
        "GREY": lambda: np.full((HEIGHT, WIDTH), GREY, np.uint8),
        "Y16": lambda: packed(0, GREY)[:, : WIDTH * 2],
    }
    return makers[code]()


def padded(rows: Any, behind: int) -> Any:
    """Return rows with bytes of no meaning behind each."""
    return np.pad(rows, ((0, 0), (0, behind)), constant_values=77)


@pytest.mark.parametrize("code", codec.PIXELS)
@pytest.mark.parametrize("behind", [0, 32])
def test_raw_picture_has_its_colours(code: str, behind: int) -> None:
    plain = rows_of(code)
    rows = padded(plain, behind)
    if code in ("YU12", "YV12"):  # Two rows of colour take the place of one of brightness.
        colours = padded(plain[HEIGHT:].reshape(-1, WIDTH // 2), behind // 2)
        rows[HEIGHT:] = colours.reshape(-1, rows.shape[1])
    image = codec.decode_raw(rows.tobytes(), code, WIDTH, HEIGHT, rows.shape[1])
    assert image.shape[:2] == (HEIGHT, WIDTH)
    wanted = GREY if code in ("GREY", "Y16") else COLOUR
    assert abs(image[4:-4, 4:-4].astype(int) - wanted).max() <= 6
    assert codec.encode(image, 80)


@pytest.mark.parametrize("code", codec.PIXELS)
def test_raw_picture_with_too_few_bytes_is_refused(code: str) -> None:
    data = rows_of(code).tobytes()
    with pytest.raises(ValueError, match="buffer"):
        codec.decode_raw(data[:-1], code, WIDTH, HEIGHT, 0)


def test_bytes_behind_a_raw_picture_are_ignored() -> None:
    data = rows_of("YUYV").tobytes() + bytes(1000)
    assert codec.decode_raw(data, "YUYV", WIDTH, HEIGHT, 0).shape == (HEIGHT, WIDTH, 3)
