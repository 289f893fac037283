"""Libraries in C that are preloaded into a process and replace functions of the system."""

from __future__ import annotations

import subprocess
from pathlib import Path


def build(name: str, folder: Path) -> Path:
    """Compile ``name``.c, which is beside this file, into ``folder``; return the library."""
    library = folder / f"{name}.so"
    source = Path(__file__).with_name(f"{name}.c")
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
    subprocess.run(["gcc", *flags, "-o", library, source, "-ldl"], check=True)
    return library
