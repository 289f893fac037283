"""Mode: the pixel format, size and rate that a V4L2 camera is set to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from doorbelld.v4l2 import ioctl
from doorbelld.v4l2.formats import Size, name, number_of, sizes

_PER_SECOND = 1000
"""Frame rates are set in thousandths of a frame a second."""


class Mode(NamedTuple):
    """``code`` is the pixel format's four-character code, ``stride`` the bytes of a raw line.

    ``framerate`` is what the driver says, in frames a second; 0 if it does not say it.
    """

    code: str
    width: int
    height: int
    stride: int
    framerate: float


def set_mode(fd: int, code: str, width: int, height: int, framerate: float) -> Mode:
    """Set a device to the format, and to the nearest size and rate that it has.

    Returns what the driver has made of it; that may be another format. Raises OSError.
    """
    pixels = number_of(code)
    width, height = nearest(sizes(fd, pixels), width, height)
    asked = (ioctl.VIDEO_CAPTURE, width, height, pixels, 0, 0, 0)
    _, width, height, pixels, _, stride, _ = ioctl.call(fd, ioctl.S_FMT, *asked)
    return Mode(name(pixels), width, height, stride, _set_rate(fd, framerate))


def nearest(offered: Sequence[Size], width: int, height: int) -> tuple[int, int]:
    """Return the size that has most in common with this one; this one if there are none.

    Compared is the area that only one of the two covers, as the kernel's USB driver does.
    """

    def difference(size: tuple[int, int]) -> int:
        common = min(size[0], width) * min(size[1], height)
        return size[0] * size[1] + width * height - 2 * common

    possible = [each.nearest(width, height) for each in offered]
    return min(possible, key=difference, default=(width, height))


def _set_rate(fd: int, framerate: float) -> float:
    """Ask for a frame rate; return what the driver says it is, 0 if it does not."""
    thousandths = max(1, round(framerate * _PER_SECOND))
    common = math.gcd(thousandths, _PER_SECOND)
    seconds = (_PER_SECOND // common, thousandths // common)
    with suppress(OSError):  # Not every driver has rates.
        answer = ioctl.call(fd, ioctl.S_PARM, ioctl.VIDEO_CAPTURE, 0, 0, *seconds)
        if answer[3] and answer[4]:
            return float(answer[4] / answer[3])
    return 0.0
