"""What the kernel knows about a process: its threads, sockets and memory."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path


def descriptors(pid: int) -> list[str]:
    """Return what the process has open, each by the name that /proc gives it."""
    found = []
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # closed in the meantime
            found.append(str(Path(entry.path).readlink()))
    return found


def sockets(pid: int) -> set[str]:
    """Return the process's open sockets, each by the name that /proc gives it."""
    return {target for target in descriptors(pid) if target.startswith("socket:")}


def resident(pid: int) -> int:
    """Return the resident memory of the process, in bytes."""
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def mapped(pid: int) -> int:
    """Return the address space of the process, in bytes."""
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[0]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def threads(pid: int) -> int:
    """Return how many threads the process has."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("Threads:")))


def is_asleep(pid: int) -> bool:
    """Return whether no thread of the process has anything to do at this moment."""
    states = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # ended in the meantime
            stat = (thread / "stat").read_text("ascii")
            states.append(stat.rpartition(")")[2].split()[0])
    return set(states) <= {"S"}


def cpu_seconds(pid: int) -> float:
    """Return how much processor time the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def allow_many_files() -> None:
    """Raise this process's limit of open files to its maximum."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def peak(pid: int) -> int:
    """Return the highest resident memory of the process so far, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return (
        int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))
        * 1024
    )


def has_loaded(pid: int, library: str) -> bool:
    """Return whether a library with this in its path is in the memory of a process."""
    return library in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for each in found:  # It grows in the loop.
        for thread in os.scandir(f"/proc/{each}/task"):
            with suppress(FileNotFoundError):
                found += map(int, Path(thread.path, "children").read_text("ascii").split())
    return found


def proportional(pid: int) -> int:
    """Return the memory of the process in bytes, shared pages only in part; 0 if it has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next(
        (int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0
    )
