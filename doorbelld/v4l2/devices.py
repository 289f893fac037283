"""V4L2 devices: finds cameras, opens them, and says why one cannot be used.

It asks the kernel, and needs no library.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from doorbelld.drivers.errors import CameraError, Reason, reason_of
from doorbelld.v4l2 import ioctl
from doorbelld.v4l2.formats import Format
from doorbelld.v4l2.formats import formats as _formats

_CAPABILITIES = struct.Struct("16s 32s 32s I I I 12x")  # struct v4l2_capability
_VIDIOC_QUERYCAP = 0x80685600
_NO_BUFFERS = (0, ioctl.VIDEO_CAPTURE, 1, 0, 0)  # count, type, V4L2_MEMORY_MMAP

_CAN_CAPTURE = 0x00000001  # V4L2_CAP_...
_CAN_STREAM = 0x04000000
_MEMORY_TO_MEMORY = 0x00008000 | 0x00004000
_HAS_DEVICE_CAPS = 0x80000000

_PARTS_OF_A_PI = ("bcm2835-codec", "bcm2835-isp", "pispbe", "rp1-cfe", "rpi-hevc", "unicam")
"""Drivers whose nodes look like cameras, but which only libcamera can use."""


@dataclass(frozen=True)
class Device:
    """A V4L2 capture device: its path, and the name it reports."""

    path: str
    name: str


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
            found.append(Device(path, ioctl.printable(_read(node / "name"))))
        except (OSError, CameraError):
            continue  # It has gone since, or is not a camera.
    return found


def query(path: str) -> Device:
    """Ask the device what it is. Raises OSError, or CameraError if it is not a camera."""
    with opened(path) as fd:
        return _query(fd, path)


def probe(path: str) -> Device:
    """Make sure that the camera at ``path`` is there and free; return what it is.

    Raises CameraError, which says why it cannot be used.
    """
    try:
        with opened(path) as fd:
            device = _query(fd, path)
            # While another program is capturing, the driver refuses this.
            ioctl.call(fd, ioctl.REQBUFS, *_NO_BUFFERS)
    except OSError as error:
        raise explain(path, error) from error
    return device


def formats(path: str) -> list[Format]:
    """Return what the camera at ``path`` offers, in its driver's order. Raises OSError."""
    with opened(path) as fd:
        return _formats(fd)


def explain(path: str, error: OSError) -> CameraError:
    """Return in one sentence why the camera at ``path`` cannot be used."""
    reason = reason_of(error)
    text = {
        Reason.MISSING: f"There is no camera at {path}; check that it is plugged in",
        Reason.DENIED: f"No permission to use {path}; the user must be in the group video",
        Reason.BUSY: f"The camera {path} is in use by another program",
    }.get(reason, f"The camera {path} cannot be used: {error.strerror}")
    return CameraError(text, reason)


@contextmanager
def opened(path: str) -> Iterator[int]:
    """Open a device for a few questions; return its descriptor. Raises OSError."""
    fd = open_device(path)
    try:
        yield fd
    finally:
        os.close(fd)


def open_device(path: str) -> int:
    """Return a descriptor of a device, which never blocks. Raises OSError."""
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def _query(fd: int, path: str) -> Device:
    try:
        answer = ioctl.send(fd, _VIDIOC_QUERYCAP, bytes(_CAPABILITIES.size))
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.EINVAL):
            raise CameraError(f"{path} is not a camera", Reason.SETTINGS) from error
        raise
    driver, card, _, _, capabilities, device_caps = _CAPABILITIES.unpack(answer)
    if capabilities & _HAS_DEVICE_CAPS:  # of this node, not of all nodes of the device
        capabilities = device_caps
    usable = capabilities & _CAN_CAPTURE and capabilities & _CAN_STREAM
    if (
        not usable
        or capabilities & _MEMORY_TO_MEMORY
        or ioctl.text(driver).startswith(_PARTS_OF_A_PI)
    ):
        text = f"{path} ({ioctl.text(card)}) is not a camera that sends pictures"
        raise CameraError(text, Reason.SETTINGS)
    return Device(path, ioctl.text(card))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
