"""mDNS: the .local name of this machine, and the page as a service in the local network.

avahi-publish of avahi-utils announces the page, as a child process, while the daemon runs. So the
daemon needs no library for it, and Avahi withdraws the service as soon as the child ends, for
whatever reason.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

_PROGRAM = "avahi-publish"
_PAUSE = 60.0
"""Seconds until a child that has ended is started again. Avahi itself may restart: --no-fail."""

_PATIENCE = 0.5
"""Seconds that the child may take to end."""

_LONGEST_QUESTION = 2.0
"""Seconds that Avahi may take to answer."""

_LONGEST_NAME = 63
"""Bytes of a service's name: RFC 6763, 4.1.1."""

_USUAL_PORTS = {"_http._tcp": 80, "_https._tcp": 443}

_QUESTION = (
    *("busctl", "--system", "--auto-start=no", "call", "org.freedesktop.Avahi", "/"),
    *("org.freedesktop.Avahi.Server", "GetHostNameFqdn"),
)


class Announcement:
    """One service. Only for the main thread; only stop() waits."""

    def __init__(self) -> None:
        self._wanted: list[str] = []
        self._child = 0
        self._next_at = 0.0
        self._has_warned = False

    def update(self, name: str, listeners: Sequence[socket.socket], *, secure: bool) -> None:
        """Announce this camera at the best port of the listeners, instead of what was before."""
        wanted = _arguments(name, listeners, secure=secure)
        if wanted != self._wanted:
            self._end()
            self._wanted = wanted
            self._next_at = 0.0
            self.poll()

    def poll(self) -> None:
        """Check whether the child has ended, and start one when it is time."""
        if self._child and self._has_ended():
            self._warn("it ended")
            self._next_at = time.monotonic() + _PAUSE
        if self._wanted and not self._child and time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + _PAUSE
            self._start()

    def stop(self) -> None:
        """Withdraw the service."""
        self._wanted = []
        self._end()

    def _start(self) -> None:
        if not _is_there(_PROGRAM):
            return
        command = [_PROGRAM, *self._wanted]
        if "NOTIFY_SOCKET" not in os.environ:
            # If we are killed, systemd ends the child; without systemd the kernel must.
            command = ["setpriv", "--pdeathsig=TERM", *command]
        try:
            self._child = os.posix_spawnp(
                command[0],
                command,
                # Nothing that is only for this process, such as $NOTIFY_SOCKET.
                {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ},
                file_actions=_file_actions(),
                setsigdef=[signal.SIGPIPE],  # which Python ignores
            )
        except OSError as error:
            self._warn(error.strerror or str(error))

    def _warn(self, why: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            _log.warning("%s: %s; trying it every %d s", _PROGRAM, why, _PAUSE)

    def _has_ended(self) -> bool:
        try:
            ended, _ = os.waitpid(self._child, os.WNOHANG)
        except ChildProcessError:
            ended = self._child
        if ended:
            self._child = 0
        return bool(ended)

    def _end(self) -> None:
        if not self._child:
            return
        give_up_at = time.monotonic() + _PATIENCE
        number = signal.SIGTERM
        while not self._has_ended():
            with suppress(ProcessLookupError):  # Our parent may ignore SIGCHLD.
                os.kill(self._child, number)
            number = signal.SIGKILL if time.monotonic() > give_up_at else signal.SIGTERM
            time.sleep(0.005)


_ENVIRONMENT = ("PATH", "DBUS_SYSTEM_BUS_ADDRESS")


def _arguments(name: str, listeners: Sequence[socket.socket], *, secure: bool) -> list[str]:
    """Return the arguments of avahi-publish; [] if no phone could open the page."""
    kind = "_https._tcp" if secure else "_http._tcp"
    places = [each.getsockname()[:2] for each in listeners]
    ports = [port for host, port in places if not ip_address(host.partition("%")[0]).is_loopback]
    if not ports:
        return []
    # One service for one camera: at the default port if it is there, else the first.
    port = _USUAL_PORTS[kind] if _USUAL_PORTS[kind] in ports else ports[0]
    ending = f" on {socket.gethostname().partition('.')[0]}".encode()
    short = name.encode()[: _LONGEST_NAME - len(ending)].decode(errors="ignore").rstrip()
    whole = (short.encode() + ending)[:_LONGEST_NAME].decode(errors="ignore")
    return ["--no-fail", "--service", "--", whole, kind, str(port), "path=/"]


def _is_there(program: str) -> bool:
    return any(os.access(Path(each, program), os.X_OK) for each in os.get_exec_path())


def _file_actions() -> list[tuple[Any, ...]]:
    """Close all our files in the child: OpenCV opens cameras so that children inherit them."""
    actions: list[tuple[Any, ...]] = [
        (os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)
    ]
    for entry in Path("/proc/self/fd").iterdir():
        fd = int(entry.name)
        with suppress(OSError):  # It was the descriptor of the listing itself.
            if fd > 2 and os.get_inheritable(fd):
                actions.append((os.POSIX_SPAWN_CLOSE, fd))
    return actions


def local_name() -> str:
    """Return the machine's name in the local network, such as raspberrypi.local.

    If two machines have the same host name, Avahi calls one of them raspberrypi-2.local, so this
    asks Avahi. If it does not answer, the name is made from the host name. It usually takes a few
    milliseconds, and two seconds at most.
    """
    return _name_from_avahi() or f"{socket.gethostname().partition('.')[0].lower()}.local"


def _name_from_avahi() -> str:
    import subprocess  # The daemon does not need it.

    try:
        done = subprocess.run(  # noqa: S603  # ours
            _QUESTION, check=True, capture_output=True, text=True, timeout=_LONGEST_QUESTION
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    answer = re.fullmatch(r's "([\w.-]+)"\s*', done.stdout)
    return answer[1].lower() if answer else ""
