"""A process that records visits on a disk of its own, 20 MB of memory, until it is full.

Arguments: what fills the disk, and a film whose pictures are repeated. It is filled by
``visits``, by ``others`` after three visits, while the store is closed after these (``stopped``,
or ``files`` if it is by so many files that there can be no more), or by others but for 1 MB before
the first one, ``nearly``.
It runs as root in a mount namespace of its own (``unshare --mount``), and its output is JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from doorbelld.media.frame import Frame
from doorbelld.visits import film as films
from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import Kind, StoreError

SIZE = 20
"""Megabytes of the disk."""

FILES = 200
"""Files and folders that it can have."""


def record(store: VisitStore, pictures: list[bytes]) -> dict[str, Any]:
    """Record a visit as the recorder does; return what became of it."""
    number, at = store.reserve(), time.monotonic()
    found: dict[str, Any] = {"id": number, "errors": []}
    try:
        store.begin(number, Kind.RING, "button", at)
    except StoreError as error:
        found["errors"].append(error.reason)
        return found
    writer = store.film_writer(number, at)
    actions: list[Callable[[], object]] = [
        partial(writer.append, Frame(each, 1, at, 0)) for each in pictures
    ]
    actions.append(lambda: store.save_still(number, pictures[0]))
    actions.append(lambda: store.finish(number, at + 1))
    for action in actions:
        try:
            action()
        except StoreError as error:
            found["errors"].append(error.reason)
    return found


def summary(store: VisitStore) -> list[dict[str, Any]]:
    """Return what there is of each visit, and whether all of it can be read."""
    found = []
    for visit in store.visits(limit=200):
        film = store.film(visit.id)
        read = 0
        if film:
            with film:
                read = len([film.read(number) for number in range(len(film.frames))])
        still = len(store.still(visit.id) or b"")
        found.append({"id": visit.id, "frames": visit.frames, "read": read, "still": still})
    return found


def main(filled_by: str, film: Path) -> None:
    """Record visits until long after the disk is full."""
    with films.Film(film, films.find_frames(film)) as source:
        pictures = [source.read(number) for number in range(len(source.frames))]
    with tempfile.TemporaryDirectory() as disk:
        options = ["-t", "tmpfs", "-o", f"size={SIZE}m,nr_inodes={FILES},mode=0700"]
        subprocess.run(["/bin/mount", *options, "visits", disk], check=True)
        store = VisitStore(Path(disk, "visits"), space=10**9, days=30)
        store.open()
        recorded = [record(store, pictures) for _ in range(3 if filled_by != "nearly" else 0)]
        is_stopped = filled_by in ("stopped", "files")
        if is_stopped:
            store.close()
        if filled_by == "files":
            fill_with_files(Path(disk))
        elif filled_by != "visits":
            fill(Path(disk, "others"), 1_000_000 if filled_by == "nearly" else 0)
        if is_stopped:
            store.open()
            recorded += [{"opened": [visit.id for visit in store.visits()]}]
        recorded += [record(store, pictures) for _ in range(20)]
        store.enforce()
        found = {"recorded": recorded, "visits": summary(store), "bytes": store.totals().bytes}
        names = sorted(path.name for path in store.folder.iterdir())
        store.close()
        store.open()
        found["agrees"] = found["visits"] == summary(store)
        store.close()
        print(json.dumps({**found, "names": names}))  # noqa: T201  # for the test
        subprocess.run(["/bin/umount", disk], check=True)


def fill(path: Path, left: int) -> None:
    """Write until the disk takes no more, or only so many bytes."""
    try:
        with path.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError:
        os.truncate(path, path.stat().st_size - left)


def fill_with_files(folder: Path) -> None:
    """Make empty files until there can be no more."""
    with suppress(OSError):
        for number in range(2 * FILES):
            (folder / str(number)).touch()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
