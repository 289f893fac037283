"""Handover: what one process leaves to the next, so that a restart closes no connection.

systemd keeps descriptors for the next process (FileDescriptorStoreMax= in the unit): the
listeners, so that no connection is refused; the sockets of the viewers; and the
memory with what has to be known of each, see :class:`ViewerTable`.

Without such a store everything here silently does nothing.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from fcntl import F_DUPFD_CLOEXEC, fcntl

from doorbelld.handover import memory, viewertable
from doorbelld.handover.memory import TableMemory
from doorbelld.handover.viewertable import ViewerTable
from doorbelld.net import listeners
from doorbelld.net.listeners import ListenError
from doorbelld.system.systemd import DescriptorStore

_log = logging.getLogger(__name__)

_LISTENER, _MEMORY = "doorbelld-listener", "doorbelld-ledger"
"""The names under which systemd keeps them. Earlier versions use the same names."""

_OTHERS = 32
"""How many descriptors besides viewers' may be in the store."""

_TIMEOUT = 0.2
"""Seconds that systemd may take for each of these messages."""

_HIGH = 1024
"""Lower descriptors are left to libraries that need them, such as OpenCV: select(2)."""


class Handover:
    """Takes what the process before left, and keeps what the next one needs.

    ``inherited`` are names and descriptors that systemd passed; useless ones are closed.
    ``viewers`` is for the broadcaster.
    """

    def __init__(
        self, store: DescriptorStore | None = None, inherited: Sequence[tuple[str, int]] = ()
    ) -> None:
        self._store = store or DescriptorStore({})
        self._listeners: list[socket.socket] = []
        self._passed: list[socket.socket] = []
        memories: list[int] = []
        viewers: list[socket.socket] = []
        for name, fd in inherited:
            if name == _MEMORY:
                memories.append(fd)
            elif name == viewertable.NAME:
                viewers += _opened(_moved_up(fd))
            else:
                found = self._listeners if name == _LISTENER else self._passed
                found += [each for each in _opened(fd) if _is_listening(each)]
        self.viewers = self._open_table(memories, viewers)

    def listen(
        self, addresses: Sequence[tuple[str, int]]
    ) -> tuple[list[socket.socket], list[ListenError]]:
        """Return the listeners: those of a socket unit, else those for the (host, port) given.

        Listeners of the process before are used again where they are still wanted. Returns what
        failed as well, as :func:`listeners.open_listeners` does; it may be tried again later.
        """
        before, self._listeners = self._listeners, []
        if self._passed:
            listeners.end(before)
            return self._passed, []
        found, failed = listeners.open_listeners(addresses, before)
        if self.viewers.active:
            self._store.keep(_LISTENER, [each.fileno() for each in found], _TIMEOUT)
        return found, failed

    def _open_table(self, memories: Sequence[int], viewers: Sequence[socket.socket]) -> ViewerTable:
        """Return the table of the process before, or a new one if there is none to be read."""
        capacity = max(0, self._store.capacity - _OTHERS)
        for fd in memories[1:]:
            os.close(fd)
        if memories:
            if capacity and memory.is_readable(memories[0]):
                return ViewerTable(self._store, TableMemory(memories[0]), capacity, viewers)
            os.close(memories[0])
            self._store.forget(_MEMORY)
        if not capacity:
            return ViewerTable(self._store, TableMemory(), 0, viewers)
        fd = memory.create()
        if not self._store.keep(_MEMORY, [fd], _TIMEOUT):
            capacity = 0  # There is no manager that would keep anything.
        return ViewerTable(self._store, TableMemory(fd), capacity, viewers)


def _moved_up(fd: int) -> int:
    """Return the same descriptor with a high number, if so many may be open."""
    try:
        high = fcntl(fd, F_DUPFD_CLOEXEC, _HIGH)
    except OSError:
        return fd
    os.close(fd)
    return high


def _opened(fd: int) -> list[socket.socket]:
    """Return the socket, if it is one."""
    try:
        return [socket.socket(fileno=fd)]
    except OSError as error:
        _log.warning("descriptor %d is not used: %s", fd, error.strerror)
        os.close(fd)
        return []


def _is_listening(sock: socket.socket) -> bool:
    is_tcp = sock.family in (socket.AF_INET, socket.AF_INET6)
    if is_tcp and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return True
    _log.warning("descriptor %d is not used: no phone can connect to it", sock.fileno())
    sock.close()
    return False
