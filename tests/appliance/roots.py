"""Clean Debian root folders of any suite and architecture, made by mmdebstrap."""

from __future__ import annotations

import subprocess
from pathlib import Path

BOOTABLE = ("systemd-sysv", "dbus")
"""What a minimal Debian needs to boot. Debian's installer always installs it."""


def make(folder: Path, suite: str, packages: tuple[str, ...] = BOOTABLE) -> Path:
    """Install a minimal Debian ``suite`` and ``packages`` into ``folder``; return the folder."""
    return _mmdebstrap(folder, suite, packages, ["--variant=minbase"])


def unpack(folder: Path, suite: str, packages: tuple[str, ...], arch: str) -> Path:
    """Unpack packages of any architecture and their dependencies, without running scripts."""
    options = ["--variant=extract", f"--architectures={arch}", "--skip=check/qemu"]
    return _mmdebstrap(folder, suite, packages, options)


def _mmdebstrap(folder: Path, suite: str, packages: tuple[str, ...], options: list[str]) -> Path:
    command = ["mmdebstrap", "--quiet", *options, f"--include={','.join(packages)}"]
    subprocess.run([*command, suite, str(folder), mirror()], check=True)
    return folder


def mirror() -> str:
    """Return the URL of the Debian archive that the host uses."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    for uri in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split():
        if uri.rstrip("/").endswith("/debian"):
            return uri
    raise RuntimeError("apt on this machine has no Debian archive")
