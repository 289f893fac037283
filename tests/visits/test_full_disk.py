"""A disk of 20 MB that fills up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import visits
from tests.support.daemon import GUARD, ROOT
from tests.support.full_disk import SIZE

PICTURES = 10


def record_until_full(filled_by: str, film: Path) -> Any:
    film.write_bytes(b"".join(frame.data for frame in visits.frames(PICTURES, 0, size=200_000)))
    unshare = ["unshare", "--mount"]
    if os.geteuid() != 0:
        unshare += ["--user", "--map-root-user"]
    done = subprocess.run(
        [*unshare, sys.executable, "-m", "tests.support.full_disk", filled_by, film],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=4 * GUARD,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.process
def test_visits_that_fill_the_disk_make_room_for_new_ones(tmp_path: Path) -> None:
    found = record_until_full("visits", tmp_path / "film")
    assert [each["errors"] for each in found["recorded"]] == 23 * [[]]
    newest = found["recorded"][-1]["id"]
    ids = [visit["id"] for visit in found["visits"]]
    assert ids == list(range(newest, newest - len(ids), -1))
    assert 5 <= len(ids) <= 9
    for visit in found["visits"]:
        assert (visit["frames"], visit["read"]) == (PICTURES, PICTURES)
        assert visit["still"] >= 200_000
    assert 0.6 * SIZE * 2**20 < found["bytes"] <= 0.85 * SIZE * 2**20
    assert found["agrees"]


@pytest.mark.process
def test_visits_make_room_for_other_programs(tmp_path: Path) -> None:
    found = record_until_full("others", tmp_path / "film")
    assert [each["errors"] for each in found["recorded"]] == 23 * [[]]
    (visit,) = found["visits"]
    assert visit["id"] == found["recorded"][-1]["id"]
    assert (visit["frames"], visit["read"]) == (PICTURES, PICTURES)
    assert found["agrees"]


@pytest.mark.process
def test_on_a_disk_that_others_have_filled_the_newest_stills_are_kept(tmp_path: Path) -> None:
    found = record_until_full("nearly", tmp_path / "film")
    for each in found["recorded"]:
        assert each["errors"] == ["space"]  # for the film, and said once
    newest = found["recorded"][-1]["id"]
    with_still = [visit["id"] for visit in found["visits"] if visit["still"] >= 200_000]
    assert with_still == list(range(newest, newest - len(with_still), -1))
    assert len(with_still) >= 2
    assert [visit for visit in found["visits"] if visit["frames"]] == []
    assert found["agrees"]


@pytest.mark.process
@pytest.mark.parametrize("filled_by", ["stopped", "files"])
def test_folder_on_a_full_disk_is_opened(tmp_path: Path, filled_by: str) -> None:
    found = record_until_full(filled_by, tmp_path / "film")
    recorded, opened, more = found["recorded"][:3], found["recorded"][3], found["recorded"][4:]
    assert opened["opened"] == [each["id"] for each in reversed(recorded)]
    assert [each["errors"] for each in more] == 20 * [[]]
    assert found["visits"][0]["id"] == more[-1]["id"]
    assert found["agrees"]
