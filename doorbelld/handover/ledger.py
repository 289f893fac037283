"""Ledger: memory that outlives the process, for the next one to read how every stream stands.

It is a memfd that systemd keeps. However the process ends, by a signal in the middle of a
write too, what was stored here last is there. So a viewer's part that went out only in part is
marked before anything else is done, and so is, by one number, the viewer who is being written
to: the next process goes on with all others exactly where a part ended.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

SLOTS = 4000
"""How many viewers it has room for. They are numbered from 1; 0 stands for none."""

WHOLE, TORN, RESUMABLE = 0, 1, 2
"""What ``torn`` says of a viewer: all parts went out whole; the last one only in part; the same,
but the rest of it is in the ledger."""

_MAGIC = b"doorbelld's viewers, version 2\n\0"
_WRITING_AT = len(_MAGIC)
_PASSWORD_ID_AT, _PASSWORD_ID_SIZE = 40, 16
_TORN_AT = 64
_INODES_AT = 8192
_RECORDS_AT = 40960
_MOST_REST = 32 * 1024 * 1024
"""Bytes of unfinished parts that are kept in all; the memory counts as the service's."""


class Record(NamedTuple):
    """A viewer, as the next process has to know it.

    ``inode`` is that of the socket, by which it is found again. ``period`` is the seconds
    between two frames under a rate cap, 0 without, ``due`` when the next may go, and ``since``
    when it came: on time.monotonic()'s clock, which is the same for all processes.
    ``rest`` is what is still to be sent of the part that was begun. ``ticket`` stands for the
    embed URL that opened the stream, in 8 bytes or none.
    """

    inode: int
    address: str
    key: str
    period: float
    advance: bool
    since: float
    sent: int
    dropped: int
    due: float
    rest: bytes = b""
    ticket: bytes = b""


_RECORD = struct.Struct("=46s256sd?d8s")
_COUNTS = struct.Struct("=QQd")
_REST = struct.Struct("=QQ")
_COUNTS_AT = _RECORD.size
_REST_AT = _COUNTS_AT + _COUNTS.size
_RECORD_SIZE = _REST_AT + _REST.size
SIZE = _RECORDS_AT + SLOTS * _RECORD_SIZE
"""Bytes, most of which are never touched, and then take no memory."""


