"""News: what targets of notifications are given, as from a doorbell."""

from __future__ import annotations

import time

from doorbelld.notify.target import Event, Facts, News
from doorbelld.visits.visit import Kind, Visit, VisitState

PICTURE = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 220 + b"\xff\xd9"
"""As large as one of a camera, and with every byte."""


def visit(number: int = 12, *, presses: int = 1, reason: str = "") -> Visit:
    """Return a visit of a person who rang."""
    now = 1764147600.123
    return Visit(
        *(number, Kind.RING, "button", VisitState.OPEN, now, now),
        presses=presses,
        still=0 if reason else 1,
        reason=reason,
    )


def ring(
    number: int = 12,
    *,
    presses: int = 1,
    still: bytes | None = PICTURE,
    reason: str = "",
    age: float = 0.0,
    event: Event = Event.RING,
) -> News:
    """Return the news of a press, ``age`` seconds ago; without a picture for a ``reason``."""
    of = visit(number, presses=presses, reason=reason)
    return News(event, of, None if reason else still, time.monotonic() - age)


def facts(name: str = "Front door", address: str = "http://192.168.1.9:5000/") -> Facts:
    """Return how everything is at a door."""
    return Facts(name, "", 0, motion=False, is_paused=False, last=None, address=address)
