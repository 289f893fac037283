"""Process: signals, how many files it may have open, and what it uses of the machine."""

from __future__ import annotations

import errno
import logging
import os
import resource
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from doorbelld.system.wakeup import Wakeup

_log = logging.getLogger(__name__)

_LEAST_FILES = 32
"""Open files that the daemon needs with a camera and a few viewers."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def catch_signals() -> Wakeup:
    """Return a Wakeup that each signal sets; its bytes are the numbers of the signals."""
    wakeup = Wakeup()
    signal.set_wakeup_fd(wakeup.writer.fileno(), warn_on_full_buffer=False)
    for number in _SIGNALS:
        signal.signal(number, lambda _number, _frame: None)
    return wakeup


def ignore_signals() -> None:
    """Let the kernel drop every further signal, so that none interrupts the shutdown.

    A handler in Python, even an empty one, can run between any two lines, and may wait for a lock
    that the interrupted line holds.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)


def raise_descriptor_limit(max_viewers: int) -> None:
    """Allow as many open files as the system permits: every viewer's socket is one.

    Raises OSError if that is too few to start.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most == resource.RLIM_INFINITY:
        return
    if most < _LEAST_FILES:
        text = f"only {most} files may be open (ulimit -n), and at least {_LEAST_FILES} are needed"
        raise OSError(errno.EMFILE, text)
    if most < max_viewers + 2000:
        _log.warning("only %d files may be open: too few for %d viewers", most, max_viewers)


class Usage(NamedTuple):
    """What the process uses of the machine; 0 for what the system does not say."""

    cpu_seconds: float
    resident_bytes: int
    open_files: int


def usage() -> Usage:
    """Return what the process uses now."""
    resident_bytes = open_files = 0
    with suppress(OSError):
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        resident_bytes = int(pages) * resource.getpagesize()
        open_files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return Usage(time.process_time(), resident_bytes, open_files)


def started_at() -> float:
    """Return when the process began, on time.monotonic()'s clock; or now, if it is not known."""
    now = time.monotonic()
    with suppress(OSError):
        text = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
        ticks = int(text.rpartition(")")[2].split()[19])
        since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        return now - (since_boot - ticks / os.sysconf("SC_CLK_TCK"))
    return now
