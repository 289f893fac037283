"""Visits, recorded as the recorder does it, but in no time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from doorbelld.media.frame import Frame
from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import Kind
from tests.support.pictures import jpeg

_sequence = itertools.count(1)


def frames(count: int, at: float, before: float = 2.0, size: int = 0) -> list[Frame]:
    """Return so many pictures, ten a second, the first one ``before`` seconds before ``at``.

    ``size`` is how many bytes each has at least.
    """
    return frames_of([_picture(number, size) for number in range(count)], at, before)


def frames_of(pictures: Sequence[bytes], at: float, before: float = 2.0) -> list[Frame]:
    """Return these pictures as such frames."""
    return [
        Frame(data, next(_sequence), at - before + number / 10, 0)
        for number, data in enumerate(pictures)
    ]


def _picture(number: int, size: int) -> bytes:
    data = jpeg(number)
    comments = b""
    while len(data) + len(comments) < size:
        length = min(size - len(data) - len(comments), 65_000)
        comments += b"\xff\xfe" + (length + 2).to_bytes(2, "big") + bytes(length)
    return data[:2] + comments + data[2:]


def files(folder: Path) -> list[str]:
    """Return the names of all files of visits, without the index."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("index."))


def begin(
    store: VisitStore,
    pictures: int = 30,
    kind: Kind = Kind.RING,
    at: float | None = None,
    size: int = 0,
) -> int:
    """Begin a visit with a still and so many pictures, all of them in the index; return its id."""
    at = time.monotonic() if at is None else at
    return begin_with(store, frames(pictures, at, size=size), jpeg(3), kind, at)


def begin_with(
    store: VisitStore, film: Iterable[Frame], still: bytes, kind: Kind, at: float
) -> int:
    """Begin a visit with these pictures, and a still if there is one; return its id."""
    number = store.reserve()
    store.begin(number, kind, "button" if kind is Kind.RING else "motion", at)
    if still:
        store.save_still(number, still)
    writer = store.film_writer(number, at)
    for frame in film:
        writer.append(frame)
    writer._keep()
    return number


def record(
    store: VisitStore,
    pictures: int = 30,
    kind: Kind = Kind.RING,
    at: float | None = None,
    size: int = 0,
) -> int:
    """Record a whole visit, which ends a second after it has begun; return its id."""
    at = time.monotonic() if at is None else at
    number = begin(store, pictures, kind, at, size)
    store.finish(number, at + 1)
    return number


def make_state(folder: Path) -> Path:
    """Make a folder with a ring, one that was answered, motion, and one that is still open."""
    folder.mkdir()
    store = VisitStore(folder / "visits", space=10**9, days=30)
    store.open()
    record(store)
    store.answer(record(store))
    record(store, kind=Kind.MOTION)
    begin(store)
    store.close()
    return folder
