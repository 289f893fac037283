from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from doorbelld.system import clock
from doorbelld.visits import index as module
from doorbelld.visits.index import VisitIndex
from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import Kind, StoreError
from tests.support import visits

YEAR = 365 * 86400.0


class Clock:
    """The system clock, which the test sets, and the boot."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.true = clock.offset()
        self.set(0)

    def set(self, ahead: float) -> None:
        """Set the clock so far ahead of the true time."""
        self._monkeypatch.setattr(clock, "offset", lambda: self.true + ahead)

    def boot(self, name: str) -> None:
        """Let it be another boot of the machine."""
        self._monkeypatch.setattr(module, "boot_id", lambda: name)


@pytest.fixture
def system_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_another_process_gives_a_visit_the_same_times(
    store: VisitStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.begin(1, Kind.RING, "button", 100.0)
    (before,) = store.visits()
    slewed = clock.ahead() + 0.01
    monkeypatch.setattr(clock, "ahead", lambda: slewed)
    own = clock._SystemClock()  # as that of a new process
    monkeypatch.setattr(clock, "offset", own.offset)
    monkeypatch.setattr(clock, "follow", own.follow)
    other = VisitStore(folder, space=10**9, days=30)
    other.open_to_read()
    assert other.visits() == [before]
    other.close()


def test_times_follow_the_clock_when_it_is_set(store: VisitStore, system_clock: Clock) -> None:
    system_clock.set(-56 * YEAR)  # as after a boot without a battery
    number = visits.record(store)
    store.answer(number)
    before = store.visit(number)
    assert before
    assert before.at < YEAR
    system_clock.set(0)
    after = store.visit(number)
    assert after
    for name in ("at", "pressed_at", "until", "answered"):
        moved = getattr(after, name) - getattr(before, name)
        assert moved == pytest.approx(56 * YEAR), name


@pytest.mark.parametrize("is_killed", [True, False])
def test_times_of_this_boot_are_right_after_it(
    store: VisitStore, system_clock: Clock, is_killed: bool
) -> None:
    system_clock.boot("first")
    system_clock.set(-56 * YEAR)
    store.close()
    store.open()
    number = visits.record(store)
    system_clock.set(0)
    known = store.visit(number)
    if is_killed:
        store.follow_clock()
        system_clock.set(-56 * YEAR)  # What happens now is no longer noted.
        store._index.close()
    store.close()
    system_clock.boot("second")
    system_clock.set(7 * YEAR)  # This is no business of the first boot.
    store.open()
    assert store.visit(number) == known
    store.answer(number)
    visit = store.visit(number)
    assert visit
    assert visit.answered == pytest.approx(clock.unix(time.monotonic()), abs=10)
    system_clock.boot("first")  # Its clock was right at its end.
    store.close()
    system_clock.set(0)
    store.open()
    visit = store.visit(number)
    assert known
    assert visit
    assert visit.at == known.at


def test_clock_that_jumps_during_a_visit_changes_no_order_and_no_length(
    store: VisitStore, system_clock: Clock
) -> None:
    numbers = []
    for ahead in (0, 20, -30, 3):
        system_clock.set(ahead * YEAR)
        at = time.monotonic()
        number = visits.begin(store, at=at)
        system_clock.set(-ahead * YEAR)
        store.enforce()
        store.finish(number, at + 2)
        store.enforce()
        numbers.append(number)
    system_clock.set(0)
    found = store.visits()
    assert [visit.id for visit in found] == numbers[::-1]
    for visit in found:
        assert visit.until == pytest.approx(visit.at + 2)
        assert visit.seconds == pytest.approx(2.9)
        assert visit.at == pytest.approx(time.time(), abs=10)


def test_clock_that_was_set_is_written_once(store: VisitStore, system_clock: Clock) -> None:
    visits.record(store)
    log = store.folder / "index.sqlite-wal"
    system_clock.set(YEAR)
    store.follow_clock()
    written = log.stat().st_mtime_ns
    for _ in range(5):
        store.follow_clock()
    assert log.stat().st_mtime_ns == written


# Other versions


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(version)


def test_index_of_a_newer_version_is_left_as_it_is(store: VisitStore) -> None:
    number = visits.record(store)
    store.close()
    path = store.folder / "index.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=2")
    connection.close()
    before = {each.name: each.read_bytes() for each in store.folder.iterdir()}
    assert set(before) == {"index.sqlite", f"{number}.jpg", f"{number}.mjpeg"}
    with pytest.raises(StoreError, match=r"newer version.*install that version") as caught:
        store.open()
    assert caught.value.last_id == number
    assert {name: (store.folder / name).read_bytes() for name in before} == before


def add_column(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE visits ADD COLUMN mood TEXT NOT NULL DEFAULT 'fine'")


def fail_half_way(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM visits")
    connection.execute("DROP TABLE no_such_table")


def test_older_index_is_changed_step_by_step(
    store: VisitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = visits.record(store)
    store.close()
    monkeypatch.setattr(module, "_VERSION", 3)
    monkeypatch.setattr(module, "_STEPS", {1: lambda _: None, 2: add_column})
    store.open()
    known = store.visit(number)
    assert known
    path = store.folder / "index.sqlite"
    assert version_of(path) == 3
    assert store._index._read("SELECT mood FROM visits") == [("fine",)]
    store.close()
    store.open()  # It is done once only.
    assert store.visit(number) == known


def test_new_index_has_all_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_VERSION", 2)
    monkeypatch.setattr(module, "_STEPS", {1: add_column})
    index = VisitIndex(tmp_path / "index.sqlite")
    index.open()
    index.add(index.reserve(), Kind.RING, "button", 0.0)
    assert index._read("SELECT mood FROM visits") == [("fine",)]
    index.close()


def test_index_that_cannot_be_changed_is_left_as_it_is(
    store: VisitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = visits.record(store)
    known = store.visit(number)
    store.close()
    with monkeypatch.context() as patched:
        patched.setattr(module, "_VERSION", 3)
        patched.setattr(module, "_STEPS", {1: add_column, 2: fail_half_way})
        with pytest.raises(StoreError, match=r"no_such_table.*install the older") as caught:
            store.open()
    assert caught.value.last_id == number
    assert version_of(store.folder / "index.sqlite") == 1
    store.open()
    assert store.visit(number) == known


def test_copy_is_whole_while_the_index_is_in_use(store: VisitStore, tmp_path: Path) -> None:
    number = visits.begin(store)
    store._index.copy_to(tmp_path / "copy.sqlite")
    copy = VisitIndex(tmp_path / "copy.sqlite")
    copy.open()
    assert copy.visit(number) == store.visit(number)
    assert copy.frames(number) == store._index.frames(number)
    copy.close()
    assert list(tmp_path.glob("copy*")) == [tmp_path / "copy.sqlite"]
