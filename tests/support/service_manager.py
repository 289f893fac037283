"""ServiceManager: keeps a daemon's descriptors from one process to the next, as systemd does."""

from __future__ import annotations

import os
import select
import socket
import stat
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.daemon import Daemon, eventually
from tests.support.systemd import socket_unit

VIEWER, LISTENER, LEDGER = "doorbelld-viewer", "doorbelld-listener", "doorbelld-ledger"


class ServiceManager:
    """Listens at a NOTIFY_SOCKET and takes what is stored there, ``capacity`` descriptors at most.

    ``heard`` are all messages so far. A socket that is shut down, on either side's initiative,
    leaves the store by itself.
    """

    def __init__(self, capacity: int = 4096) -> None:
        self.heard: list[str] = []
        self._capacity = capacity
        self._stored: list[tuple[str, int]] = []
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(Path(self._folder.name) / "notify"))
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def environ(self) -> dict[str, str]:
        """What a service of this manager has in its environment."""
        return {"NOTIFY_SOCKET": self._socket.getsockname(), "FDSTORE": str(self._capacity)}

    def start(self, daemon: Daemon, settings: Mapping[str, object] = {}, **more: Any) -> Daemon:
        """Start a daemon with what is stored, and wait until it is ready.

        ``sockets`` of a socket unit are passed to it before; ``environ`` is added to its own.
        """
        sockets: list[socket.socket] = more.pop("sockets", [])
        environ = {**self.environ, **more.pop("environ", {})}
        # All that the process before had to say.
        eventually(lambda: not select.select([self._socket], [], [], 0)[0], "no more messages")
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

    def stored(self, name: str) -> int:
        """Return how many descriptors of a name are stored."""
        with self._lock:
            return Counter(each for each, _ in self._stored)[name]

    def wait_for(self, name: str, count: int) -> None:
        """Wait until so many descriptors of a name are stored, neither more nor less."""
        eventually(lambda: self.stored(name) == count, f"{count} {name} in the store")

    def replace(self, name: str, content: bytes) -> None:
        """Put a file with other content into the place of a stored one."""
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
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
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
