"""TableMemory: memory that outlives the process, and says how far each viewer's stream has come.

It is a memfd that systemd keeps for the next process. What was stored here last is there
however the process ends, even by a signal in the middle of a write. So a viewer whose part was
sent only in part is marked before anything else is done, and one number says which viewer is
being written to: the next process continues all others exactly where a part ended.
"""

from __future__ import annotations

import mmap
import os
import struct
from array import array
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from doorbelld.media import multipart
from doorbelld.net.viewerrecord import (
    BEGUN,
    MORE_BEGUN,
    RESUMABLE,
    RESUMABLE_BEGUN,
    RESUMABLE_MORE_BEGUN,
    TORN,
    WHOLE,
    ViewerRecord,
    between_parts,
)

ROWS = 4000
"""How many viewers there is room for. Rows are numbered from 1; 0 stands for none."""

# The layout below is what this version of the text stands for: another layout needs another
# version, and then an update closes the streams that the older one has left.
_MAGIC = b"doorbelld's viewers, version 2\n\0"
_WRITING_AT = len(_MAGIC)
_PASSWORD_ID_AT, _PASSWORD_ID_SIZE = 40, 16
_TORN_AT = 64
_INODES_AT = 8192
_RECORDS_AT = 40960
_MOST_REST = 32 * 1024 * 1024
"""Bytes of unfinished parts that are kept in all; the memory counts as the service's."""

_RECORD = struct.Struct("=46s256sdBd8s")
_FLAGS_AT = struct.calcsize("=46s256sd")
_ADVANCE, _NEWS, _WITHOUT_PICTURES, _AUTO = 1, 2, 4, 8
_TIER_SHIFT, _TIERS = 4, 7
"""Bits of the byte at _FLAGS_AT: before there were the others, the first one was the whole byte."""

_CAN_GO_ON = (WHOLE, BEGUN, MORE_BEGUN)
_RESUMABLE = {WHOLE: RESUMABLE, BEGUN: RESUMABLE_BEGUN, MORE_BEGUN: RESUMABLE_MORE_BEGUN}
"""What a torn part with its rest is, by how far the stream has come after each part."""

_COUNTS = struct.Struct("=QQd")
_REST = struct.Struct("=QQ")
_COUNTS_AT = _RECORD.size
_REST_AT = _COUNTS_AT + _COUNTS.size
_RECORD_SIZE = _REST_AT + _REST.size
SIZE = _RECORDS_AT + ROWS * _RECORD_SIZE
"""Bytes; most of them are never touched, and then take no memory."""


class Row(NamedTuple):
    """A viewer of the process before; its socket is found by ``inode``."""

    number: int
    inode: int
    record: ViewerRecord


