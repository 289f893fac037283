"""What visits cost: writes that wait for the disk, and time when there are many."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import Kind
from tests.support import visits
from tests.support.cost import cpu_bound
from tests.support.daemon import GUARD, ROOT
from tests.support.pictures import jpeg

VISITS = 40
"""So many that the index puts its log into its file in between."""

MANY = 10_000


def synced_by_visit(folder: Path, film: Path, trace: Path) -> list[list[str]]:
    """Record visits; return for each the names of the files that were synced for it."""
    subprocess.run(
        [
            *("strace", "-f", "-y", "-e", "trace=fsync,fdatasync,write", "-o", trace),
            *(sys.executable, "-m", "tests.support.visit_writer", folder, film, str(VISITS)),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        timeout=4 * GUARD,
        check=True,
    )
    found: list[list[str]] = []
    for line in trace.read_text(errors="replace").splitlines():
        if re.search(r'write\(1<.*"(opened|done)', line):
            found.append([])
        elif not found:
            continue  # It opens the folder.
        elif synced := re.search(r"f(?:data)?sync\(\d+<([^>]*)>", line):
            found[-1].append(Path(synced[1]).name)
    return found[:-1]


@pytest.mark.process
def test_visit_waits_for_the_disk_four_times_at_most(folder: Path, tmp_path: Path) -> None:
    film = tmp_path / "source"
    film.write_bytes(b"".join(jpeg(number) for number in range(16)))
    found = synced_by_visit(folder, film, tmp_path / "trace")
    assert len(found) == VISITS
    for synced in found:
        assert len(synced) <= 4, synced
        assert len([name for name in synced if name.endswith(".mjpeg")]) == 1
        assert len([name for name in synced if name.endswith(".jpg")]) == 1
        assert "index.sqlite-wal" in synced
    assert ["index.sqlite" in synced for synced in found].count(True) >= 1


@pytest.fixture
def many(store: VisitStore) -> VisitStore:
    """Return a store with 10,000 visits, each with a film and a still, which are empty."""
    store.space = 10**12
    visits.record(store, 200)
    columns = "boot, kind, source, state, at, pressed_at, until, still, frames, film_bytes"
    copies = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {MANY - 1})"  # noqa: S608
    copy = f"{copies} INSERT INTO visits ({columns}) SELECT {columns} FROM n, visits WHERE id = 1"  # noqa: S608
    frames = "INSERT INTO frames SELECT v.id, 0, f.data FROM visits v, frames f WHERE v.id > 1"
    kinds = "UPDATE visits SET kind = 'motion' WHERE id % 3"
    store._index._write((copy, ()), (frames, ()), (kinds, ()))
    for each in range(2, MANY + 1):
        (store.folder / f"{each}.mjpeg").touch()
        (store.folder / f"{each}.jpg").touch()
    store.close()
    return store


def test_ten_thousand_visits_are_opened_and_listed_in_no_time(many: VisitStore) -> None:
    with cpu_bound(1):  # It takes a quarter of that.
        many.open()
    assert many.totals().count == MANY
    with cpu_bound(10, bound=0.025):
        for _ in range(5):  # 5 ms each
            page = many.visits()
            found = [{**asdict(visit), "kind": "", "state": ""} for visit in page]
            json.dumps([found, asdict(many.totals())])
            many.newest_ring()
    assert len(page) == 50
    with cpu_bound(1):
        for kind in Kind:
            before: int | None = 500
            while found_visits := many.visits(before, 200, kind):
                before = found_visits[-1].id
    with cpu_bound(1):
        many.enforce()
