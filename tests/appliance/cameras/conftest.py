"""The machine of the tests on real camera drivers: one boot for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.appliance import bell, machine, roots
from tests.appliance.cameras import webcam
from tests.appliance.cameras.webcam import Loopback, UsbWebcam
from tests.appliance.container import Container
from tests.appliance.machine import VirtualMachine
from tests.appliance.package import Package


@pytest.fixture(scope="package")
def vm(disks: Path, package: Package) -> Iterator[VirtualMachine]:
    """Return a booted machine with doorbelld and its default settings, and no camera yet."""
    started = time.monotonic()
    root = roots.make(disks / "vm", "trixie", machine.PACKAGES + webcam.PACKAGES)
    webcam.put(root)
    bell.put(root)
    container = Container(root, 250)
    container.put(package.path)
    container.prepare("apt-get", "update")
    container.prepare("apt-get", "install", "--yes", f"/root/{package.path.name}")
    installed = time.monotonic()
    with VirtualMachine(root) as found:
        found.prepare()
        prepared = time.monotonic()
        found.boot()
        print(
            f"\nmachine: {installed - started:.0f} s to install,"
            f" {prepared - installed:.0f} s for the image,"
            f" {time.monotonic() - prepared:.0f} s to boot"
        )
        yield found
        journal = found.run("journalctl --no-pager --unit=doorbelld")
        assert "Traceback" not in journal, journal


@pytest.fixture
def vivid(vm: VirtualMachine) -> Iterator[Callable[..., None]]:
    """Return a function that plugs in cameras; they are removed at the end."""

    def plug_in(options: str = "") -> None:
        vm.run(f"modprobe vivid node_types=0x1 {options}")

    vm.run("systemctl start doorbelld")
    yield plug_in
    vm.run("rm -f /etc/doorbelld/conf.d/test.conf; systemctl stop doorbelld")
    vm.run("udevadm settle; modprobe -r vivid")


@pytest.fixture
def webcams(vm: VirtualMachine) -> Iterator[tuple[UsbWebcam, Loopback]]:
    """Return two webcams, not plugged in, and stop the service until the test starts it.

    At the end they, and all settings, are removed.
    """
    vm.run("systemctl stop doorbelld")
    yield (found := (UsbWebcam(vm), Loopback(vm)))
    vm.run("systemctl stop doorbelld; rm -f /etc/doorbelld/conf.d/test.conf")
    for unit in ("holder", "second"):
        vm.run(f"systemctl stop {unit}", check=False)
    for each in found:
        each.unplug()


@pytest.fixture
def usb_webcam(webcams: tuple[UsbWebcam, Loopback]) -> UsbWebcam:
    """Return a USB webcam, not plugged in."""
    return webcams[0]


@pytest.fixture
def loopback(webcams: tuple[UsbWebcam, Loopback]) -> Loopback:
    """Return a webcam whose bytes the test decides, not plugged in."""
    return webcams[1]
