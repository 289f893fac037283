"""NetworkNamespace: a network with interfaces and addresses that come and go."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.daemon import GUARD, Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

_CONNECTING = """
import socket, sys
control = socket.socket(fileno=int(sys.argv[1]))
control.send(b"here")
while True:
    where = control.recv(1000).decode()
    if not where:
        break
    try:
        sock = socket.create_connection(where.split(), 5)
    except OSError as error:
        control.send(b"%d" % (error.errno or 0))
        continue
    sock.settimeout(None)
    socket.send_fds(control, [b"0"], [sock.fileno()])
    sock.close()
"""
"""The process inside: it connects for the test, because a socket belongs to its namespace."""

_SEIZE = ["--map-root-user"] if os.geteuid() else []
_ENTER = ["--user", "--preserve-credentials"] if os.geteuid() else []
"""An ordinary user is root inside the namespace only."""


class NetworkNamespace:
    """A network namespace; ``within`` another's user namespace if they are to be linked."""

    def __init__(self, within: NetworkNamespace | None = None) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(GUARD)
        enter = [*within.prefix, "unshare"] if within else ["unshare", *_SEIZE]
        connecting = [sys.executable, "-S", "-c", _CONNECTING, str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                [*enter, "--net", *connecting], pass_fds=[theirs.fileno()]
            )
        assert self._control.recv(100) == b"here"
        self.ip("link", "set", "lo", "up")

    @property
    def pid(self) -> int:
        """A process inside."""
        return self._process.pid

    @property
    def prefix(self) -> list[str]:
        """A command that runs the one after it inside."""
        return ["nsenter", f"--target={self.pid}", "--net", *_ENTER]

    def ip(self, *arguments: str) -> None:
        """Run ip(8) inside."""
        self.run("ip", *arguments)

    def run(self, *command: str) -> None:
        """Run a command inside."""
        subprocess.run([*self.prefix, *command], check=True)

    def link(self, other: NetworkNamespace, here: str, there: str) -> None:
        """Connect to another namespace by a veth pair; its ends are up, without addresses."""
        peer = ("peer", "name", there, "netns", str(other.pid))
        self.ip("link", "add", here, "type", "veth", *peer)
        self.ip("link", "set", here, "up")
        other.ip("link", "set", there, "up")

    def connect(self, address: str, port: int) -> socket.socket:
        """Return a connection from inside. Raises OSError if it fails."""
        self._control.send(f"{address} {port}".encode())
        answer, fds, _, _ = socket.recv_fds(self._control, 100, 1)
        if not fds:
            number = int(answer)
            raise OSError(number, os.strerror(number))
        sock = socket.socket(fileno=fds[0])
        sock.settimeout(GUARD)
        return sock

    def __enter__(self) -> NetworkNamespace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._control.close()
        self._process.wait(GUARD)


class NamespacedDaemon(Daemon):
    """A daemon in a namespace; requests come from inside too, or from :meth:`seen_from`."""

    def __init__(self, folder: Path, place: NetworkNamespace) -> None:
        super().__init__(folder)
        self._from = (place, "127.0.0.1")

    @contextmanager
    def seen_from(self, place: NetworkNamespace, address: str) -> Iterator[None]:
        """Connect from that namespace, to this address."""
        before, self._from = self._from, (place, address)
        yield
        self._from = before

    def connect(
        self,
        timeout: float = GUARD,
        source: str = "",  # noqa: ARG002  # the namespace has only one
        buffer: int = 0,  # noqa: ARG002  # no slow viewers there
    ) -> socket.socket:
        """Return a new connection."""
        place, address = self._from
        sock = place.connect(address, self.port)
        sock.settimeout(timeout)
        return sock
