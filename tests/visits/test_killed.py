"""A process that records visits is killed at any moment: index and files agree afterwards."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import VisitState
from tests.support import visits
from tests.support.daemon import GUARD, ROOT
from tests.support.pictures import jpeg
from tests.support.visit_writer import KEPT, SPACE
from tests.support.visit_writer import PICTURES as PICTURES_EACH

ROUNDS = int(os.environ.get("KILL_ROUNDS", "15"))
PICTURES = [jpeg(number, 320, 240) for number in range(16)]


def run_and_kill(folder: Path, film: Path, delay: float) -> list[list[str]]:
    """Run the writer, kill it so many seconds after its first line, return what it has said."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.visit_writer", folder, film],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        first = process.stdout.readline()
        timer = threading.Timer(delay, process.kill)
        timer.start()
        rest = process.stdout.read()
        timer.join()
        assert process.wait(GUARD) < 0, "it has failed, and was not killed"
    lines = (first + rest).splitlines(keepends=True)
    return [line.split() for line in lines[1:] if line.endswith("\n")]


def whole_pictures(path: Path) -> int:
    """Return how many whole pictures a film begins with."""
    data, count = path.read_bytes(), 0
    while data.startswith(PICTURES[count % 16]):
        data = data[len(PICTURES[count % 16]) :]
        count += 1
    return count


def check(store: VisitStore, said: list[list[str]], on_disk: dict[int, int]) -> None:
    """Check that index and files agree, and that nothing is lost."""
    found = {visit.id: visit for visit in store.visits(limit=200)}
    names = {f"{visit.id}.mjpeg" for visit in found.values() if visit.frames}
    names |= {f"{visit.id}.jpg" for visit in found.values() if visit.still}
    assert visits.files(store.folder) == sorted(names)
    gone = {int(words[1]) for words in said if words[0] == "deleted"}
    assert not gone & found.keys()
    done = [int(words[1]) for words in said if words[0] == "done"]
    assert set(done[-KEPT:]) <= found.keys()
    for number in done:
        if number in found:
            assert (found[number].state, found[number].frames) == (VisitState.DONE, PICTURES_EACH)
            assert found[number].answered is not None
    begun = [int(words[1]) for words in said if words[0] == "begun"]
    assert set(begun[-1:]) <= found.keys()
    for number, visit in found.items():
        assert visit.state is not VisitState.OPEN
        assert visit.frames == on_disk.get(number, 0)
        assert store.still(number) in PICTURES or not visit.still
        film = store.film(number)
        size = len(store.still(number) or b"")
        if film:
            with film:
                for each in range(len(film.frames)):
                    assert film.read(each) == PICTURES[each % 16]
                assert film.path.stat().st_size == film.bytes
                moments = [frame.moment for frame in film.frames]
                assert moments == sorted(moments)
                assert len(set(moments)) == visit.frames
                size += film.bytes
        assert visit.bytes == size


@pytest.mark.process
def test_index_and_files_agree_after_a_kill_at_any_moment(folder: Path, tmp_path: Path) -> None:
    film = tmp_path / "source"
    film.write_bytes(b"".join(PICTURES))
    chance = random.Random(os.environ.get("KILL_SEED", "12"))  # noqa: S311  # no secret
    interrupted = 0
    for _ in range(ROUNDS):
        said = run_and_kill(folder, film, chance.uniform(0, 0.2))
        on_disk = {int(path.stem): whole_pictures(path) for path in folder.glob("*.mjpeg")}
        store = VisitStore(folder, space=SPACE, days=30)
        store.open()
        try:
            check(store, said, on_disk)
            interrupted += store.visits()[0].state is VisitState.INTERRUPTED
        finally:
            store.close()
    assert interrupted
