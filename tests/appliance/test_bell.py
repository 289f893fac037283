"""A button on the kernels of older Debians; tests/appliance/cameras/test_bell.py has the newest."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance import bell
from tests.appliance.container import Container
from tests.appliance.machine import PACKAGES, VirtualMachine

SMALL = {
    # Only what this machine boots from.
    "etc/initramfs-tools/conf.d/small": "MODULES=list\nCOMPRESS=gzip\n",
    "etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\next4\n",
    "etc/dpkg/dpkg.cfg.d/small": "".join(
        f"path-exclude=/lib/modules/*/kernel/{folder}/*\n"
        for folder in ("drivers/gpu", "drivers/media", "drivers/net/wireless", "fs/xfs", "sound")
    ),
}


@pytest.fixture
def vm(suite: str, installed: Path, disks: Path) -> Iterator[VirtualMachine]:
    """Return a booted machine with doorbelld, and with its own kernel."""
    root = disks / f"{suite}-bell"
    subprocess.run(["cp", "--archive", "--reflink=auto", str(installed), str(root)], check=True)
    machine = Container(root, 249)
    for path, text in SMALL.items():
        machine.write(path, text)
    machine.prepare(
        "apt-get", "install", "--yes", "--no-install-recommends", "initramfs-tools", *PACKAGES
    )
    bell.put(root)
    # Not the test card: to draw it takes all that an emulated processor has.
    (root / "etc/doorbelld/conf.d/test.conf").unlink()
    # The test starts the service itself, once there is a button.
    (root / "etc/systemd/system/multi-user.target.wants/doorbelld.service").unlink()
    shutil.rmtree(root / "usr/share/doc")
    with VirtualMachine(root) as found:
        found.prepare()
        found.boot()
        yield found
        journal = found.run("journalctl --no-pager --unit=doorbelld")
        assert "Traceback" not in journal, journal


@pytest.mark.parametrize("suite", ["bullseye", "bookworm"], indirect=True, scope="session")
def test_button_rings_and_a_keyboard_cannot_be_read(vm: VirtualMachine) -> None:
    bell.check_that_a_button_rings_and_a_keyboard_cannot_be_read(vm)
