"""A process that records visits in a folder until it is killed, and says what it has done.

Arguments: the folder, a film whose pictures every visit repeats, and perhaps after how many visits
it ends by itself. Each line of its output is
one of ``opened``, ``begun ID``, ``done ID`` and ``deleted ID``, written when that is done.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

from doorbelld.media.frame import Frame
from doorbelld.visits import film as films
from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import Kind

PICTURES = 24
"""Of each visit."""

SPACE = 2_000_000
KEPT = 5
"""Visits; each older one is deleted."""


def main(folder: Path, film: Path, most: int | None = None) -> None:
    """Record visits, for ever or so many."""
    with films.Film(film, films.find_frames(film)) as source:
        pictures = [source.read(number) for number in range(len(source.frames))]
    store = VisitStore(folder, space=SPACE, days=30)
    store.open()
    _say("opened")
    for turn in itertools.islice(itertools.count(), most):
        _record(store, pictures, turn)
        store.enforce()
        while (totals := store.totals()).count > KEPT:
            oldest = store.visits(limit=totals.count)[-1]
            store.delete(oldest.id)
            _say("deleted", oldest.id)
    store.close()


def _record(store: VisitStore, pictures: list[bytes], turn: int) -> None:
    number, at = store.reserve(), time.monotonic()
    store.begin(number, Kind.MOTION if turn % 3 else Kind.RING, "http", at)
    _say("begun", number)
    writer = store.film_writer(number, at)
    store.save_still(number, pictures[0])
    for each in range(PICTURES):
        data = pictures[each % len(pictures)]
        writer.append(Frame(data, each + 1, at + (each - 10) / 10, 0))
        if each % 5 == 4:
            writer._keep()
    store.save_still(number, pictures[1])
    store.answer(number)
    store.finish(number, time.monotonic())
    _say("done", number)


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
