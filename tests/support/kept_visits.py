"""Kept visits: visits in a state folder before a daemon starts, and a daemon that has them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from doorbelld.access.ring_token import new_token
from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import Kind
from tests.support import visits
from tests.support.numbered_pictures import numbered


class KeptVisits:
    """A state folder with visits and a ring token; ``environ`` is what makes a daemon use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        self.environ = {"STATE_DIRECTORY": str(folder)}
        self.token = ""
        self.set_token(new_token())

    def set_token(self, token: str) -> None:
        """Replace the token in one step."""
        new = self.folder / "new"
        new.write_text(token)
        new.chmod(0o600)
        new.replace(self.folder / "ring_token")
        self.token = token

    def settings(self) -> dict[str, object]:
        """Return the settings by which a daemon uses the token."""
        return {"bell.token_file": self.folder / "ring_token"}

    def add(
        self, pictures: Sequence[bytes], kind: Kind = Kind.RING, still: bytes = b"", before: int = 2
    ) -> int:
        """Add a visit with a film of ten pictures a second; return its id."""
        store = VisitStore(self.folder / "visits", space=10**9, days=30)
        store.open()
        try:
            at = time.monotonic()
            frames = visits.frames_of(pictures, at, before)
            number = visits.begin_with(store, frames, still, kind, at)
            store.finish(number, at + len(pictures) / 10)
        finally:
            store.close()
        return number

    def add_many(self, count: int, interval: float = 250.0) -> None:
        """Add rings without pictures, one every ``interval`` seconds: no more than are kept."""
        store = VisitStore(self.folder / "visits", space=10**9, days=30)
        store.open()
        try:
            at = time.monotonic() - count * interval
            first = store.begin(store.reserve(), Kind.RING, "button", at).id
            store.finish(first, at)
            # Through the store it would be thousands of transactions.
            query = (
                "INSERT INTO visits (boot, kind, source, state, at, pressed_at, until)"
                " SELECT boot, kind, source, state, at + ?1, at + ?1, at + ?1 FROM visits"
                " WHERE id = ?2"
            )
            store._index._write(
                *[(query, (number * interval, first)) for number in range(1, count)]
            )
        finally:
            store.close()


def film(count: int, kilobytes: int = 0) -> list[bytes]:
    """Return numbered pictures."""
    return [numbered(number, kilobytes) for number in range(count)]
