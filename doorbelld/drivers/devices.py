"""V4L2 devices: finds cameras, says why one cannot be used, and lists what it can deliver.

It asks the kernel, and needs no library.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doorbelld.drivers.errors import CameraError

_CAPABILITIES = struct.Struct("16s 32s 32s I I I 12x")  # struct v4l2_capability
_VIDIOC_QUERYCAP = 0x80685600
_BUFFERS = struct.Struct("I I I 8x")  # struct v4l2_requestbuffers: count, type, memory
_VIDIOC_REQBUFS = 0xC0145608
_FORMAT = struct.Struct("I I I 32s I I 12x")  # struct v4l2_fmtdesc
_VIDIOC_ENUM_FMT = 0xC0405602
_SIZE = struct.Struct("I I I 6I 8x")  # struct v4l2_frmsizeenum
_VIDIOC_ENUM_FRAMESIZES = 0xC02C564A

_VIDEO_CAPTURE = 1  # enum v4l2_buf_type
_NO_BUFFERS = _BUFFERS.pack(0, _VIDEO_CAPTURE, 1)  # 1: V4L2_MEMORY_MMAP
_DISCRETE = 1  # enum v4l2_frmsizetypes

_CAN_CAPTURE = 0x00000001  # V4L2_CAP_...
_CAN_STREAM = 0x04000000
_MEMORY_TO_MEMORY = 0x00008000 | 0x00004000
_HAS_DEVICE_CAPS = 0x80000000

_PARTS_OF_A_PI = ("bcm2835-codec", "bcm2835-isp", "pispbe", "rp1-cfe", "rpi-hevc", "unicam")
"""Drivers whose nodes look like cameras, but which only libcamera can use."""

_MOST = 256
"""No driver has more formats, or sizes of one; a broken one might list them for ever."""


@dataclass(frozen=True)
class Device:
    """A V4L2 capture device: its path, and the name it reports."""

    path: str
    name: str


@dataclass(frozen=True)
class Format:
    """A pixel format by its four-character code, and the sizes that it comes in.

    A size is ``"640x480"``, or ``"16x16 to 1920x1080"`` if everything between is possible.
    """

    code: str
    sizes: tuple[str, ...]


def find(sysfs: Path = Path("/sys/class/video4linux"), dev: Path = Path("/dev")) -> list[Device]:
    """List the cameras that can be used, in the order of their numbers.

    A camera that we may not open is in the list: "no permission" helps more than "no camera".
    """
    found = []
    nodes = sysfs.glob("video*") if sysfs.is_dir() else ()
    for node in sorted(nodes, key=lambda node: (len(node.name), node.name)):
        if _read(node / "index") != "0":
            continue  # a second node of the same camera, for metadata
        path = str(dev / node.name)
        try:
            found.append(query(path))
        except PermissionError:
            found.append(Device(path, _printable(_read(node / "name"))))
        except (OSError, CameraError):
            continue  # It has gone since, or is not a camera.
    return found


def query(path: str) -> Device:
    """Ask the device what it is. Raises OSError, or CameraError if it is not a camera."""
    with _opened(path) as fd:
        return _query(fd, path)


def probe(path: str) -> Device:
    """Make sure that the camera at ``path`` is there and free; return what it is.

    Raises CameraError, which says why it cannot be used.
    """
    try:
        with _opened(path) as fd:
            device = _query(fd, path)
            # While another program is capturing, the driver refuses this.
            fcntl.ioctl(fd, _VIDIOC_REQBUFS, _NO_BUFFERS)
    except OSError as error:
        raise CameraError(_explain(path, error)) from error
    return device


def formats(path: str) -> list[Format]:
    """Return what the camera at ``path`` offers, in its driver's order. Raises OSError."""
    with _opened(path) as fd:
        return [
            Format(_code(code), tuple(_sizes(fd, code)))
            for *_, code, _ in _enumerate(
                fd, _VIDIOC_ENUM_FMT, _FORMAT, _VIDEO_CAPTURE, 0, b"", 0, 0
            )
        ]


@contextmanager
def _opened(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _query(fd: int, path: str) -> Device:
    try:
        answer = fcntl.ioctl(fd, _VIDIOC_QUERYCAP, bytes(_CAPABILITIES.size))
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.EINVAL):
            raise CameraError(f"{path} is not a camera") from error
        raise
    driver, card, _, _, capabilities, device_caps = _CAPABILITIES.unpack(answer)
    if capabilities & _HAS_DEVICE_CAPS:  # of this node, not of all nodes of the device
        capabilities = device_caps
    usable = capabilities & _CAN_CAPTURE and capabilities & _CAN_STREAM
    if not usable or capabilities & _MEMORY_TO_MEMORY or _text(driver).startswith(_PARTS_OF_A_PI):
        raise CameraError(f"{path} ({_text(card)}) is not a camera that sends pictures")
    return Device(path, _text(card))


def _explain(path: str, error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return f"There is no camera at {path}; check that it is plugged in"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"No permission to use {path}; the user must be in the group video"
    if error.errno == errno.EBUSY:
        return f"The camera {path} is in use by another program"
    return f"The camera {path} cannot be used: {error.strerror}"


def _sizes(fd: int, code: int) -> Iterator[str]:
    numbers = [0] * 6
    for found in _enumerate(fd, _VIDIOC_ENUM_FRAMESIZES, _SIZE, code, 0, *numbers):
        kind, least_width, most_width, _, least_height, most_height, _ = found[2:]
        if kind == _DISCRETE:  # Then the first two are width and height.
            yield f"{least_width}x{most_width}"
        else:
            yield f"{least_width}x{least_height} to {most_width}x{most_height}"


def _enumerate(
    fd: int, request: int, layout: struct.Struct, *rest: object
) -> Iterator[tuple[Any, ...]]:
    """Ask with the index 0, 1, 2 ... until the driver says that there are no more."""
    for index in range(_MOST):
        try:
            yield layout.unpack(fcntl.ioctl(fd, request, layout.pack(index, *rest)))
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY):
                return
            raise


def _code(number: int) -> str:
    # The uppermost bit means "big endian".
    return (number & 0x7FFFFFFF).to_bytes(4, "little").decode("ascii", "replace").strip()


def _text(field: bytes) -> str:
    return _printable(field.split(b"\0", 1)[0].decode("utf-8", "replace"))


def _printable(text: str) -> str:
    """Return the name of a device without control characters, which a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text.strip())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
