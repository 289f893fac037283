"""Budget: how many wrong guesses all unproven addresses may make together.

A back-off per address does not stop an attacker with thousands of addresses. So wrong guesses
from addresses that have never logged in also share one token bucket: a burst is free, then one
guess every few seconds.

When the bucket is empty, an address gets a turn: a time at which its guess will be checked,
whatever others do until then. The number of turns is bounded, so the longest wait is bounded
too, and no client gets its turn earlier by asking more often.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import NamedTuple

BURST = 128
"""Wrong guesses that cause no wait."""

INTERVAL = 6.0
"""Seconds after which one more guess is allowed."""

MOST_TURNS = 256
"""Turns ahead, more than an IPv4 network /24 has addresses. The longest wait is this many
intervals: 25.6 minutes."""

_MOST_IN_A_NETWORK = 16
"""Turns that addresses of one IPv6 network /48 may have at a time: a site gets that many for
free, and could take them all."""

_GRACE = 120.0
"""Seconds for which a turn that was not used is kept."""


class _Turn(NamedTuple):
    at: float
    site: str


class Budget:
    """A token bucket. Times are those of time.monotonic(); callers hold a lock."""

    def __init__(self, now: float) -> None:
        self._level = float(BURST)  # negative: so many turns are given in advance
        self._filled_at = now
        # By address, in the order of their times.
        self._turns: OrderedDict[str, _Turn] = OrderedDict()

    def seconds_to_wait(self, address: str, now: float) -> float:
        """Return 0 if ``address`` may guess now, else the seconds until its turn.

        Without a free turn it is the time until there may be one.
        """
        self._refill(now)
        turn = self._turns.get(address)
        if turn:
            return max(0.0, turn.at - now)
        if self._level >= 1:
            return 0.0
        if self._level - 1 < -MOST_TURNS or self._is_crowded(address):
            return INTERVAL
        self._level -= 1
        wait = -self._level * INTERVAL
        self._turns[address] = _Turn(now + wait, _site(address))
        return wait

    def spend(self, address: str, now: float) -> None:
        """Count a wrong guess; a turn was paid for when it was given."""
        self._refill(now)
        if not self._turns.pop(address, None):
            self._level -= 1

    def refund(self, count: int) -> None:
        """Take back so many wrong guesses: they were typing errors before a right one."""
        self._level = min(float(BURST), self._level + count)

    def _is_crowded(self, address: str) -> bool:
        site = _site(address)
        if not site:
            return False
        return sum(turn.site == site for turn in self._turns.values()) >= _MOST_IN_A_NETWORK

    def _refill(self, now: float) -> None:
        self._level = min(float(BURST), self._level + (now - self._filled_at) / INTERVAL)
        self._filled_at = now
        while self._turns:
            address, turn = next(iter(self._turns.items()))
            if now <= turn.at + _GRACE:
                break
            del self._turns[address]


def _site(address: str) -> str:
    """Return the /48 of an IPv6 address; an IPv4 address has none."""
    if ":" not in address:
        return ""
    return str(ipaddress.ip_network(address, strict=False).supernet(new_prefix=48))
