"""Finds V4L2 cameras, and tells in plain words why one cannot be used; needs no library."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from doorbelld.camera.base import CameraError

_CAPABILITIES = struct.Struct("16s 32s 32s I I I 12x")  # struct v4l2_capability
_VIDIOC_QUERYCAP = 0x80685600
_VIDIOC_REQBUFS = 0xC0145608
_BUFFERS = struct.Struct("I I I 8x")  # struct v4l2_requestbuffers: count, type, memory
_NO_BUFFERS = _BUFFERS.pack(0, 1, 1)  # none, VIDEO_CAPTURE, MMAP

_CAPTURE = 0x00000001
_STREAMING = 0x04000000
_MEMORY_TO_MEMORY = 0x00008000 | 0x00004000
_DEVICE_CAPS = 0x80000000

_PARTS_OF_A_PI = ("bcm2835-codec", "bcm2835-isp", "pispbe", "rp1-cfe", "rpi-hevc", "unicam")
"""Drivers whose nodes look like cameras, but which only libcamera can make sense of."""


@dataclass(frozen=True)
class Device:
    """A V4L2 capture device: where it is, and what it calls itself."""

    path: str
    name: str


def find(sysfs: Path = Path("/sys/class/video4linux"), dev: Path = Path("/dev")) -> list[Device]:
    """List the cameras that can be used, in the order of their numbers.

    A camera that we may not open is in the list: to hear of the missing permission helps
    more than to hear that there is no camera.
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
            continue  # gone meanwhile, or something else than a camera
    return found


def query(path: str) -> Device:
    """Ask the device what it is. Raises OSError, or CameraError if it is no camera."""
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return _query(fd, path)
    finally:
        os.close(fd)


def probe(path: str) -> Device:
    """Make sure that the camera at ``path`` is there and free; return what it is.

    Raises CameraError, which says what is in the way.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            device = _query(fd, path)
            # The driver refuses this to everyone while another program is capturing.
            fcntl.ioctl(fd, _VIDIOC_REQBUFS, _NO_BUFFERS)
        finally:
            os.close(fd)
    except OSError as error:
        raise CameraError(_explain(path, error)) from error
    return device


def _query(fd: int, path: str) -> Device:
    try:
        answer = fcntl.ioctl(fd, _VIDIOC_QUERYCAP, bytes(_CAPABILITIES.size))
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.EINVAL):
            raise CameraError(f"{path} is not a camera") from error
        raise
    driver, card, _, _, capabilities, device_caps = _CAPABILITIES.unpack(answer)
    if capabilities & _DEVICE_CAPS:  # of this node, not of all of the device's nodes
        capabilities = device_caps
    usable = capabilities & _CAPTURE and capabilities & _STREAMING
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


def _text(field: bytes) -> str:
    return _printable(field.split(b"\0", 1)[0].decode("utf-8", "replace"))


def _printable(text: str) -> str:
    """Return what a device calls itself without what a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text.strip())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
