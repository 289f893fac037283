"""What the kernel knows of a process: its threads, sockets and memory."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path


def sockets(pid: int) -> set[str]:
    """Return the process's open sockets, each by the name that /proc gives it."""
    found = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # closed in the meantime
            target = str(Path(entry.path).readlink())
            if target.startswith("socket:"):
                found.add(target)
    return found


def threads(pid: int) -> int:
    """Return how many threads the process has."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("Threads:")))


def cpu_seconds(pid: int) -> float:
    """Return how much processor time the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def allow_many_files() -> None:
    """Let this process open as many files and sockets as it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
