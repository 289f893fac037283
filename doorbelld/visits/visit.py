"""Visit: what is known of one visit, what happens to it, and the error of where visits are kept.

Moments are Unix seconds by the clock as it is now.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple


class Kind(Enum):
    """What a visit began with."""

    RING = "ring"
    MOTION = "motion"


class VisitState(Enum):
    """How far a visit is."""

    OPEN = "open"
    DONE = "done"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Visit:
    """One visit. See docs/visits.md, whose keys these are.

    ``still`` counts the stills that it had, because a sharper one may replace the first; 0 if it
    has none, and then ``reason`` is a code for why. ``until`` is None while it is open, and
    ``answered`` while it is not answered. ``seconds`` is how long its film is, and ``before`` how
    much of that was before the first press.
    """

    id: int
    kind: Kind
    source: str
    state: VisitState
    at: float
    pressed_at: float
    until: float | None = None
    presses: int = 1
    still: int = 0
    reason: str = ""
    answered: float | None = None
    frames: int = 0
    seconds: float = 0.0
    before: float = 0.0
    bytes: int = 0


class Event(Enum):
    """What has happened to a visit of a person who rang."""

    RING = "ring"
    PICTURE = "picture"
    """A sharper picture has replaced the first, or the first has come."""

    ANSWERED = "answered"
    DELETED = "deleted"


class News(NamedTuple):
    """Something that has happened, once. ``at`` is on time.monotonic()'s clock.

    ``visit`` is as docs/visits.md has it, with the presses that were announced. ``still`` is its
    newest picture, a JPEG; None if there is none, and then ``visit.reason`` says why.
    """

    event: Event
    visit: Visit
    still: bytes | None
    at: float


SPACE = "space"
DAMAGED = "damaged"
"""Reasons of a StoreError."""


class StoreError(Exception):
    """Visits cannot be kept, for a reason that the sentence says, with what helps.

    ``reason`` is ``space`` if there was no room, ``damaged`` if the index can no longer be read,
    and ``other`` for all else. ``last_id`` is the highest id that is known to have been used: one
    that keeps visits elsewhere has to count on from it.
    """

    def __init__(self, sentence: str, reason: str = "other", last_id: int = 0) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.last_id = last_id


_FULL = frozenset([errno.ENOSPC, errno.EDQUOT])


def reason_of(error: OSError) -> str:
    """Return the reason for a StoreError."""
    return SPACE if error.errno in _FULL else "other"


def still_url(visit: Visit) -> str:
    """Return where its newest still is, relative to the page."""
    return f"visits/{visit.id}.jpg?v={visit.still}"


def described(visit: Visit) -> dict[str, Any]:
    """Return a visit as docs/visits.md has it, for JSON."""
    return {
        "id": visit.id,
        "kind": visit.kind.value,
        "source": visit.source,
        "state": visit.state.value,
        "at": round(visit.at, 3),
        "pressed_at": round(visit.pressed_at, 3),
        "until": _rounded(visit.until),
        "presses": visit.presses,
        "still": still_url(visit) if visit.still else None,
        "reason": visit.reason,
        "answered": _rounded(visit.answered),
        "frames": visit.frames,
        "seconds": round(visit.seconds, 3),
        "before": round(visit.before, 3),
        "bytes": visit.bytes,
    }


def _rounded(moment: float | None) -> float | None:
    return None if moment is None else round(moment, 3)
