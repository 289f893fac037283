"""What is deleted by itself: see VisitStore.enforce()."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import pytest

from doorbelld.system import clock
from doorbelld.visits import index
from doorbelld.visits import store as module
from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import SPACE, Kind, StoreError, VisitState
from tests.support import visits
from tests.support.pictures import jpeg

DAY = 86400.0
HOUR = 3600.0


class Disk:
    """How full the disk is, by the test's word: 1000 blocks of 10,000 bytes."""

    def __init__(self, store: VisitStore) -> None:
        self.others = 0  # bytes of other programs
        self._store = store

    def statvfs(self, _: object) -> os.statvfs_result:
        free = 1000 - (self.others + self._store.totals().bytes) // 10_000
        return os.statvfs_result((10_000, 10_000, 1000, free, free, 0, 0, 0, 0, 255))


@pytest.fixture
def disk(store: VisitStore, monkeypatch: pytest.MonkeyPatch) -> Disk:
    found = Disk(store)
    monkeypatch.setattr(os, "statvfs", found.statvfs)
    return found


def ids(store: VisitStore) -> list[int]:
    return [visit.id for visit in store.visits()][::-1]


def steady(store: VisitStore) -> None:
    """Let the clock not have been set for an hour."""
    store._retention.follow_clock()
    store._retention._steady_since = time.monotonic() - HOUR


def earlier_boot(
    store: VisitStore, monkeypatch: pytest.MonkeyPatch, *days_ago: float, ahead: float = 0.0
) -> list[int]:
    """Record visits in another boot of the machine, whose clock was so far ahead."""
    store.close()
    true = clock.offset()
    with monkeypatch.context() as patched:
        patched.setattr(index, "boot_id", lambda: f"boot-{time.monotonic()}")
        patched.setattr(clock, "offset", lambda: true + ahead)
        store.open()
        numbers = [visits.record(store, 1, at=time.monotonic() - ago * DAY) for ago in days_ago]
        store.close()
    store.open()
    return numbers


def test_oldest_visits_make_room(store: VisitStore) -> None:
    store.space = 100_000
    numbers = [visits.record(store, 10, size=2000) for _ in range(10)]
    assert store.totals().bytes < 125_000  # No visit waits for its end with making room.
    store.enforce()
    kept = ids(store)
    assert kept == numbers[-len(kept) :]
    assert store.totals().bytes <= 100_000
    assert store.totals().bytes > 75_000
    store.space = 30_000
    assert store.enforce() == len(kept) - 1
    assert ids(store) == numbers[-1:]
    assert visits.files(store.folder) == [f"{numbers[-1]}.jpg", f"{numbers[-1]}.mjpeg"]


def test_of_one_day_motion_makes_room_before_a_ring(store: VisitStore) -> None:
    now = time.monotonic()
    kinds = [Kind.RING, Kind.MOTION, Kind.RING, Kind.MOTION, Kind.MOTION]
    numbers = [visits.record(store, 10, kind, now - 3 * DAY, 2000) for kind in kinds]
    numbers += [visits.record(store, 10, kind, now, 2000) for kind in kinds]
    gone = []
    while left := ids(store):
        store.space = store.totals().bytes - 1
        store.enforce()
        gone += [number for number in left if number not in ids(store)]
    assert [number - numbers[0] for number in gone] == [1, 3, 4, 0, 2, 6, 8, 9, 5, 7]


def test_open_visit_is_never_deleted_and_ends_where_the_room_ends(store: VisitStore) -> None:
    older = visits.record(store, 10, size=2000)
    number, at = store.reserve(), time.monotonic()
    store.space = 50_000
    store.begin(number, Kind.RING, "button", at)
    writer = store.film_writer(number, at)
    some = visits.frames(40, at - 10, size=2000)

    def append_all() -> None:
        for frame in some:
            writer._kept_at = 0.0  # as if each came a second later
            writer.append(frame)

    with pytest.raises(StoreError) as caught:
        append_all()
    assert caught.value.reason == SPACE
    assert older not in ids(store)
    writer.append(some[0])  # It has ended, and says so once.
    assert store.save_still(number, jpeg(1))
    visit = store.finish(number, at + 1)
    assert visit
    assert 20 <= visit.frames <= 26
    film = store.film(number)
    assert film
    with film:
        assert film.read(visit.frames - 1) == some[visit.frames - 1].data


def test_part_of_the_disk_stays_free(store: VisitStore, disk: Disk) -> None:
    numbers = [visits.record(store, 10, size=50_000) for _ in range(15)]  # 7.5 of 10 MB
    assert ids(store) == numbers
    numbers += [visits.record(store, 10, size=50_000) for _ in range(10)]
    store.enforce()
    kept = ids(store)
    assert kept == numbers[-len(kept) :]
    assert 7_500_000 < store.totals().bytes <= 8_500_000
    disk.others = 3_000_000
    store.enforce()
    assert 5_000_000 < store.totals().bytes <= 5_500_000


