"""Bell: rings, and reads back, answers and deletes what was recorded."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from tests.support.daemon import Daemon
from tests.support.kept_visits import KeptVisits

_AFTER, _LONGEST = 2, 6
"""Seconds that a visit is open: short, so that there are many."""

_SPACE_MB = 5
"""For all visits: little, so that the oldest have to go."""


class Bell:
    """Does one thing at a time, with a visit that chance chooses.

    ``damaged`` is how many visits were not as they have to be, ``read`` how many were read.
    """

    def __init__(self, daemon: Daemon, kept: KeptVisits, chance: random.Random) -> None:
        self.read = self.damaged = 0
        self._daemon = daemon
        self._kept = kept
        self._chance = chance

    def ring(self) -> None:
        """Press the bell; there may have been too many presses."""
        answer, _ = self._daemon.request(f"/ring?token={self._kept.token}", "POST")
        assert answer.status in (200, 429), answer.status

    def read_back(self) -> None:
        """Read all of a visit; it may be deleted at any time because there is no room."""
        visit = self._one()
        if visit is None:
            return
        here = f"/visits/{visit['id']}"
        paths = [f"{here}.json", f"{here}.jpg", f"{here}.mjpeg", f"{here}/video", f"{here}/0.jpg"]
        found = [self._daemon.request(path) for path in paths]
        assert {answer.status for answer, _ in found} <= {200, 404}
        if all(answer.status == 200 for answer, _ in found):
            self.read += 1
            self.damaged += not _is_whole(visit, [body for _, body in found])

    def answer(self) -> None:
        """Mark a visit as answered."""
        self._post("answered", (200, 404))

    def delete(self) -> None:
        """Delete a visit."""
        self._post("delete", (204, 404))

    def _post(self, what: str, allowed: Sequence[int]) -> None:
        visit = self._one()
        if visit is not None:
            status = self._daemon.request(f"/visits/{visit['id']}/{what}", "POST")[0].status
            assert status in allowed, status

    def _one(self) -> dict[str, Any] | None:
        visits = self._newest("limit=20")
        return self._chance.choice(visits) if visits else None

    def _newest(self, query: str) -> list[dict[str, Any]]:
        answer, body = self._daemon.request(f"/visits.json?{query}")
        assert answer.status == 200
        visits: list[dict[str, Any]] = json.loads(body)["visits"]
        return visits


def settings(kept: KeptVisits) -> dict[str, object]:
    """Return the daemon's settings for all this."""
    return {
        **kept.settings(),
        "visits.after": _AFTER,
        "visits.longest": _LONGEST,
        "visits.space": _SPACE_MB,
        "visits.motion": "yes",
    }


def _is_whole(visit: dict[str, Any], bodies: Sequence[bytes]) -> bool:
    described, still, film, _, first = bodies
    frames = json.loads(described)["frames"]
    is_growing = visit["until"] is None  # It may have more pictures with each request.
    pictures_are = all(
        each.startswith(b"\xff\xd8") and each.endswith(b"\xff\xd9") for each in (still, film, first)
    )
    return (
        pictures_are
        and film.startswith(first)
        and frames == sorted(frames)
        and (is_growing or len(frames) == visit["frames"])
    )
