"""ConnectionTable: the connections of the accept loop, and which one to close if it is full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from doorbelld.server.connection import Connection

_MOST = 1024
_MOST_PER_ADDRESS = 256
_MOST_UNSENT = 64 * 1024 * 1024
"""Bytes of memory for answers that clients do not read: a thousand pictures would be too much for
a small machine. A single answer may be longer."""


class ConnectionTable:
    """Connections in the order in which they began to wait, the oldest first."""

    def __init__(self) -> None:
        self._connections: dict[int, Connection] = {}  # keeps the order
        self._by_address: dict[str, dict[int, Connection]] = {}  # keeps it, too
        # Sums, so that they are not counted again for each new connection.
        self._unsent: dict[int, int] = {}  # bytes by descriptor
        self._unsent_by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        """Iterate over all, the oldest first."""
        return iter(self._connections.values())

    def get(self, fd: int) -> Connection | None:
        """Return the connection with that descriptor, if any."""
        return self._connections.get(fd)

    def add(self, connection: Connection) -> None:
        """Add a connection, as the newest."""
        fd, address = connection.sock.fileno(), connection.address
        self._connections[fd] = connection
        self._by_address.setdefault(address, {})[fd] = connection
        if connection.unsent:
            self._unsent[fd] = connection.unsent
            self._unsent_by_address[address] += connection.unsent

    def remove(self, connection: Connection) -> None:
        """Remove a connection while its socket is still open."""
        fd, address = connection.sock.fileno(), connection.address
        del self._connections[fd]
        del self._by_address[address][fd]
        if not self._by_address[address]:
            del self._by_address[address]
        self._unsent_by_address[address] -= self._unsent.pop(fd, 0)
        if not self._unsent_by_address[address]:
            del self._unsent_by_address[address]

    def clear(self) -> None:
        """Remove all."""
        self._connections.clear()
        self._by_address.clear()
        self._unsent.clear()
        self._unsent_by_address.clear()

    def eviction_candidate(self, newcomer: Connection) -> Connection | None:
        """Return the connection to close before one more can be added; None if there is room.

        It is the oldest one of the address that takes the most room.
        """
        same = self._by_address.get(newcomer.address, {})
        if len(same) >= _MOST_PER_ADDRESS:
            return next(iter(same.values()))
        if len(self) >= _MOST:
            return next(iter(max(self._by_address.values(), key=len).values()))
        return self._with_most_unsent(newcomer) if newcomer.unsent else None

    def _with_most_unsent(self, newcomer: Connection) -> Connection | None:
        unsent = self._unsent_by_address
        if not unsent or sum(unsent.values()) + newcomer.unsent <= _MOST_UNSENT:
            return None
        ((address, _),) = unsent.most_common(1)
        writing = (self._connections[fd] for fd in self._unsent)
        return next(each for each in writing if each.address == address)
