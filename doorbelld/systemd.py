"""The systemd side of the daemon: notifications, the watchdog, inherited sockets, the journal.

Everything here is quietly without effect where there is no systemd.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Mapping
from typing import TextIO

import sdnotify

_FIRST_INHERITED = 3  # SD_LISTEN_FDS_START in sd_listen_fds(3)

_PRIORITIES = {
    logging.DEBUG: "<7>",
    logging.INFO: "<6>",
    logging.WARNING: "<4>",
    logging.ERROR: "<3>",
    logging.CRITICAL: "<2>",
}


class Notifier:
    """Tells the service manager how the daemon is; see sd_notify(3)."""

    def __init__(self) -> None:
        self._notifier = sdnotify.SystemdNotifier()
        self._status = ""

    def ready(self) -> None:
        """The socket listens: units ordered after this one may start."""
        self._notifier.notify("READY=1")

    def reloading(self) -> None:
        """The configuration is being read again; ready() ends it."""
        self._notifier.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The daemon has begun to stop."""
        self._notifier.notify("STOPPING=1")

    def watchdog(self) -> None:
        """Everything is alive."""
        self._notifier.notify("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Say one line for ``systemctl status``; the same line is sent only once."""
        if text != self._status:
            self._status = text
            # sdnotify silently drops what is not latin-1.
            self._notifier.notify("STATUS=" + text.encode("ascii", "replace").decode())


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """Return within how many seconds the manager wants to hear WATCHDOG=1; None for never."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        return int(environ["WATCHDOG_USEC"]) / 1e6
    except (KeyError, ValueError):
        return None


def inherited_sockets(environ: Mapping[str, str] = os.environ) -> list[socket.socket]:
    """Return the listening sockets that a socket unit passed, see sd_listen_fds(3)."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(environ.get("LISTEN_FDS", "0"))
    found = []
    for fd in range(_FIRST_INHERITED, _FIRST_INHERITED + count):
        os.set_inheritable(fd, False)
        found.append(socket.socket(fileno=fd))
    return found


def set_up_logging(*, verbose: bool, stream: TextIO = sys.stderr) -> None:
    """Log to ``stream``, with priorities where the journal reads it; it has the time itself."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_JournalFormatter() if _is_journal(stream) else _TerminalFormatter())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])


def _is_journal(stream: TextIO) -> bool:
    """Compare the stream with the one systemd connected to the journal, see systemd.exec(5)."""
    try:
        found = os.fstat(stream.fileno())
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class _JournalFormatter(logging.Formatter):
    """A sd-daemon(3) priority before every line, a traceback's lines included."""

    def format(self, record: logging.LogRecord) -> str:
        priority = _PRIORITIES.get(record.levelno, "<6>")
        return "\n".join(priority + line for line in super().format(record).splitlines())


class _TerminalFormatter(logging.Formatter):
    """The message alone, with its level where a person should look."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno <= logging.INFO else f"{record.levelname}: {text}"
