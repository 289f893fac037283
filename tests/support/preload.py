"""Libraries in C that a process is started with, to stand before the system's own."""

from __future__ import annotations

import subprocess
from pathlib import Path


def build(name: str, folder: Path) -> Path:
    """Compile ``name``.c, which lies beside this file, into ``folder``; return the library."""
    library = folder / f"{name}.so"
    source = Path(__file__).with_name(f"{name}.c")
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
    subprocess.run(["gcc", *flags, "-o", library, source, "-ldl"], check=True)
    return library
