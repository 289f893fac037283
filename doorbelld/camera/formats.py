"""What a V4L2 camera can deliver: its formats and picture sizes, asked of its driver."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_CAPTURE = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE
_FORMAT = struct.Struct("I I I 32s I I 12x")  # struct v4l2_fmtdesc
_VIDIOC_ENUM_FMT = 0xC0405602
_SIZE = struct.Struct("I I I 6I 8x")  # struct v4l2_frmsizeenum
_VIDIOC_ENUM_FRAMESIZES = 0xC02C564A
_DISCRETE = 1

_MOST = 256
"""No driver has more formats, or sizes of one; a broken one might never come to an end."""


@dataclass(frozen=True)
class Format:
    """A pixel format by its four-character code, and the sizes that it comes in.

    A size is ``"640x480"``, or ``"16x16 to 1920x1080"`` where everything between is possible.
    """

    code: str
    sizes: tuple[str, ...]


def formats(path: str) -> list[Format]:
    """Return what the camera at ``path`` offers, in its driver's order. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return [
            Format(_text(code), tuple(_sizes(fd, code)))
            for *_, code, _ in _enumerate(fd, _VIDIOC_ENUM_FMT, _FORMAT, _CAPTURE, 0, b"", 0, 0)
        ]
    finally:
        os.close(fd)


def _sizes(fd: int, code: int) -> Iterator[str]:
    numbers = [0] * 6
    for found in _enumerate(fd, _VIDIOC_ENUM_FRAMESIZES, _SIZE, code, 0, *numbers):
        kind, least_width, most_width, _, least_height, most_height, _ = found[2:]
        if kind == _DISCRETE:  # then the first two are width and height
            yield f"{least_width}x{most_width}"
        else:
            yield f"{least_width}x{least_height} to {most_width}x{most_height}"


def _enumerate(
    fd: int, request: int, layout: struct.Struct, *rest: object
) -> Iterator[tuple[Any, ...]]:
    """Ask with the index 0, 1, 2 … until the driver says that there are no more."""
    for index in range(_MOST):
        try:
            yield layout.unpack(fcntl.ioctl(fd, request, layout.pack(index, *rest)))
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY):
                return
            raise


def _text(code: int) -> str:
    # The uppermost bit says "big endian".
    return (code & 0x7FFFFFFF).to_bytes(4, "little").decode("ascii", "replace").strip()
