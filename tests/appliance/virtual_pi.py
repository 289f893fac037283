"""VirtualPi: a Debian 13 with the real picamera2, over two virtual cameras of libcamera.

Processes in it run on this machine's kernel and network, in a root folder of their own.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.appliance import roots
from tests.appliance.container import Container
from tests.support import preload
from tests.support.daemon import ROOT, Daemon

PACKAGES = (
    *("python3-libcamera", "libcamera-ipa", "python3-numpy", "python3-pil", "python3-piexif"),
    *("python3-prctl", "python3-pip", "python3-sdnotify"),
)
FILES = Path(__file__).with_name("picamera2")
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
TIMEOUT = 120.0


class VirtualPi:
    """The system in the folder ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def make(self) -> None:
        """Install it."""
        roots.make(self.root, "trixie", PACKAGES)
        # This machine may reach the Python packages through a proxy that has its own certificate.
        shutil.copy(f"/{CERTIFICATES}", self.root / CERTIFICATES)
        shutil.copy(FILES / "requirements.txt", self.root / "root")
        container = Container(self.root, 249)
        options = (
            "--break-system-packages",
            "--no-deps",
            "--requirement",
            "/root/requirements.txt",
        )
        container.prepare("pip", "install", *options)
        [package] = self.root.glob("usr/local/lib/python3*/dist-packages/picamera2/__init__.py")
        package.write_text(f"import stand_ins\n{package.read_text()}\nimport virtual_cameras\n")
        cameras = self.root / "usr/share/libcamera/pipeline/virtual"
        cameras.mkdir(parents=True)
        shutil.copy(FILES / "virtual.yaml", cameras)
        shutil.copytree(ROOT / "doorbelld", self.root / "src/doorbelld")
        for module in FILES.glob("*.py"):
            shutil.copy(module, self.root / "src")
        preload.build("dma_heap", self.root / "src")

    def command(
        self, more: Mapping[str, str] = {}, *, pi_5: bool = True, memory: bool = True
    ) -> list[str]:
        """Return the beginning of a command in it: on a Raspberry Pi 5 or 4, with a DMA heap.

        ``more`` is added to its environment.
        """
        environ = ["HOME=/root", "LANG=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        environ += ["PYTHONPATH=/src", "PYTHONDONTWRITEBYTECODE=1"]
        environ += ["PISP=1"] if pi_5 else []
        environ += ["LD_PRELOAD=/src/dma_heap.so"] if memory else []
        environ += [f"{name}={value}" for name, value in more.items()]
        enter = ["unshare", "--mount", "--mount-proc", f"--root={self.root}", "--wd=/src"]
        return [*enter, "env", "-i", *environ]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        command = [*self.command(), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)

    def check(self, name: str) -> Any:
        """Run a function of checks.py, to which libcamera must have no objection."""
        done = self.run("python3", "checks.py", name)
        assert done.returncode == 0, done.stderr
        assert not re.search("Traceback|libcamera:", done.stderr), done.stderr
        return json.loads(done.stdout)


class PiDaemon(Daemon):
    """A daemon in it."""

    def __init__(
        self, folder: Path, pi: VirtualPi, environ: Mapping[str, str] = {}, **machine: bool
    ) -> None:
        super().__init__(folder)
        self.command = [*pi.command(environ, **machine), "python3", "-m", "doorbelld"]