class TableMemory:
    """The records of all viewers, by the number of their row.

    ``writing[0]`` is the row of the viewer that is being written to, ``torn[row]`` says how far
    its stream has come (WHOLE, TORN, ...). Both are set without a method, because the broadcaster
    does so for each viewer and frame. Row 0 may be set as well; it means nothing.
    """

    def __init__(self, fd: int = -1) -> None:
        """Map a file made by :func:`create`; without one, memory of this process."""
        self._fd = fd
        self._map = mmap.mmap(fd, SIZE)
        self._map[:_WRITING_AT] = _MAGIC
        view = memoryview(self._map)
        self.writing = view[_WRITING_AT : _WRITING_AT + 4].cast("I")
        self.torn = view[_TORN_AT : _TORN_AT + ROWS + 1]
        # Apart from the records, so that free rows take no memory when they are looked for.
        self._inodes = view[_INODES_AT : _INODES_AT + 8 * (ROWS + 1)].cast("Q")
        # An array, because a list of so many numbers takes 150 KB.
        self._free = array("H", (row for row in range(ROWS, 0, -1) if not self._inodes[row]))

    def has_password_id(self, password_id: bytes) -> bool:
        """Return whether the process that wrote this last had the same password."""
        return self._map[_PASSWORD_ID_AT : _PASSWORD_ID_AT + _PASSWORD_ID_SIZE] == _cut(password_id)

    def set_password_id(self, password_id: bytes) -> None:
        """Set the password id for the next process to compare."""
        self._map[_PASSWORD_ID_AT : _PASSWORD_ID_AT + _PASSWORD_ID_SIZE] = _cut(password_id)

    def add(self, inode: int, record: ViewerRecord, *, torn: bool) -> int:
        """Write a record into a free row; return the row, 0 if none is free."""
        if not self._free:
            return 0
        row = self._free.pop()
        self.torn[row] = TORN if torn else _between_parts(record)
        self.update(row, record.sent, record.dropped, record.due, record.tier)
        key, address = record.key.encode(errors="replace"), record.address.encode()
        fixed = (address, key, record.period, _flags(record), record.since, record.ticket)
        _RECORD.pack_into(self._map, _place(row), *fixed)
        self._inodes[row] = inode
        return row

    def update(self, row: int, sent: int, dropped: int, due: float, tier: int) -> None:
        """Set those fields of a record that change with the frames."""
        place = _place(row)
        _COUNTS.pack_into(self._map, place + _COUNTS_AT, sent, dropped, due)
        flags = self._map[place + _FLAGS_AT] & ~(_TIERS << _TIER_SHIFT)
        self._map[place + _FLAGS_AT] = flags | tier << _TIER_SHIFT

    def remove(self, row: int) -> None:
        """Forget a viewer."""
        self._inodes[row] = 0
        self._free.append(row)

    def set_rest(self, row: int, rest: memoryview) -> None:
        """Store the unsent rest of a torn part behind the records, if there is room left."""
        at = os.fstat(self._fd).st_size
        if at + len(rest) > SIZE + _MOST_REST or os.pwrite(self._fd, rest, at) < len(rest):
            return
        _REST.pack_into(self._map, _place(row) + _REST_AT, at, len(rest))
        self.torn[row] = _RESUMABLE[_between_parts(self._record(row))]

    def take_over(self) -> Iterator[Row]:
        """Yield the viewers whose streams can go on, and remove the others.

        Whatever the memory holds, this does not fail: at worst, viewers are lost.
        """
        broken = self.writing[0]
        if 0 < broken <= ROWS:
            self.torn[broken] = TORN  # Before all else: the next process must know it too.
        self.writing[0] = 0
        for row in range(1, ROWS + 1):
            if not self._inodes[row]:
                continue
            record = self._record(row)
            came_to = self.torn[row]
            if came_to not in _CAN_GO_ON and not record.rest:
                self.remove(row)
                continue
            if came_to in _RESUMABLE.values():
                self.torn[row] = TORN
            if not record.advance and came_to in (WHOLE, RESUMABLE):  # of an older daemon
                record = replace(record, rest=record.rest + multipart.BOUNDARY)
            yield Row(row, self._inodes[row], record)
        if self._fd >= 0:
            os.truncate(self._fd, SIZE)

    def close(self) -> None:
        """Unmap the memory; what it holds stays for the next process."""
        self.writing.release()
        self.torn.release()
        self._inodes.release()
        self._map.close()
        if self._fd >= 0:
            os.close(self._fd)

    def _record(self, row: int) -> ViewerRecord:
        place = _place(row)
        address, key, period, flags, since, ticket = _RECORD.unpack_from(self._map, place)
        sent, dropped, due = _COUNTS.unpack_from(self._map, place + _COUNTS_AT)
        return ViewerRecord(
            address=_text(address),
            key=_text(key),
            period=period,
            advance=bool(flags & _ADVANCE),
            since=since,
            sent=sent,
            dropped=dropped,
            due=due,
            ticket=ticket if any(ticket) else b"",
            rest=self._rest(place) if self.torn[row] in _RESUMABLE.values() else b"",
            news=bool(flags & _NEWS),
            pictures=not flags & _WITHOUT_PICTURES,
            auto=bool(flags & _AUTO),
            tier=flags >> _TIER_SHIFT & _TIERS,
        )

    def _rest(self, place: int) -> bytes:
        at, length = _REST.unpack_from(self._map, place + _REST_AT)
        if not SIZE <= at <= at + length <= os.fstat(self._fd).st_size:
            return b""
        return os.pread(self._fd, length, at)


def create() -> int:
    """Return the descriptor of an empty memfd of the right size."""
    fd = os.memfd_create("doorbelld")
    os.truncate(fd, SIZE)
    return fd


def is_readable(fd: int) -> bool:
    """Return whether the descriptor is of a memory that this version can read."""
    return os.fstat(fd).st_size >= SIZE and os.pread(fd, len(_MAGIC), 0) == _MAGIC


def _flags(record: ViewerRecord) -> int:
    return (
        _ADVANCE * record.advance
        | _NEWS * record.news
        | _WITHOUT_PICTURES * (not record.pictures)
        | _AUTO * record.auto
        | record.tier << _TIER_SHIFT
    )


def _between_parts(record: ViewerRecord) -> int:
    return between_parts(advance=record.advance, more=_flags(record) > _ADVANCE)


def _cut(password_id: bytes) -> bytes:
    return password_id[:_PASSWORD_ID_SIZE].ljust(_PASSWORD_ID_SIZE, b"\0")


def _place(row: int) -> int:
    return _RECORDS_AT + (row - 1) * _RECORD_SIZE


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode(errors="replace")
