"""Turns: a queue of connections that need more of the accept loop's time than others."""

from __future__ import annotations

import time
from collections.abc import Iterator

from doorbelld.server.connection import Connection

_SLICE = 0.01
"""Seconds of such work in a row. A single turn may take longer."""


class Turns:
    """A queue that is fair to addresses, and that takes at most a part of a thread's time.

    A TLS handshake costs us more than the client that asks for it, and a long file is more work
    than any other answer. So an address that asks for thousands only delays itself, and a browser
    at another address is next.
    """

    def __init__(self, share: float = 0.5) -> None:
        self._rest = 1 / share - 1
        self._by_address: dict[str, dict[Connection, None]] = {}  # both keep their order
        self._pause_ends = 0.0

    def add(self, connection: Connection) -> None:
        """Add a connection, unless it is in the queue already."""
        self._by_address.setdefault(connection.address, {})[connection] = None

    def discard(self, connection: Connection) -> None:
        """Remove a connection if it is in the queue."""
        same = self._by_address.get(connection.address, {})
        same.pop(connection, None)
        if not same:
            self._by_address.pop(connection.address, None)

    def timeout(self, most: float) -> float:
        """Return the seconds until the next one is due, ``most`` if the queue is empty."""
        if not self._by_address:
            return most
        return min(most, max(0.0, self._pause_ends - time.monotonic()))

    def due(self) -> Iterator[Connection]:
        """Yield the next ones, one address after the other, for a short while.

        After that there are none for a time that these pay for: it is for all other work.
        """
        begin = now = time.monotonic()
        if begin < self._pause_ends:
            return
        while self._by_address and now < begin + _SLICE:
            yield self._next()
            now = time.monotonic()
        self._pause_ends = now + (now - begin) * self._rest

    def _next(self) -> Connection:
        address, same = next(iter(self._by_address.items()))
        connection = next(iter(same))
        del self._by_address[address]
        del same[connection]
        if same:
            self._by_address[address] = same  # behind all other addresses
        return connection
