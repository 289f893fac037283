"""What the kernel knows of a process: its CPU time and its memory."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """Return user and system time of all living threads of a process.

    From schedstat, in nanoseconds: utime and stime of /proc/PID/stat are the same sum in
    steps of 10 ms, which is more than a lone viewer costs in a second.
    """
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has just ended
            total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process, in megabytes of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"process {pid} has no memory any more")
