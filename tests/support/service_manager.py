"""ServiceManager: as much of systemd as a daemon notices, in plain Python.

It has a notification socket, a descriptor store that outlives the daemon, and a way to pass
sockets as a socket unit does.
"""

from __future__ import annotations

import os
import re
import select
import socket
import stat
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.daemon import GUARD, ROOT, Daemon, eventually

VIEWER, LISTENER, LEDGER = "doorbelld-viewer", "doorbelld-listener", "doorbelld-ledger"


class ServiceManager:
    """Listens at a NOTIFY_SOCKET. ``heard`` are all messages read so far, in their order.

    Without ``capacity`` messages stay in the socket until the test reads them. With it the
    manager reads them at once, and stores so many descriptors; a socket that is shut down, on
    either side's initiative, leaves the store by itself.
    """

    def __init__(self, capacity: int = 0) -> None:
        self.heard: list[str] = []
        self._capacity = capacity
        self._stored: list[tuple[str, int]] = []
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._path = str(Path(self._folder.name) / "notify")
        self._socket.bind(self._path)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def environ(self) -> dict[str, str]:
        """What a service of this manager has in its environment."""
        store = {"FDSTORE": str(self._capacity)} if self._capacity else {}
        return {"NOTIFY_SOCKET": self._path, **store}

    def start(self, daemon: Daemon, settings: Mapping[str, object] = {}, **more: Any) -> Daemon:
        """Start a daemon with what is stored, and wait until it is ready.

        ``sockets`` of a socket unit are passed to it before; ``environ`` is added to its own.
        """
        sockets: list[socket.socket] = more.pop("sockets", [])
        environ = {**self.environ, **more.pop("environ", {})}
        # The messages of the process before.
        eventually(lambda: not self._has_message(0), "no more messages")
        ready = self.heard.count("READY=1")
        with self._lock:
            copies = [os.dup(fd) for _, fd in self._stored]
            names = [name for name, _ in self._stored]
        environ["LISTEN_FDNAMES"] = ":".join(["doorbelld.socket"] * len(sockets) + names)
        fds = [sock.fileno() for sock in sockets] + copies
        daemon.start(
            settings, environ=environ, prefix=socket_unit(fds), pass_fds=fds, wait=False, **more
        )
        for fd in copies:
            os.close(fd)
        eventually(lambda: self._is_ready(daemon, ready), "the daemon is ready")
        if not daemon.port:
            daemon.port = int(daemon.wait_for_log(r"open https?://\S+:(\d+)/")[1])
        return daemon

    def restart(self, daemon: Daemon, settings: Mapping[str, object] = {}, **more: Any) -> None:
        """Stop it and start it again."""
        assert daemon.stop() == 0, daemon.log()
        self.start(daemon, settings, **more)

    # Messages, of a manager without a store.

    def wait_for(self, start: str) -> str:
        """Read up to the next message that starts like this, and return it."""
        while True:
            message = self.next()
            if message.startswith(start):
                return message

    def next(self) -> str:
        """Read the next message, and return it."""
        assert self._has_message(GUARD), f"nothing more after {self.heard[-20:]}"
        self._receive()
        return self.heard[-1]

    def rest(self) -> list[str]:
        """Read the messages that have come already, and return them."""
        before = len(self.heard)
        while self._has_message(0):
            self._receive()
        return self.heard[before:]

    @property
    def is_full(self) -> bool:
        """Whether the socket has no room for a message: the next sender has to wait."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(self._path)
            return not select.select([], [sender], [], 0)[1]

    def leave(self) -> None:
        """Close the socket and remove its address."""
        self._socket.close()
        Path(self._path).unlink()

    # The store.

    def stored(self, name: str) -> int:
        """Return how many descriptors of a name are stored."""
        with self._lock:
            return Counter(each for each, _ in self._stored)[name]

    def wait_for_stored(self, name: str, count: int) -> None:
        """Wait until so many descriptors of a name are stored, neither more nor less."""
        eventually(lambda: self.stored(name) == count, f"{count} {name} in the store")

    def replace(self, name: str, content: bytes) -> None:
        """Replace a stored descriptor by that of a file with other content."""
        with self._lock:
            places = [place for place, (each, _) in enumerate(self._stored) if each == name]
            (place,) = places
            os.close(self._stored[place][1])
            fd = os.memfd_create("another")
            os.write(fd, content)
            self._stored[place] = (name, fd)

    def close_store(self) -> None:
        """Do what ``systemctl stop`` does in the end."""
        with self._lock:
            for _, fd in self._stored:
                os.close(fd)
            self._stored.clear()

    def __enter__(self) -> ServiceManager:
        if self._capacity:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        if self._capacity:
            self._thread.join()
        self.close_store()
        self._socket.close()
        self._folder.cleanup()

    def _is_ready(self, daemon: Daemon, before: int) -> bool:
        assert daemon.process.poll() is None, daemon.log()
        return self.heard.count("READY=1") > before

    def _run(self) -> None:
        while not self._done.is_set():
            watched = select.poll()
            watched.register(self._socket, select.POLLIN)
            with self._lock:
                for _, fd in self._stored:
                    if stat.S_ISSOCK(os.fstat(fd).st_mode):
                        watched.register(fd, 0)
            ready = dict(watched.poll(20))
            if ready.pop(self._socket.fileno(), 0):
                self._receive()
            with self._lock:
                self._drop(set(ready))

    def _has_message(self, timeout: float) -> bool:
        return bool(select.select([self._socket], [], [], timeout)[0])

    def _receive(self) -> None:
        with self._lock:
            data, fds, _, _ = socket.recv_fds(self._socket, 4096, 253)
            text = data.decode()
            fields = dict(line.split("=", 1) for line in text.splitlines())
            self._store(fields.get("FDNAME", ""), fds)
            if "FDSTOREREMOVE" in fields:
                self._drop({fd for name, fd in self._stored if name == fields["FDNAME"]})
        self.heard.append(text)

    def _store(self, name: str, fds: list[int]) -> None:
        known = {os.fstat(fd).st_ino for _, fd in self._stored}
        for fd in fds:
            if os.fstat(fd).st_ino in known or len(self._stored) >= self._capacity:
                os.close(fd)
            else:
                self._stored.append((name, fd))

    def _drop(self, fds: set[int]) -> None:
        for name, fd in list(self._stored):
            if fd in fds:
                self._stored.remove((name, fd))
                os.close(fd)


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
    """Return a command that passes its descriptors to the one after it, as systemd does.

    The sockets, or other descriptors, must be inherited by it (``pass_fds``). ``for_another``
    names another process as their receiver, so that the daemon must not take them.
    """
    fds = [each if isinstance(each, int) else each.fileno() for each in sockets]
    numbers = ",".join(str(fd) for fd in fds)
    return [sys.executable, "-S", "-c", _INHERIT, numbers, str(int(for_another))]


def environment_of_the_unit() -> dict[str, str]:
    """Return what our unit puts into the daemon's environment."""
    unit = (ROOT / "systemd/doorbelld.service").read_text(encoding="ascii")
    return dict(re.findall(r"^Environment=(\w+)=(\S+)$", unit, re.MULTILINE))
