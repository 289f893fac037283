"""Webcams in the machine that send JPEG, through two drivers of real life.

A camera is fed with pictures that are all different, eight a second, so that every one that
reaches a viewer can be recognised, to the last byte.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Protocol

from tests.appliance.machine import VirtualMachine
from tests.support.daemon import eventually

PACKAGES = ("ffmpeg", "linux-headers-amd64", "v4l-utils", "v4l2loopback-dkms", "v4l2loopback-utils")
"""What a machine needs for them. v4l2loopback is compiled for its kernel at installation."""

COUNT = 24
"""Pictures of each size."""

_HERE = Path(__file__).parent
_PICTURES = "/root/pictures"
_ALL = f"{_PICTURES}/all.mjpeg"
_SIZES = ("640x480", "320x240")
_SILENT = "/run/silent"


def put(root: Path) -> None:
    """Put the pictures, and the programs that are cameras, into a root folder."""
    for size in _SIZES:
        folder = _folder(root, size)
        folder.mkdir(parents=True)
        command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc=size={size}:rate=8"]
        command += ["-frames:v", str(COUNT), "-c:v", "mjpeg", "-q:v", "8", f"{folder}/%03d.jpg"]
        subprocess.run(command, check=True)
    whole = pictures(root)
    (root / _ALL[1:]).write_bytes(b"".join(whole))
    odd = {
        "padded": [jpeg + bytes(700) for jpeg in whole],
        "garbage": [data for jpeg in whole for data in (b"\0" * 999, jpeg, jpeg[1000:])],
        "cut": [data for jpeg in whole for data in (jpeg[: len(jpeg) // 2], jpeg)],
    }
    for name, damaged in odd.items():
        folder = _folder(root, name)
        folder.mkdir(parents=True)
        for number, data in enumerate(damaged):
            (folder / f"{number:03d}.jpg").write_bytes(data)
    for program in ("feeder.py", "usb_camera.py"):
        (root / "root" / program).write_bytes((_HERE / program).read_bytes())


def pictures(root: Path, size: str = "640x480") -> list[bytes]:
    """Return the pictures in a root folder, as they have to reach a viewer."""
    return [path.read_bytes() for path in sorted(_folder(root, size).iterdir())]


def _inside(name: str) -> str:
    return f"{_PICTURES}/{'usb' if name in _SIZES else 'odd'}/{name}"


def _folder(root: Path, name: str) -> Path:
    return root / _inside(name)[1:]


class Webcam(Protocol):
    """A webcam, not plugged in yet. ``path`` is its device then, ``name`` what it says it is."""

    path: str
    name: str

    def plug_in(self) -> None:
        """Let it appear; it sends pictures."""

    def unplug(self) -> None:
        """Let it disappear. It may be gone already."""

    def fall_silent(self) -> None:
        """Let it send nothing."""

    def go_on(self) -> None:
        """Let it send pictures again."""


class UsbWebcam:
    """A USB webcam of two sizes, which the kernel's uvcvideo reads; it can be unplugged any time.

    The device exists as long as the program that plays it runs.
    """

    def __init__(self, vm: VirtualMachine) -> None:
        self.path = "/dev/video0"
        self.name = "Test Webcam"
        self._vm = vm

    def plug_in(self) -> None:
        self.go_on()
        self._vm.run("modprobe --all vhci-hcd uvcvideo")
        camera = f"python3 /root/usb_camera.py {_PICTURES}/usb {_SILENT}"
        self._vm.run(f"systemd-run --quiet --collect --unit=usb-webcam {camera}")
        exists = f"udevadm settle; test -c {self.path} && echo yes"
        eventually(lambda: "yes" in self._vm.run(exists, check=False), "it is found", 60)

    def unplug(self) -> None:
        gone = f"systemctl stop usb-webcam 2>&1; udevadm settle; test -c {self.path} || echo gone"
        eventually(lambda: "gone" in self._vm.run(gone), "it is gone", 60)

    def fall_silent(self) -> None:
        self._vm.run(f"touch {_SILENT}")

    def go_on(self) -> None:
        self._vm.run(f"rm -f {_SILENT}")


class Loopback:
    """A device of v4l2loopback, which ffmpeg feeds, or a program that decides every byte.

    While nothing feeds it, it cannot be used as a camera. It has one size. The driver does not
    remove it while a program uses it.
    """

    def __init__(self, vm: VirtualMachine) -> None:
        self.path = "/dev/video10"
        self.name = "Loopback"
        self._vm = vm

    def plug_in(self) -> None:
        self.add()
        # Without -re, ffmpeg sends the pictures as fast as it can.
        self._feed(
            "ffmpeg -v error -re -stream_loop -1 -f mjpeg -framerate 8"
            f" -i {_ALL} -c copy -f v4l2 {self.path}"
        )

    def add(self, options: str = "") -> None:
        """Add the device, not fed yet. ``options`` are further ones of v4l2loopback-ctl."""
        self._vm.run("modprobe v4l2loopback devices=0")
        self._vm.run(f"v4l2loopback-ctl add --name={self.name} -x 1 {options} {self.path}")
        self._vm.run("udevadm settle")

    def feed(self, folder: str, *, age: float = 0.0) -> None:
        """Feed it with a folder of pictures that were captured ``age`` seconds ago."""
        self._feed(f"python3 /root/feeder.py {self.path} {_inside(folder)} 8 {age}")

    def unplug(self) -> None:
        remove = (
            f"systemctl stop feeder 2>&1; v4l2loopback-ctl delete {self.path} 2>&1;"
            f" test -c {self.path} || echo gone"
        )
        eventually(lambda: "gone" in self._vm.run(remove), "it is removed", 60)

    def fall_silent(self) -> None:
        self._vm.run("systemctl kill --signal=STOP feeder")

    def go_on(self) -> None:
        self._vm.run("systemctl kill --signal=CONT feeder")

    def _feed(self, command: str) -> None:
        self._vm.run("systemctl stop feeder", check=False)
        self._vm.run(f"systemd-run --quiet --collect --unit=feeder {command}")
