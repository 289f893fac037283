from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from doorbelld.media.frame import Frame
from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import Kind, StoreError, VisitState
from tests.support.pictures import jpeg


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "visits"


@pytest.fixture
def store(folder: Path) -> Iterator[VisitStore]:
    found = VisitStore(folder, space=10**9, days=30)
    found.open()
    yield found
    found.close()


def begin(store: VisitStore, pictures: int = 30, kind: Kind = Kind.RING) -> int:
    """Begin a visit with a still and as many pictures, the first two seconds before it."""
    number, at = store.reserve(), time.monotonic()
    store.begin(number, kind, "button", at)
    writer = store.film_writer(number, at)
    for each in range(pictures):
        writer.append(Frame(jpeg(each), each + 1, at - 2 + each / 10, 0))
    store.save_still(number, jpeg(3))
    writer.sync()
    return number


def test_visit_is_kept_with_still_and_film(store: VisitStore) -> None:
    number = begin(store)
    visit = store.finish(number, time.monotonic())
    assert visit
    assert visit == store.visit(number) == store.newest_ring() == store.visits()[0]
    assert (visit.state, visit.frames, visit.still) == (VisitState.DONE, 30, 1)
    assert visit.before == pytest.approx(2)
    assert visit.seconds == pytest.approx(2.9)
    assert visit.at == pytest.approx(time.time(), abs=5)
    assert store.still(number) == jpeg(3)
    film = store.film(number)
    assert film
    with film:
        assert [film.read(each) for each in range(30)] == [jpeg(each) for each in range(30)]
        assert film.frames[0].moment == pytest.approx(-2)
    assert store.totals().count == 1
    assert store.totals().bytes == visit.bytes == film.bytes + len(jpeg(3))


def test_visit_is_still_there_in_another_process_and_its_id_is_not_used_again(
    store: VisitStore,
) -> None:
    first, second = begin(store), begin(store)
    store.finish(first, time.monotonic())
    store.finish(second, time.monotonic())
    assert store.delete(second)
    before = store.visits()
    store.close()
    store.open()
    assert store.visits() == before
    assert begin(store) == second + 1


def test_second_store_in_the_same_folder_is_refused(store: VisitStore, folder: Path) -> None:
    number = begin(store)
    second = VisitStore(folder, space=10**9, days=30)
    with pytest.raises(StoreError, match="another doorbelld") as caught:
        second.open()
    assert caught.value.last_id == number
