from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from doorbelld.v4l2.devices import formats
from doorbelld.v4l2.formats import Format

if TYPE_CHECKING:
    from collections.abc import Callable

MJPG, YUYV, Y16_BE = b"MJPG", b"YUYV", b"Y16 "
DISCRETE, STEPWISE = 1, 3


def driver(answer: Callable[[int, bytes, int], bytes | None]) -> Callable[..., bytes]:
    """Return an ioctl() of a driver that enumerates with ``answer(request, code, index)``."""

    def ioctl(_fd: int, request: int, argument: bytes) -> bytes:
        index, code = struct.unpack_from("I4s", argument)
        found = answer(request, code, index)
        if found is None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        assert len(found) == len(argument) == (request >> 16) & 0x3FFF
        return found

    return ioctl


def webcam(request: int, code: bytes, index: int) -> bytes | None:
    if request == 0xC0405602:  # VIDIOC_ENUM_FMT
        assert code == struct.pack("I", 1), "a type must be asked for"
        known = [(MJPG, 0), (YUYV, 0), (Y16_BE, 0x80)]
        if index >= len(known):
            return None
        name, high = known[index]
        name = name[:3] + bytes([name[3] | high])
        return struct.pack("III32s4s16x", index, 1, 0, b"a description", name)
    assert request == 0xC02C564A  # VIDIOC_ENUM_FRAMESIZES
    of_size = [webcam_size(DISCRETE, 640, 480), webcam_size(DISCRETE, 1280, 720)]
    sizes = {MJPG: of_size, YUYV: [webcam_size(STEPWISE, 16, 1920, 8, 32, 1080, 4)]}.get(code, [])
    return struct.pack("I4s", index, code) + sizes[index] if index < len(sizes) else None


def webcam_size(kind: int, *numbers: int) -> bytes:
    """Return the rest of a struct v4l2_frmsizeenum behind index and format."""
    return struct.pack("7I", kind, *(*numbers, 0, 0, 0, 0)[:6]) + bytes(8)


@pytest.fixture
def device(tmp_path: Path) -> str:
    path = tmp_path / "video0"
    path.touch()
    return str(path)


def test_lists_formats_and_sizes_in_the_drivers_order(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "ioctl", driver(webcam))
    assert formats(device) == [
        Format("MJPG", ("640x480", "1280x720")),
        Format("YUYV", ("16x32 to 1920x1080",)),
        Format("Y16", ()),
    ]


def test_ends_with_a_driver_that_lists_formats_for_ever(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(request: int, _code: bytes, _index: int) -> bytes | None:
        return webcam(request, struct.pack("I", 1), 0) if request == 0xC0405602 else None

    monkeypatch.setattr(fcntl, "ioctl", driver(endless))
    found = formats(device)
    assert set(found) == {Format("MJPG", ())}
    assert len(found) < 1000


def test_a_device_that_has_gone_is_an_error_and_leaves_nothing_open(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> bytes:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(fcntl, "ioctl", gone)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="No such device"):
        formats(device)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
