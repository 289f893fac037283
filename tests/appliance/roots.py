"""Clean Debian roots of any suite and architecture, made by mmdebstrap."""

from __future__ import annotations

import subprocess
from pathlib import Path

BOOTABLE = ("systemd-sysv", "dbus")
"""What a minimal Debian lacks to boot; every machine that a person installs has it."""


def make(folder: Path, suite: str, packages: tuple[str, ...] = BOOTABLE, arch: str = "") -> Path:
    """Install a minimal Debian ``suite`` into ``folder``; return it."""
    options = ["--variant=minbase", "--quiet"]
    if packages:
        options.append(f"--include={','.join(packages)}")
    if arch:
        options.append(f"--architectures={arch}")
    subprocess.run(["mmdebstrap", *options, suite, str(folder), mirror()], check=True)
    return folder


def mirror() -> str:
    """Return the Debian archive that this machine itself uses."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    for uri in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split():
        if uri.rstrip("/").endswith("/debian"):
            return uri
    raise RuntimeError("this machine's apt knows no Debian archive")
