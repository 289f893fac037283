"""Handover: what a daemon leaves to the one that comes after it, so that nobody notices a restart.

systemd keeps descriptors for the next process (FileDescriptorStoreMax= in the unit): the
listeners, so that no connection is refused meanwhile; the sockets of the viewers; and the
ledger, in which stands what is to be known of each. While systemd holds a socket, closing it
here does not close the connection: :meth:`Handover.release` shuts it down, and systemd drops
what is shut down by itself.

Where there is no such store everything here is quietly without effect.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fcntl import F_DUPFD_CLOEXEC, fcntl

from doorbelld.handover import ledger
from doorbelld.handover.ledger import Ledger, Record
from doorbelld.net import listeners
from doorbelld.net.listeners import ListenError
from doorbelld.stream.viewer import Viewer
from doorbelld.system.systemd import DescriptorStore

_log = logging.getLogger(__name__)

_LISTENER, _VIEWER, _LEDGER = "doorbelld-listener", "doorbelld-viewer", "doorbelld-ledger"
"""The names under which systemd keeps them."""

_OTHERS = 32
"""How many descriptors besides viewers' may be in the store."""

_AT_ONCE = 200
"""Descriptors in a message: the kernel takes 253."""

_PATIENCE = 0.2
"""Seconds that systemd may take for each of the first and last messages; the others never wait."""

_HIGH = 1024
"""Descriptors below are left to those who can do with no others, such as OpenCV: select(2)."""


