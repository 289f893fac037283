"""Systemd: as much of a service manager as a daemon notices, in plain Python."""

from __future__ import annotations

import re
import select
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tests.support.daemon import GUARD, ROOT


def environment_of_the_unit() -> dict[str, str]:
    """Return what our unit puts into the daemon's environment."""
    unit = (ROOT / "systemd/doorbelld.service").read_text(encoding="ascii")
    return dict(re.findall(r"^Environment=(\w+)=(\S+)$", unit, re.MULTILINE))


class Systemd:
    """Listens at a NOTIFY_SOCKET. ``heard`` are all messages so far, in their order."""

    def __init__(self, folder: Path) -> None:
        self.heard: list[str] = []
        self._path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._path))

    @property
    def environ(self) -> dict[str, str]:
        """What a service of this manager has in its environment."""
        return {"NOTIFY_SOCKET": str(self._path)}

    def wait_for(self, start: str) -> str:
        """Wait for the next message that starts so; those before it are heard and passed."""
        while True:
            message = self.next()
            if message.startswith(start):
                return message

    def next(self) -> str:
        """Wait for the next message."""
        assert self._has_mail(GUARD), f"nothing more after {self.heard[-20:]}"
        message = self._socket.recv(4096).decode()
        self.heard.append(message)
        return message

    def rest(self) -> list[str]:
        """Return what has come already and was not looked at."""
        before = len(self.heard)
        while self._has_mail(0):
            self.next()
        return self.heard[before:]

    @property
    def is_full(self) -> bool:
        """Whether no further message would fit: the next sender has to wait."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(str(self._path))
            return not select.select([], [sender], [], 0)[1]

    def leave(self) -> None:
        """Be gone, and with it the address."""
        self._socket.close()
        self._path.unlink()

    def _has_mail(self, timeout: float) -> bool:
        return bool(select.select([self._socket], [], [], timeout)[0])

    def __enter__(self) -> Systemd:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()


_INHERIT = """
import os, sys
fds = [int(fd) for fd in sys.argv[1].split(",") if fd]
copies = [os.dup(fd) for fd in fds]  # so that none is overwritten
for number, fd in enumerate(copies, 3):
    os.dup2(fd, number)
    os.set_inheritable(number, True)  # which dup2 leaves alone if they are the same
os.closerange(3 + len(fds), 8192)
os.environ["LISTEN_FDS"] = str(len(fds))
os.environ["LISTEN_PID"] = str(os.getpid() + int(sys.argv[2]))
os.execv(sys.argv[3], sys.argv[3:])
"""


def socket_unit(sockets: Sequence[socket.socket | int], *, for_another: bool = False) -> list[str]:
    """Return a command that passes its descriptors on as systemd does, to the one after it.

    The sockets, or other descriptors, must be inherited by it (``pass_fds``). ``for_another``
    passes them to another process: nobody should take them.
    """
    fds = [each if isinstance(each, int) else each.fileno() for each in sockets]
    numbers = ",".join(str(fd) for fd in fds)
    return [sys.executable, "-S", "-c", _INHERIT, numbers, str(int(for_another))]


def service(folder: Path, name: str, code: str) -> dict[str, str]:
    """Return an environment in which every Python runs ``code`` first, as ``name``."""
    path = folder / name
    path.mkdir()
    (path / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": f"{path}:{ROOT}"}
