"""Handover: what one process leaves to the next, so that a restart closes no connection.

systemd keeps descriptors for the next process (FileDescriptorStoreMax= in the unit): the listeners,
so that no connection is refused; the sockets of the viewers; and the memory with what has to be
known of each. While systemd holds a socket, closing it here does not close the connection: it has
to be shut down, and systemd then drops it by itself.

Without such a store everything here silently does nothing.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fcntl import F_DUPFD_CLOEXEC, fcntl

from doorbelld.net import listeners, tablememory
from doorbelld.net.listeners import ListenError
from doorbelld.net.tablememory import TableMemory
from doorbelld.net.viewerrecord import Storable, ViewerRecord
from doorbelld.system.systemd import DescriptorStore

_log = logging.getLogger(__name__)

_LISTENER, _MEMORY = "doorbelld-listener", "doorbelld-ledger"
_VIEWER = "doorbelld-viewer"
"""The names under which systemd keeps them. Earlier versions use the same names."""

_OTHERS = 32
"""How many descriptors besides viewers' may be in the store."""

_TIMEOUT = 0.2
"""Seconds that systemd may take for a message, at the start and at the end; else it never waits."""

_AT_ONCE = 200
"""Descriptors in a message: the kernel takes 253."""

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
            elif name == _VIEWER:
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
            if capacity and tablememory.is_readable(memories[0]):
                return ViewerTable(self._store, TableMemory(memories[0]), capacity, viewers)
            os.close(memories[0])
            self._store.forget(_MEMORY)
        if not capacity:
            return ViewerTable(self._store, TableMemory(), 0, viewers)
        fd = tablememory.create()
        if not self._store.keep(_MEMORY, [fd], _TIMEOUT):
            capacity = 0  # There is no manager that would keep anything.
        return ViewerTable(self._store, TableMemory(fd), capacity, viewers)


class ViewerTable:
    """Saves at most ``capacity`` viewers in ``store``, and restores those of the process before.

    The broadcaster sets ``writing`` and ``torn`` of ``memory`` itself. All methods but
    set_password_id() are for its thread, or before that starts.
    """

    def __init__(
        self,
        store: DescriptorStore,
        memory: TableMemory,
        capacity: int,
        sockets: Sequence[socket.socket] = (),
    ) -> None:
        self.memory = memory
        self.writing = memory.writing
        self.torn = memory.torn
        self._store = store
        self._capacity = capacity
        self._sockets = list(sockets)
        self._count = 0

    @property
    def active(self) -> bool:
        """Whether another process will continue."""
        return self._capacity > 0

    def set_password_id(self, password_id: bytes) -> None:
        """Set the id of the password with which the viewers were let in, b"" for none.

        If it is another one than before, viewers of the process before are not restored.
        """
        if not self.memory.has_password_id(password_id):
            for sock in self._sockets:
                _end(sock)
            self._sockets = []
        self.memory.set_password_id(password_id)

    def restore(self, limit: int) -> Iterator[tuple[int, socket.socket, ViewerRecord]]:
        """Yield row, socket and record of each viewer of the process before.

        There are at most ``limit`` with pictures, and as many without. The stream of each begins
        with the record's ``rest``. Call remove() for one that cannot go on.
        """
        sockets = {os.fstat(each.fileno()).st_ino: each for each in self._sockets}
        self._sockets = []
        room = {True: limit, False: limit}
        for row, inode, record in self.memory.take_over():
            sock = sockets.pop(inode, None) if room[record.pictures] > 0 else None
            if sock is None:
                self.memory.remove(row)
                continue
            room[record.pictures] -= 1
            self._count += 1
            yield row, sock, record
        if sockets:
            _log.info("streams closed that cannot go on: %d", len(sockets))
        for sock in sockets.values():
            _end(sock)

    def sync(self, viewers: Sequence[Storable]) -> None:
        """Once a second: store new viewers, and bring the records up to date.

        Not viewers that have only just come: many leave at once, and systemd has other work.
        """
        self._add([viewer for viewer in viewers if viewer.is_settled])
        self._update(viewers)

    def save(self, viewers: Sequence[Storable]) -> None:
        """Leave all viewers to the next process, with the rest of each part that is under way."""
        self._add(viewers, _TIMEOUT)
        self._update(viewers)
        for viewer in viewers:
            if viewer.row and viewer.pending is not None:
                self.memory.set_rest(viewer.row, viewer.pending)
        if self._count:
            _log.info("streams left to the next process: %d", self._count)

    def remove(self, row: int, sock: socket.socket) -> None:
        """Forget a viewer that leaves, and end its connection."""
        self.memory.remove(row)
        self._count -= 1
        with suppress(OSError):  # The other side has ended it already.
            sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Release the memory; what it holds stays for the next process."""
        self.memory.close()

    def _add(self, viewers: Sequence[Storable], timeout: float = 0.0) -> None:
        """Store viewers that are not stored; if there is no room now, there may be later."""
        new = [viewer for viewer in viewers if not viewer.row and not viewer.is_encrypted]
        del new[max(0, self._capacity - self._count) :]
        for start in range(0, len(new), _AT_ONCE):
            some = new[start : start + _AT_ONCE]
            for viewer in some:
                inode, torn = os.fstat(viewer.fd).st_ino, viewer.pending is not None
                viewer.row = self.memory.add(inode, viewer.record(), torn=torn)
            some = [viewer for viewer in some if viewer.row]
            self._count += len(some)
            if not self._store.keep(_VIEWER, [viewer.fd for viewer in some], timeout):
                for viewer in some:
                    self._forget(viewer)
                return  # The others would fare no better, and at the end time is short.

    def _update(self, viewers: Sequence[Storable]) -> None:
        for viewer in viewers:
            if viewer.row:
                changed = viewer.sent, viewer.dropped, viewer.due, viewer.tier
                self.memory.update(viewer.row, *changed)

    def _forget(self, viewer: Storable) -> None:
        self.memory.remove(viewer.row)
        viewer.row = 0
        self._count -= 1


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


def _end(sock: socket.socket) -> None:
    with suppress(OSError):  # It has ended already.
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