def test_newest_visits_stay_if_other_programs_fill_the_disk(store: VisitStore, disk: Disk) -> None:
    numbers = [visits.record(store, 10, size=5000) for _ in range(20)]  # 1 MB
    disk.others = 9_800_000
    store.enforce()
    assert ids(store) == numbers[-10:]
    # There is no room for films any more, and the still is more important than what is free.
    number, at = store.reserve(), time.monotonic()
    store.begin(number, Kind.RING, "button", at)
    with pytest.raises(StoreError) as caught:
        store.film_writer(number, at).append(visits.frames(1, at)[0])
    assert caught.value.reason == SPACE
    store.save_still(number, jpeg(5))
    visit = store.finish(number, at + 1)
    assert visit
    assert (visit.frames, visit.still) == (0, 1)


def test_visits_of_this_boot_age_by_time_alone(
    store: VisitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    old, young = (visits.record(store, 1, at=now - days * DAY) for days in (30.1, 29.9))
    true = clock.offset()
    for ahead in (40 * 365 * DAY, -40 * 365 * DAY):
        monkeypatch.setattr(clock, "offset", lambda ahead=ahead: true + ahead)
        store.enforce()
        assert ids(store) == [young]
    assert old < young


def test_visits_of_another_boot_age_only_by_a_steady_clock(
    store: VisitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, young = earlier_boot(store, monkeypatch, 31, 29)
    assert store.enforce() == 0
    steady(store)
    assert store.enforce() == 1
    assert ids(store) == [young]
    true = clock.offset()
    monkeypatch.setattr(clock, "offset", lambda: true + 10 * DAY)
    assert store.enforce() == 0  # The clock has just jumped.
    assert ids(store) == [young]
    store._retention._steady_since = time.monotonic() - HOUR
    assert store.enforce() == 1
    assert old < young


@pytest.mark.parametrize("ahead", [-56 * 365 * DAY, -400 * DAY, 400 * DAY])
def test_visit_of_a_boot_with_a_wrong_clock_is_as_old_as_those_around_it(
    store: VisitStore, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    (first,) = earlier_boot(store, monkeypatch, 29)
    (wrong,) = earlier_boot(store, monkeypatch, 28.5, ahead=ahead)
    (last,) = earlier_boot(store, monkeypatch, 28)
    steady(store)
    assert store.enforce() == 0
    store.days = 28.7
    store.enforce()
    assert set(ids(store)) >= {last}
    assert first not in ids(store)
    store.days = 27
    store.enforce()
    assert ids(store) == []
    assert first < wrong < last


def test_clock_that_was_never_set_makes_nothing_old(
    store: VisitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (number,) = earlier_boot(store, monkeypatch, 1, ahead=-56 * 365 * DAY)
    steady(store)
    assert store.enforce() == 0
    assert ids(store) == [number]


def test_of_more_than_500_visits_a_day_motion_goes_first(
    store: VisitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_A_DAY", 5)
    now = time.monotonic()
    yesterday = visits.record(store, 1, at=now - 1.5 * DAY)
    kinds = [Kind.RING, Kind.MOTION, Kind.RING, Kind.MOTION, Kind.RING]
    numbers = [visits.record(store, 1, kind, now) for kind in kinds]
    assert store.enforce() == 0
    for gone in (1, 3, 0):
        numbers.append(visits.record(store, 1, at=now))
        assert store.enforce() == 1
        assert numbers[gone] not in ids(store)
    assert yesterday in ids(store)


@pytest.mark.parametrize("years", [-50, 50])
def test_clock_that_is_set_while_visits_are_counted_makes_nothing_old(
    store: VisitStore, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    numbers = [visits.record(store, 1) for _ in range(3)]
    true, rows = clock.offset(), store._index.rows

    def set_clock(*values: int) -> list[index.Row]:
        monkeypatch.setattr(clock, "offset", lambda: true + years * 365 * DAY)
        return rows(*values)

    monkeypatch.setattr(store._index, "rows", set_clock)
    for _ in range(3):
        assert store.enforce() == 0
    assert ids(store) == numbers


def test_clock_that_cannot_be_noted_makes_nothing_old_and_keeps_no_visit_open(
    store: VisitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = visits.record(store, 1)
    opened, at = visits.begin(store), time.monotonic()
    write = store._index._write

    def refuse(*statements: tuple[str, Sequence[object]]) -> int:
        if "boots" in statements[0][0]:
            raise StoreError("the disk has failed")
        return write(*statements)

    monkeypatch.setattr(store._index, "_write", refuse)
    true = clock.offset()
    monkeypatch.setattr(clock, "offset", lambda: true - 50 * 365 * DAY)
    with pytest.raises(StoreError, match="failed"):
        store.finish(opened, at + 1)
    with pytest.raises(StoreError, match="failed"):
        store.enforce()
    assert store._retention.too_old(store.days) == []
    assert [visit.state for visit in store.visits()] == 2 * [VisitState.DONE]
    assert ids(store) == [number, opened]
