"""Backoff: after wrong guesses an address has to wait, longer each time.

An address that has logged in before waits only for its own wrong guesses. All others also share
a budget, because an attacker may have many addresses: see budget.py.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import Counter, OrderedDict

from doorbelld.access.budget import Budget

_FREE = 5
"""Wrong guesses before the first wait: people make typing errors."""

_FIRST, _LONGEST = 2.0, 900.0
"""Seconds; each further wrong guess doubles the wait."""

_FORGIVEN = 3600.0
"""Seconds after which the failures of an address are forgotten."""

_MOST = 4096
"""Addresses that are remembered; with more, the one that failed longest ago is forgotten."""

_SWARM = 32
"""Addresses of one IPv6 network that have failed. From that number on all others there count as
one: each machine has billions of addresses to choose from."""


class Backoff:
    """Counts failures by address. From any thread.

    The addresses of a house share 64 bits of IPv6. They do not wait for each other, unless so many
    of them fail that it must be one machine that keeps changing its address. Even then an address
    that has succeeded before counts alone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._swarms: Counter[str] = Counter()  # remembered addresses by network
        # Address: (failures, time.monotonic() of the last one), the latest at the end.
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._proven: OrderedDict[str, None] = OrderedDict()  # the latest at the end
        self._budget = Budget(time.monotonic())

    def seconds_to_wait(self, address: str) -> float:
        """Return how many seconds this address has to wait before it may guess; 0 if it may now."""
        address = _bare(address)
        now = time.monotonic()
        with self._lock:
            unit = self._unit(address)
            wait = self._own_wait(unit, now)
            if wait or address in self._proven:
                return wait
            return self._budget.seconds_to_wait(address, now)

    def failed(self, address: str) -> None:
        """Count a failure."""
        address = _bare(address)
        now = time.monotonic()
        with self._lock:
            unit = self._unit(address)
            may_guess = not self._own_wait(unit, now)
            count, last = self._forget(unit) or (0, now)
            self._failures[unit] = (1 if now - last > _FORGIVEN else count + 1, now)
            self._swarms[_network(unit)] += 1
            oldest, (_, last) = next(iter(self._failures.items()))
            if len(self._failures) > _MOST or now - last > _FORGIVEN:
                self._forget(oldest)
            if may_guess and address not in self._proven:
                self._budget.spend(address, now)

    def succeeded(self, address: str) -> None:
        """Forget the failures of this address."""
        address = _bare(address)
        with self._lock:
            count, _ = self._forget(address) or (0, 0.0)
            if address not in self._proven:
                self._budget.refund(count)
            self._proven[address] = None
            self._proven.move_to_end(address)
            if len(self._proven) > _MOST:
                self._proven.popitem(last=False)

    def forgive(self) -> None:
        """Forget every address's own failures: there is another password.

        What was spent of the budget stays spent, and proven addresses stay proven.
        """
        with self._lock:
            self._failures.clear()
            self._swarms.clear()

    def _own_wait(self, unit: str, now: float) -> float:
        count, last = self._failures.get(unit, (0, 0.0))
        if count < _FREE:
            return 0
        wait = min(_FIRST * 2.0 ** min(count - _FREE, 16), _LONGEST)
        return max(0, last + wait - now)

    def _unit(self, address: str) -> str:
        """Return what an address counts as: itself, or its network."""
        network = _network(address)
        is_itself = address in self._failures or address in self._proven
        return network if self._swarms[network] >= _SWARM and not is_itself else address

    def _forget(self, unit: str) -> tuple[int, float] | None:
        found = self._failures.pop(unit, None)
        if found:
            network = _network(unit)
            self._swarms[network] -= 1
            if not self._swarms[network]:
                del self._swarms[network]
        return found


def _bare(address: str) -> str:
    """Return an address without its IPv6 zone."""
    return address.partition("%")[0]


def _network(unit: str) -> str:
    """Return the IPv6 network /64 of an address; an IPv4 address counts alone."""
    if ":" not in unit:
        return unit
    return str(ipaddress.ip_network(unit, strict=False).supernet(new_prefix=64))
