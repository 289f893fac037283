"""Formats: the pixel formats that a V4L2 camera offers, and the sizes of each."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from doorbelld.v4l2 import ioctl

_FORMAT = struct.Struct("=3I32s2I12x")  # struct v4l2_fmtdesc
_ENUM_FMT = ioctl.Request(0xC0405602, _FORMAT)
_SIZE = struct.Struct("=9I8x")  # struct v4l2_frmsizeenum
_ENUM_FRAMESIZES = ioctl.Request(0xC02C564A, _SIZE)

_EMULATED = 0x0002  # V4L2_FMT_FLAG_EMULATED
_DISCRETE = 1  # enum v4l2_frmsizetypes

_MOST = 256
"""No driver has more formats, or sizes of one; a broken one might list them for ever."""


@dataclass(frozen=True)
class Format:
    """A pixel format by its four-character code, and the sizes that it comes in.

    A size is ``"640x480"``, or ``"16x16 to 1920x1080"`` if everything between is possible.
    """

    code: str
    sizes: tuple[str, ...]


class Size(NamedTuple):
    """One size, or all from the least to the most in steps, each of width and height."""

    width: tuple[int, int, int]
    height: tuple[int, int, int]

    def __str__(self) -> str:
        """Return it as in :class:`Format`."""
        least, most = (f"{self.width[n]}x{self.height[n]}" for n in (0, 1))
        return least if least == most else f"{least} to {most}"

    def nearest(self, width: int, height: int) -> tuple[int, int]:
        """Return the nearest possible width and height."""
        return _nearest(width, *self.width), _nearest(height, *self.height)


def formats(fd: int) -> list[Format]:
    """Return what a device offers, in its driver's order. Raises OSError."""
    return [Format(name(number), tuple(map(str, sizes(fd, number)))) for number, _ in _numbers(fd)]


def own_formats(fd: int) -> list[str]:
    """Return the codes of the formats that the camera makes itself. Raises OSError.

    A library between us and the driver may add others, which it converts in this process.
    """
    return [name(number) for number, flags in _numbers(fd) if not flags & _EMULATED]


def sizes(fd: int, number: int) -> list[Size]:
    """Return the sizes of a pixel format; empty if the driver does not say. Raises OSError."""
    found = []
    for _, _, kind, *rest in _enumerate(fd, _ENUM_FRAMESIZES, number, 0, 0, 0, 0, 0, 0, 0):
        if kind == _DISCRETE:  # Then the first two are width and height.
            found.append(Size((rest[0], rest[0], 1), (rest[1], rest[1], 1)))
        else:
            found.append(Size((rest[0], rest[1], rest[2]), (rest[3], rest[4], rest[5])))
    return found


def name(number: int) -> str:
    """Return the four-character code of a pixel format."""
    # The uppermost bit means "big endian".
    return (number & 0x7FFFFFFF).to_bytes(4, "little").decode("ascii", "replace").strip()


def number_of(code: str) -> int:
    """Return the number of the pixel format that has this four-character code."""
    return int.from_bytes(code.ljust(4).encode("ascii"), "little")


def _numbers(fd: int) -> Iterator[tuple[int, int]]:
    """Yield the number and the flags of each format."""
    for _, _, flags, _, number, _ in _enumerate(fd, _ENUM_FMT, ioctl.VIDEO_CAPTURE, 0, b"", 0, 0):
        yield number, flags


def _enumerate(fd: int, request: ioctl.Request, *rest: object) -> Iterator[tuple[Any, ...]]:
    """Ask with the index 0, 1, 2 ... until the driver says that there are no more."""
    for index in range(_MOST):
        try:
            yield ioctl.call(fd, request, index, *rest)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY):
                return
            raise


def _nearest(asked: int, least: int, most: int, step: int) -> int:
    inside = min(max(asked, least), most)
    return inside - (inside - least) % max(step, 1)
