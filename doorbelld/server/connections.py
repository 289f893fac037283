"""Waiting: the connections that are being waited for, and which of them makes room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from doorbelld.server.connection import Connection

_MOST = 1024
_MOST_PER_ADDRESS = 256
_MOST_UNSENT = 64 * 1024 * 1024
"""Bytes of memory for answers that nobody takes: a thousand pictures would be too much for a
small machine. A single answer may be longer."""


class Waiting:
    """Connections in the order of waiting, the longest first."""

    def __init__(self) -> None:
        self._connections: dict[int, Connection] = {}  # keeps the order
        self._by_address: dict[str, dict[int, Connection]] = {}  # keeps it, too
        # What is counted once need not be counted for each newcomer.
        self._unsent: dict[int, int] = {}  # bytes by descriptor
        self._unsent_by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        """Go through all, the longest waiting first."""
        return iter(self._connections.values())

    def get(self, fd: int) -> Connection | None:
        """Return the one with that descriptor, if any."""
        return self._connections.get(fd)

    def add(self, connection: Connection) -> None:
        """Let one wait, as the newest."""
        fd, address = connection.sock.fileno(), connection.address
        self._connections[fd] = connection
        self._by_address.setdefault(address, {})[fd] = connection
        if connection.unsent:
            self._unsent[fd] = connection.unsent
            self._unsent_by_address[address] += connection.unsent

    def remove(self, connection: Connection) -> None:
        """Let one go, while its socket is open still."""
        fd, address = connection.sock.fileno(), connection.address
        del self._connections[fd]
        del self._by_address[address][fd]
        if not self._by_address[address]:
            del self._by_address[address]
        self._unsent_by_address[address] -= self._unsent.pop(fd, 0)
        if not self._unsent_by_address[address]:
            del self._unsent_by_address[address]

    def clear(self) -> None:
        """Forget all."""
        self._connections.clear()
        self._by_address.clear()
        self._unsent.clear()
        self._unsent_by_address.clear()

    def in_the_way_of(self, newcomer: Connection) -> Connection | None:
        """Return who has to go before one more can wait; None if there is room.

        That is the one that has waited longest, of the address that takes the most room.
        """
        same = self._by_address.get(newcomer.address, {})
        if len(same) >= _MOST_PER_ADDRESS:
            return next(iter(same.values()))
        if len(self) >= _MOST:
            return next(iter(max(self._by_address.values(), key=len).values()))
        return self._with_too_long_an_answer(newcomer) if newcomer.unsent else None

    def _with_too_long_an_answer(self, newcomer: Connection) -> Connection | None:
        unsent = self._unsent_by_address
        if not unsent or sum(unsent.values()) + newcomer.unsent <= _MOST_UNSENT:
            return None
        ((address, _),) = unsent.most_common(1)
        writing = (self._connections[fd] for fd in self._unsent)
        return next(each for each in writing if each.address == address)
