"""ioctl: V4L2's requests and structures, as a process on 64 or on 32 bits has to write them.

They are those of linux/videodev2.h. Most are the same everywhere. Two hold a pointer, a ``long``
or a time, so their size differs, and with it the number of the request, which contains the size.
"""

from __future__ import annotations

import fcntl
import struct
from typing import Any, NamedTuple

_READ, _WRITE = 2, 1  # as the kernel's macros _IOR, _IOW and _IOWR have it
_VIDEO = ord("V")

VIDEO_CAPTURE = 1  # enum v4l2_buf_type


def number(direction: int, command: int, size: int) -> int:
    """Return the number of a V4L2 request whose argument has ``size`` bytes."""
    return direction << 30 | size << 16 | _VIDEO << 8 | command


class Request(NamedTuple):
    """A request, and the structure that goes with it."""

    number: int
    layout: struct.Struct


def _both_ways(command: int, layout: str) -> Request:
    found = struct.Struct(layout)
    return Request(number(_READ | _WRITE, command, found.size), found)


class Abi(NamedTuple):
    """What differs between kinds of machines: two layouts. Padding is written out.

    ``format`` is struct v4l2_format for a single plane: type, width, height, pixel format,
    field, bytes a line, size of the image. ``buffer`` is struct v4l2_buffer: index, type, bytes
    used, flags, field, seconds, microseconds, timecode, sequence, memory, offset, length.
    """

    format: str
    buffer: str


BITS_64 = Abi("=I4x6I176x", "=5I4x2q16s2IQI12x")
BITS_32 = Abi("=7I176x", "=5I2i16s3II8x")
"""The time in 32 bits: it counts from the start of the machine, so that is enough."""

BITS_32_LONG_TIME = Abi("=7I176x", "=5I4x2q16s3II8x")
"""The time in 64 bits, on ARM; kernels that have given up the other one know only this."""

BITS_32_LONG_TIME_X86 = Abi("=7I176x", "=5I2q16s3II8x")


def abis(pointer: int, aligned: int) -> tuple[Abi, ...]:
    """Return what the kernel may understand, the usual one first.

    ``pointer`` is the size of a pointer, ``aligned`` that of an ``int`` before a ``long long``.
    """
    if pointer == 8:
        return (BITS_64,)
    return BITS_32, (BITS_32_LONG_TIME if aligned == 8 else BITS_32_LONG_TIME_X86)


ABIS = abis(struct.calcsize("P"), struct.calcsize("Iq") - struct.calcsize("q"))
"""Those of this very process."""

S_FMT = _both_ways(5, ABIS[0].format)
REQBUFS = _both_ways(8, "=5I")  # count, type, memory, capabilities, flags
STREAMON = number(_WRITE, 18, 4)
STREAMOFF = number(_WRITE, 19, 4)
S_PARM = _both_ways(22, "=5I184x")  # type, capability, mode, seconds of a frame as a fraction
G_CTRL = _both_ways(27, "=Ii")  # id, value
S_CTRL = _both_ways(28, "=Ii")
QUERYCTRL = _both_ways(36, "=2I32s4iI8x")  # id, type, name, least, most, step, default, flags
QUERYMENU = _both_ways(37, "=2I32s4x")  # id, index, name


class BufferRequests:
    """The three requests that carry a struct v4l2_buffer."""

    def __init__(self, abi: Abi) -> None:
        self.layout = struct.Struct(abi.buffer)
        self.query = number(_READ | _WRITE, 9, self.layout.size)
        self.queue = number(_READ | _WRITE, 15, self.layout.size)
        self.dequeue = number(_READ | _WRITE, 17, self.layout.size)


def call(fd: int, request: Request, *fields: object) -> tuple[Any, ...]:
    """Make a request with ``fields``; return the fields of the answer. Raises OSError."""
    return request.layout.unpack(send(fd, request.number, request.layout.pack(*fields)))


def send(fd: int, request: int, argument: bytes) -> bytes:
    """Make a request, also if signals come; return the answer. Raises OSError."""
    while True:
        try:
            return fcntl.ioctl(fd, request, argument)
        except InterruptedError:
            continue


def text(field: bytes) -> str:
    """Return a text of the kernel, without control characters, which a terminal would obey."""
    return printable(field.split(b"\0", 1)[0].decode("utf-8", "replace"))


def printable(name: str) -> str:
    """Return a device's name for itself without control characters."""
    return "".join(c if c.isprintable() else "?" for c in name.strip())
