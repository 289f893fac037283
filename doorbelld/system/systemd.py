"""systemd: notifications, the watchdog, the folder for state, and the descriptor store.

Without systemd everything here silently does nothing.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from array import array
from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path

import sdnotify

_log = logging.getLogger(__name__)

_FIRST_INHERITED = 3  # SD_LISTEN_FDS_START in sd_listen_fds(3)

_NOTIFY_TIMEOUT = 0.5
"""Seconds that a notification may wait for the service manager; then it is dropped."""


class Notifier:
    """Sends the daemon's state to the service manager, see sd_notify(3)."""

    def __init__(self) -> None:
        self._notifier = sdnotify.SystemdNotifier()
        if self._notifier.socket:
            # A manager that does not read must not block the main thread.
            self._notifier.socket.settimeout(_NOTIFY_TIMEOUT)
        self._status = ""

    def ready(self) -> None:
        """Report that the socket listens: units ordered after this one may start."""
        self._notifier.notify("READY=1")

    def reloading(self) -> None:
        """Report that the configuration is being read again; ready() ends that."""
        self._notifier.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Report that the daemon has begun to stop."""
        self._notifier.notify("STOPPING=1")

    def watchdog(self) -> None:
        """Report that all threads are alive."""
        self._notifier.notify("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Set the line in ``systemctl status``; it is sent only if it has changed."""
        if text != self._status:
            self._status = text
            # sdnotify silently drops what is not latin-1.
            self._notifier.notify("STATUS=" + text.encode("ascii", "replace").decode())


def state_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder for files that outlive the service: StateDirectory= in systemd.exec(5)."""
    first = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(first) if first else None


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """Return within how many seconds the manager expects WATCHDOG=1; None if it does not."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        return int(environ["WATCHDOG_USEC"]) / 1e6
    except (KeyError, ValueError):
        return None


class DescriptorStore:
    """Descriptors that the manager keeps for the next process: sd_notify(3), FDSTORE=1.

    The manager drops a socket that is shut down by itself. ``capacity`` is how many descriptors
    it keeps; 0 means that there is no store.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        # systemd before 254 does not set FDSTORE: the unit does it there.
        capacity = environ.get("FDSTORE", "") if self._address else ""
        self.capacity = int(capacity) if capacity.isdecimal() else 0

    def keep(self, name: str, descriptors: Sequence[int], timeout: float = 0.0) -> bool:
        """Store copies of at most 253 descriptors; those that are stored already do not change.

        Returns False if the manager took nothing within ``timeout`` seconds.
        """
        return not descriptors or self._send(f"FDSTORE=1\nFDNAME={name}", descriptors, timeout)

    def forget(self, name: str) -> bool:
        """Remove all descriptors of this name from the store."""
        return self._send(f"FDSTOREREMOVE=1\nFDNAME={name}", [], 0.0)

    def _send(self, text: str, descriptors: Sequence[int], timeout: float) -> bool:
        address = self._address
        if address.startswith("@"):
            address = "\0" + address[1:]
        fds = array("i", descriptors)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(timeout)
                sock.connect(address)
                sock.sendmsg([text.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        except OSError as error:
            _log.debug("systemd does not take %r: %s", text, error)
            return False
        return True


def inherited_descriptors(environ: Mapping[str, str] = os.environ) -> list[tuple[str, int]]:
    """Return names and descriptors of what the manager passed, see sd_listen_fds(3)."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = environ.get("LISTEN_FDS", "")
    if not count.isdecimal():
        _log.warning("LISTEN_FDS=%s is ignored: it is no number", count)
        return []
    names = chain(environ.get("LISTEN_FDNAMES", "").split(":"), repeat(""))
    found = []
    for fd, name in zip(range(_FIRST_INHERITED, _FIRST_INHERITED + int(count)), names):
        try:
            os.set_inheritable(fd, False)
        except OSError as error:
            _log.warning("LISTEN_FDS=%s: descriptor %d: %s", count, fd, error.strerror)
            break
        found.append((name, fd))
    return found
