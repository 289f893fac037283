from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

import pytest

from doorbelld.v4l2 import devices
from doorbelld.v4l2.devices import Device
from tests.support.reasons import camera_error

CAPTURE = 0x04200001
CAPTURE_AND_METADATA = 0x84A00001
METADATA = 0x04A00000
MEMORY_TO_MEMORY = 0x04204000


class Kernel:
    """The kernel's answers about the files in a folder that is used as /dev."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sysfs, self.dev = folder / "sys", folder / "dev"
        self.sysfs.mkdir()
        self.dev.mkdir()
        self.busy = False
        self._answers: dict[str, bytes | int] = {}
        monkeypatch.setattr(fcntl, "ioctl", self._ioctl)

    def add(
        self,
        number: int,
        card: str = "Webcam",
        driver: str = "uvcvideo",
        *,
        index: int = 0,
        capabilities: int = CAPTURE_AND_METADATA,
        device_caps: int = CAPTURE,
        error: int = 0,
    ) -> str:
        """Plug in /dev/video``number``; return its path."""
        node = self.sysfs / f"video{number}"
        node.mkdir()
        (node / "index").write_text(f"{index}\n")
        (node / "name").write_text(f"{card}\n")
        path = self.dev / f"video{number}"
        path.touch()
        texts = driver.encode(), card.encode(), b"usb-1"
        self._answers[str(path)] = error or struct.pack(
            "16s32s32s6I", *texts, 0x60100, capabilities, device_caps, 0, 0, 0
        )
        return str(path)

    def _ioctl(self, fd: int, request: int, argument: bytes) -> bytes:
        answer = self._answers[str(Path(f"/proc/self/fd/{fd}").readlink())]
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        if request == 0x80685600:  # VIDIOC_QUERYCAP, 104 bytes
            assert len(argument) == len(answer) == 104
            return answer
        assert request == 0xC0145608  # VIDIOC_REQBUFS, 20 bytes
        assert argument == struct.pack("5I", 0, 1, 1, 0, 0)
        if self.busy:
            raise OSError(errno.EBUSY, "Device or resource busy")
        return argument

    def find(self) -> list[Device]:
        """Look for cameras."""
        return devices.find(self.sysfs, self.dev)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(tmp_path, monkeypatch)


def test_finds_cameras_in_the_order_of_their_numbers(kernel: Kernel) -> None:
    paths = [kernel.add(number, f"Camera {number}") for number in (10, 2, 0)]
    assert kernel.find() == [
        Device(paths[2], "Camera 0"),
        Device(paths[1], "Camera 2"),
        Device(paths[0], "Camera 10"),
    ]


def test_leaves_out_devices_that_are_not_cameras(kernel: Kernel) -> None:
    kernel.add(0, index=1)
    kernel.add(1, device_caps=METADATA)
    kernel.add(2, device_caps=MEMORY_TO_MEMORY | 1)
    kernel.add(3, device_caps=0x00000001)
    kernel.add(4, driver="bcm2835-isp")
    kernel.add(5, driver="unicam")
    kernel.add(6, error=errno.ENOTTY)
    kernel.add(7, error=errno.ENODEV)
    good = kernel.add(8, "The one", "bm2835 mmal", capabilities=CAPTURE, device_caps=0)
    assert kernel.find() == [Device(good, "The one")]


def test_a_camera_that_has_just_gone_is_left_out(kernel: Kernel) -> None:
    Path(kernel.add(0)).unlink()
    assert kernel.find() == []


def test_a_camera_that_we_may_not_open_is_in_the_list(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kernel.add(0, "Forbidden")

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert kernel.find() == [Device(path, "Forbidden")]
    with camera_error(r"^No permission to use .*/video0; the user must be in"):
        devices.probe(path)


def test_a_kernel_without_video_has_no_cameras(tmp_path: Path) -> None:
    assert devices.find(tmp_path / "none", tmp_path) == []


def test_a_node_without_index_is_left_out(kernel: Kernel) -> None:
    kernel.add(0)
    (kernel.sysfs / "video0" / "index").unlink()
    assert kernel.find() == []


def test_probe_says_who_it_is(kernel: Kernel) -> None:
    path = kernel.add(0, "Logitech C270")
    assert devices.probe(path) == Device(path, "Logitech C270")


def test_probe_says_what_is_in_the_way(kernel: Kernel) -> None:
    with camera_error(r"^There is no camera at /dev/video99; check that it is plugged in"):
        devices.probe("/dev/video99")
    with camera_error(r"video0 \(Decoder\) is not a camera that sends pict"):
        devices.probe(kernel.add(0, "Decoder", device_caps=MEMORY_TO_MEMORY))
    with camera_error(r"video1 cannot be used: Input/output error"):
        devices.probe(kernel.add(1, error=errno.EIO))
    kernel.busy = True
    with camera_error("video2 is in use by another program"):
        devices.probe(kernel.add(2))
