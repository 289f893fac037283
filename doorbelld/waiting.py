"""Waiting: the connections that are being waited for, and which of them makes room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from doorbelld.connection import Connection

_MOST = 1024
_MOST_PER_ADDRESS = 256
_MOST_UNSENT = 64 * 1024 * 1024
"""Bytes of memory for answers that nobody takes: a thousand pictures would be too much for a
small machine. A single answer may be longer."""


class Waiting:
    """Connections in the order of waiting, the longest first."""

    def __init__(self) -> None:
        self._connections: dict[int, Connection] = {}  # keeps the order
        self._per_address: Counter[str] = Counter()

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
        self._connections[connection.sock.fileno()] = connection
        self._per_address[connection.address] += 1

    def remove(self, connection: Connection) -> None:
        """Let one go, while its socket is open still."""
        del self._connections[connection.sock.fileno()]
        self._per_address[connection.address] -= 1
        if not self._per_address[connection.address]:
            del self._per_address[connection.address]

    def clear(self) -> None:
        """Forget all."""
        self._connections.clear()
        self._per_address.clear()

    def in_the_way_of(self, newcomer: Connection) -> Connection | None:
        """Return who has to go before one more can wait; None if there is room.

        That is the one that has waited longest, of the address that takes the most room.
        """
        if self._per_address[newcomer.address] >= _MOST_PER_ADDRESS:
            return _first(self, newcomer.address)
        if len(self) >= _MOST:
            return _first(self, self._per_address.most_common(1)[0][0])
        return self._with_too_long_an_answer(newcomer) if newcomer.unsent else None

    def _with_too_long_an_answer(self, newcomer: Connection) -> Connection | None:
        unsent: Counter[str] = Counter()
        writing = [each for each in self if each.unsent]
        for each in writing:
            unsent[each.address] += each.unsent
        if not writing or sum(unsent.values()) + newcomer.unsent <= _MOST_UNSENT:
            return None
        return _first(writing, unsent.most_common(1)[0][0])


def _first(connections: Iterable[Connection], address: str) -> Connection:
    return next(each for each in connections if each.address == address)