class Ledger:
    """The records of all viewers, by the number of their slot.

    ``writing[0]`` is the slot of the viewer who is being written to, ``torn[slot]`` is WHOLE,
    TORN or RESUMABLE. Both are stored to without a method, for the sake of the hot path; slot 0
    may be stored to as well and means nothing.
    """

    def __init__(self, fd: int = -1) -> None:
        """Look into a file made by :func:`create`; without one, into memory of this process."""
        self._fd = fd
        self._map = mmap.mmap(fd, SIZE)
        self._map[:_WRITING_AT] = _MAGIC
        view = memoryview(self._map)
        self.writing = view[_WRITING_AT : _WRITING_AT + 4].cast("I")
        self.torn = view[_TORN_AT : _TORN_AT + SLOTS + 1]
        # Apart from the records, so that those that are free need not be looked at.
        self._inodes = view[_INODES_AT : _INODES_AT + 8 * (SLOTS + 1)].cast("Q")
        self._free = [slot for slot in range(SLOTS, 0, -1) if not self._inodes[slot]]

    def has_password_id(self, password_id: bytes) -> bool:
        """Tell whether the one who wrote this last had the same password."""
        return self._map[_PASSWORD_ID_AT : _PASSWORD_ID_AT + _PASSWORD_ID_SIZE] == _cut(password_id)

    def set_password_id(self, password_id: bytes) -> None:
        """Set the password id for the next one to compare."""
        self._map[_PASSWORD_ID_AT : _PASSWORD_ID_AT + _PASSWORD_ID_SIZE] = _cut(password_id)

    def enter(self, record: Record, *, torn: bool) -> int:
        """Write a record into a free slot; return the slot, 0 if none is free."""
        if not self._free:
            return 0
        slot = self._free.pop()
        self.torn[slot] = TORN if torn else WHOLE
        self.count(slot, record.sent, record.dropped, record.due)
        key, address = record.key.encode(errors="replace"), record.address.encode()
        fixed = (address, key, record.period, record.advance, record.since, record.ticket)
        _RECORD.pack_into(self._map, _place(slot), *fixed)
        self._inodes[slot] = record.inode
        return slot

    def count(self, slot: int, sent: int, dropped: int, due: float) -> None:
        """Bring up to date in a record what changes with every frame."""
        _COUNTS.pack_into(self._map, _place(slot) + _COUNTS_AT, sent, dropped, due)

    def clear(self, slot: int) -> None:
        """Forget a viewer."""
        self._inodes[slot] = 0
        self._free.append(slot)

    def leave_rest(self, slot: int, rest: memoryview) -> None:
        """Put the unsent rest of a torn part behind the records, if there is room left."""
        at = os.fstat(self._fd).st_size
        if at + len(rest) > SIZE + _MOST_REST or os.pwrite(self._fd, rest, at) < len(rest):
            return
        _REST.pack_into(self._map, _place(slot) + _REST_AT, at, len(rest))
        self.torn[slot] = RESUMABLE

    def take_over(self) -> Iterator[tuple[int, Record]]:
        """Give the viewers whose streams can go on; the others' slots are cleared.

        Nothing the memory holds can make this fail: at worst, viewers are lost.
        """
        broken = self.writing[0]
        if 0 < broken <= SLOTS:
            self.torn[broken] = TORN  # first: the one who comes after us must know it, too
        self.writing[0] = 0
        for slot in range(1, SLOTS + 1):
            if not self._inodes[slot]:
                continue
            record = self._record(slot)
            if self.torn[slot] and not record.rest:
                self.clear(slot)
                continue
            self.torn[slot] = TORN if record.rest else WHOLE
            yield slot, record
        if self._fd >= 0:
            os.truncate(self._fd, SIZE)

    def close(self) -> None:
        """Let go of the memory; what it holds stays for the next process."""
        self.writing.release()
        self.torn.release()
        self._inodes.release()
        self._map.close()
        if self._fd >= 0:
            os.close(self._fd)

    def _record(self, slot: int) -> Record:
        place = _place(slot)
        address, key, period, advance, since, ticket = _RECORD.unpack_from(self._map, place)
        sent, dropped, due = _COUNTS.unpack_from(self._map, place + _COUNTS_AT)
        return Record(
            inode=self._inodes[slot],
            address=_text(address),
            key=_text(key),
            period=period,
            advance=advance,
            since=since,
            sent=sent,
            dropped=dropped,
            due=due,
            rest=self._rest(place) if self.torn[slot] == RESUMABLE else b"",
            ticket=ticket if any(ticket) else b"",
        )

    def _rest(self, place: int) -> bytes:
        at, length = _REST.unpack_from(self._map, place + _REST_AT)
        if not SIZE <= at <= at + length <= os.fstat(self._fd).st_size:
            return b""
        return os.pread(self._fd, length, at)


def create() -> int:
    """Return the descriptor of an empty ledger."""
    fd = os.memfd_create("doorbelld")
    os.truncate(fd, SIZE)
    return fd


def is_ledger(fd: int) -> bool:
    """Tell whether the descriptor is of a ledger that this version understands."""
    return os.fstat(fd).st_size >= SIZE and os.pread(fd, len(_MAGIC), 0) == _MAGIC


def _cut(password_id: bytes) -> bytes:
    return password_id[:_PASSWORD_ID_SIZE].ljust(_PASSWORD_ID_SIZE, b"\0")


def _place(slot: int) -> int:
    return _RECORDS_AT + (slot - 1) * _RECORD_SIZE


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode(errors="replace")