class Handover:
    """Takes over what the process before left, keeps what the next will need.

    ``inherited`` are names and descriptors that systemd passed; those that are not taken over
    are closed. ``ledger`` is for the broadcaster to mark what it writes.
    """

    def __init__(
        self, store: DescriptorStore | None = None, inherited: Sequence[tuple[str, int]] = ()
    ) -> None:
        self._store = store or DescriptorStore({})
        self._capacity = max(0, self._store.capacity - _OTHERS)
        self._kept = 0
        self._listeners: list[socket.socket] = []
        self._passed: list[socket.socket] = []
        self._viewers: list[socket.socket] = []
        ledgers: list[int] = []
        for name, fd in inherited:
            if name == _LEDGER:
                ledgers.append(fd)
            elif name == _VIEWER:
                self._viewers += _opened(_moved_up(fd))
            else:
                found = self._listeners if name == _LISTENER else self._passed
                found += [each for each in _opened(fd) if _is_listening(each)]
        self.ledger = self._open_ledger(ledgers)

    @property
    def active(self) -> bool:
        """Whether there will be somebody to hand over to."""
        return self._capacity > 0

    def listen(
        self, addresses: Sequence[tuple[str, int]]
    ) -> tuple[list[socket.socket], list[ListenError]]:
        """Return the listeners: those of a socket unit, else those for the (host, port) given.

        Those of before serve on where they are still wanted. Returns what failed as well, as
        :func:`listeners.open_listeners` does; those addresses may be tried again later.
        """
        before, self._listeners = self._listeners, []
        if self._passed:
            listeners.end(before)
            return self._passed, []
        found, failed = listeners.open_listeners(addresses, before)
        if self.active:
            self._store.keep(_LISTENER, [each.fileno() for each in found], _PATIENCE)
        return found, failed

    def set_password_id(self, password_id: bytes) -> None:
        """Set what stands for the password by which viewers were let in, b"" for none.

        Those of before who were let in by another do not go on.
        """
        if not self.ledger.has_password_id(password_id):
            for sock in self._viewers:
                _end(sock)
            self._viewers = []
        self.ledger.set_password_id(password_id)

    def heirs(self, most: int) -> Iterator[tuple[Viewer, bytes]]:
        """Give ``most`` viewers of the process before, and what each is to be sent first."""
        sockets = {os.fstat(each.fileno()).st_ino: each for each in self._viewers}
        self._viewers = []
        for slot, record in self.ledger.take_over():
            sock = sockets.pop(record.inode, None) if self._kept < most else None
            viewer = _viewer(sock, record) if sock else None
            if viewer is None:
                self.ledger.clear(slot)
                continue
            viewer.slot = slot
            self._kept += 1
            yield viewer, record.rest
        if sockets:
            _log.info("streams closed that cannot go on: %d", len(sockets))
        for sock in sockets.values():
            _end(sock)

    def look_after(self, viewers: Sequence[Viewer]) -> None:
        """Once a tick: store who is not stored yet, and write down what has changed.

        Not who comes and vanishes at once: the manager has other work too.
        """
        self._keep([viewer for viewer in viewers if viewer.is_settled])
        self._count(viewers)

    def release(self, viewer: Viewer) -> None:
        """Take a viewer who leaves out of the store."""
        if viewer.slot:
            self._forget(viewer)
            with suppress(OSError):  # The other side was faster.
                viewer.sock.shutdown(socket.SHUT_RDWR)

    def bequeath(self, viewers: Sequence[Viewer]) -> None:
        """Leave all to the next process, parts that went out only in part as well."""
        self._keep(viewers, _PATIENCE)
        self._count(viewers)
        for viewer in viewers:
            if viewer.slot and viewer.pending is not None:
                self.ledger.leave_rest(viewer.slot, viewer.pending)
        if self._kept:
            _log.info("streams left to the next process: %d", self._kept)

    def _keep(self, viewers: Sequence[Viewer], timeout: float = 0.0) -> None:
        """Store those who are not stored; for whom there is no room now, there may be later."""
        # What two ends of TLS know of each other cannot be handed over.
        fresh = [viewer for viewer in viewers if not viewer.slot and viewer.session is None]
        del fresh[max(0, self._capacity - self._kept) :]
        for start in range(0, len(fresh), _AT_ONCE):
            some = fresh[start : start + _AT_ONCE]
            for viewer in some:
                viewer.slot = self.ledger.enter(_record(viewer), torn=viewer.pending is not None)
            some = [viewer for viewer in some if viewer.slot]
            self._kept += len(some)
            if not self._store.keep(_VIEWER, [viewer.fd for viewer in some], timeout):
                for viewer in some:
                    self._forget(viewer)
                return  # The others would fare no better, and at the end time is short.

    def _count(self, viewers: Sequence[Viewer]) -> None:
        for viewer in viewers:
            if viewer.slot:
                self.ledger.count(viewer.slot, viewer.sent, viewer.dropped, viewer.due)

    def _forget(self, viewer: Viewer) -> None:
        self.ledger.clear(viewer.slot)
        viewer.slot = 0
        self._kept -= 1

    def _open_ledger(self, found: Sequence[int]) -> Ledger:
        """Return the ledger of before, or a new one if there is none that can be read."""
        for fd in found[1:]:
            os.close(fd)
        if found:
            if self.active and ledger.is_ledger(found[0]):
                return Ledger(found[0])
            os.close(found[0])
            self._store.forget(_LEDGER)
        if not self.active:
            return Ledger()
        fd = ledger.create()
        if not self._store.keep(_LEDGER, [fd], _PATIENCE):
            self._capacity = 0  # Nobody is there who would keep anything.
        return Ledger(fd)


def _record(viewer: Viewer) -> Record:
    return Record(
        inode=os.fstat(viewer.fd).st_ino,
        address=viewer.address,
        key=viewer.key,
        period=viewer.period,
        advance=viewer.advance,
        since=viewer.since,
        sent=viewer.sent,
        dropped=viewer.dropped,
        due=viewer.due,
        ticket=viewer.ticket,
    )


def _viewer(sock: socket.socket, record: Record) -> Viewer | None:
    """Return the viewer again; None, and its socket is closed, if it is gone."""
    fps = 1 / record.period if record.period else None
    try:
        viewer = Viewer(sock, record.address, key=record.key, fps=fps, advance=record.advance)
    except OSError:
        _end(sock)
        return None
    viewer.since = record.since
    viewer.sent = viewer.sent_before = record.sent
    viewer.dropped = record.dropped
    viewer.due = record.due
    viewer.ticket = record.ticket
    return viewer


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
