from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from doorbelld.stream.hub import FrameHub
from doorbelld.system import clock
from doorbelld.visits import doorbell, recorder, recording
from doorbelld.visits.doorbell import BellSettings, Doorbell
from doorbelld.visits.film import FilmWriter
from doorbelld.visits.recording import Lengths
from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import SPACE, Kind, StoreError, Visit, VisitState
from tests.support.daemon import GUARD, eventually
from tests.support.pictures import jpeg

LONG = Lengths(before=5.0, after=600.0, longest=3600.0, framerate=10.0, again=10.0)
SHORT = LONG._replace(after=0.3)


class Door:
    """A doorbell, and a hub whose pictures the test publishes. ``changes`` counts pages' news."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.hub = FrameHub()
        self.changes = 0
        self.closed: list[bool] = []
        self.reason = ""
        self.bell = self.make()

    def make(self) -> Doorbell:
        return Doorbell(
            BellSettings(LONG, button=None),
            self.hub,
            self.folder,
            pause=self.closed.append,
            reason=lambda: self.reason,
            on_change=self._change,
        )

    def _change(self) -> None:
        self.changes += 1

    def start(self, lengths: Lengths = LONG) -> Door:
        self.bell.reconfigure(BellSettings(lengths, button=None))
        self.bell.start()
        self.bell.log_place()
        return self

    def restart(self, lengths: Lengths = LONG) -> None:
        assert self.bell.stop(GUARD)
        self.bell = self.make()
        self.start(lengths)

    def roll(self, end: float, seconds: float = 6.0, size: int = 0) -> None:
        """Publish the pictures of some seconds at 30 a second, the last one at ``end``."""
        count = round(seconds * 30)
        for number in range(count + 1):
            self.picture(end - (count - number) / 30, size)

    def picture(self, captured_at: float, size: int = 0) -> None:
        data = jpeg(int(captured_at * 30) % 50)
        self.hub.publish(data + bytes(size), captured_at, live=True)

    def ring(self, at: float | None = None) -> Visit:
        visit = self.bell.ring(time.monotonic() if at is None else at, "http")
        assert visit
        return visit

    def wait_until_done(self, number: int = 1) -> Visit:
        def look() -> Visit | None:
            with_film = self.bell.store.visit(number)
            return with_film if with_film and with_film.state is not VisitState.OPEN else None

        return eventually(look, f"visit {number} done")

    def shown(self) -> dict[str, object]:
        """Return what pages see of the newest ring."""
        found = self.bell.state()["visit"]
        assert isinstance(found, dict)
        return found

    def problem(self) -> str:
        found = self.bell.status()["visits"]["detail"]
        assert isinstance(found, str)
        return found


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    found = Door(tmp_path)
    yield found
    assert found.bell.stop(GUARD)
    assert found.bell.stop(GUARD), "stop() may be called twice"


def test_a_press_is_a_visit_with_its_still_at_once(door: Door) -> None:
    door.start()
    now = time.monotonic()
    door.roll(now)
    with mock.patch.object(VisitStore, "begin", side_effect=StoreError("the disk waits")):
        visit = door.ring(now)
        assert (visit.id, visit.kind, visit.source, visit.presses) == (1, Kind.RING, "http", 1)
        assert (visit.state, visit.still, visit.reason) == (VisitState.OPEN, 1, "")
        assert visit.at == pytest.approx(time.time(), abs=5)
        assert door.changes
        shown = door.shown()
        assert (shown["id"], shown["still"], shown["presses"]) == (1, "visits/1.jpg?v=1", 1)
        still = door.bell.still(1)
        assert still
        assert still.startswith(b"\xff\xd8")
        assert door.bell.visits() == [door.bell.visit(1)]


def test_a_film_has_five_seconds_before_the_press_and_all_after_it(door: Door) -> None:
    door.start(LONG._replace(after=1.0))
    now = time.monotonic()
    door.roll(now)
    visit = door.ring(now)
    for number in range(1, 60):
        door.picture(now + number / 30)
    done = door.wait_until_done()
    assert done.before == pytest.approx(5.0, abs=0.1)
    assert done.seconds == pytest.approx(6.0, abs=0.15)
    assert done.frames == pytest.approx(61, abs=2)
    assert done.until == pytest.approx(visit.at + 1.0, abs=0.001)
    film = door.bell.store.film(1)
    assert film
    with film:
        moments = [frame.moment for frame in film.frames]
        assert moments == sorted(moments)
        assert film.read(0).startswith(b"\xff\xd8")


def test_no_picture_is_twice_in_a_film_or_missing_while_all_come_at_once(door: Door) -> None:
    door.start(LONG._replace(before=60.0, framerate=60.0, after=1.0))
    begin, stop = time.monotonic() - 50, threading.Event()

    def publish() -> None:
        number = 0
        while not stop.is_set():
            door.picture(begin + number / 50)
            number += 1

    thread = threading.Thread(target=publish)
    thread.start()
    eventually(lambda: (found := door.hub.latest) and found.sequence > 500, "pictures")
    door.ring()
    eventually(lambda: (found := door.hub.latest) and found.captured_at > time.monotonic(), "more")
    stop.set()
    thread.join(GUARD)
    door.wait_until_done()
    film = door.bell.store.film(1)
    assert film
    with film:
        gaps = {round(b.moment - a.moment, 3) for a, b in zip(film.frames, film.frames[1:])}
    assert gaps == {0.02}


def test_hundred_presses_in_ten_seconds_are_one_visit(door: Door) -> None:
    door.start()
    now = time.monotonic()
    door.roll(now - 10)
    for number in range(100):
        assert door.ring(now - 10 + number / 10).id == 1
    found = door.bell.visit(1)
    assert found
    assert (found.presses, len(door.bell.visits())) == (100, 1)
    assert found.pressed_at - found.at == pytest.approx(9.9, abs=0.001)
    assert door.shown()["presses"] == 1, "pages ring once"
    eventually(lambda: (row := door.bell.store.visit(1)) and row.presses == 100, "written")


def test_a_contact_that_bounces_is_one_press(door: Door) -> None:
    door.start()
    now = time.monotonic() - 1
    assert door.bell.ring(now, "button")
    assert door.bell.ring(now + 0.005, "button") is None
    assert door.bell.ring(now + 0.029, "button") is None
    assert door.bell.ring(now - 0.01, "button") is None
    found = door.bell.ring(now + 0.031, "button")
    assert found
    assert found.presses == 2
    found = door.bell.ring(now + 0.032, "http")
    assert found, "a program that rings twice means it"
    assert found.presses == 3


def test_later_press_is_announced_again_and_all_are_counted(door: Door) -> None:
    door.start()
    now = time.monotonic()
    seen = []
    for ago in (30, 25, 21, 19.9, 15, 9.8):
        door.ring(now - ago)
        shown = door.shown()
        pressed_at = float(str(shown["pressed_at"]))
        seen.append((shown["presses"], round(clock.unix(now) - pressed_at, 1)))
    assert seen == [(1, 30), (1, 30), (1, 30), (4, 19.9), (4, 19.9), (6, 9.8)]
    found = door.bell.visit(1)
    assert found
    assert found.presses == 6


def test_ring_after_an_answer_is_another_visit_and_a_press_of_the_same_ring_is_not(
    door: Door,
) -> None:
    door.start()
    now = time.monotonic()
    door.ring(now - 20)
    door.bell.answer(1)
    assert door.ring(now - 15).id == 1
    found = door.ring(now - 5)
    assert (found.id, found.presses) == (2, 1)
    assert (door.shown()["id"], door.shown()["answered"]) == (2, None)


def test_press_after_the_end_begins_another_visit(door: Door) -> None:
    lengths = LONG._replace(after=15.0, longest=60.0)
    door.bell.recorder.configure(lengths)
    now = time.monotonic()
    numbers = [door.ring(now - ago).id for ago in (100, 90, 74.9, 70, 56, 42, 41, 30, 20, 10)]
    assert numbers == [1, 1, 2, 2, 2, 2, 2, 2, 2, 3], "longest ends it, and after does"
    door.start(lengths)  # Only now: the thread ends visits when their time is over.
    first = door.wait_until_done(1)
    second = door.wait_until_done(2)
    assert first.until
    assert first.until == pytest.approx(first.pressed_at + 15, abs=0.01)
    assert second.until == pytest.approx(second.at + 60, abs=0.01)


def test_sharper_picture_of_the_next_three_seconds_replaces_the_still(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_BETTER", 1.5)
    door.start()
    now = time.monotonic()
    door.roll(now, size=1000)
    assert door.ring(now).still == 1
    first = door.bell.still(1)
    door.picture(now + 0.2, size=1010)
    door.picture(now + 0.3, size=2000)
    door.picture(now + 1.6, size=3000)
    door.changes = 0
    eventually(lambda: door.shown()["still"] == "visits/1.jpg?v=2", "a better still")
    assert door.changes
    second = door.bell.still(1)
    assert first
    assert second
    assert len(first) < len(second) < 3000
    eventually(lambda: (row := door.bell.store.visit(1)) and row.still == 2, "written")
    assert door.bell.store.still(1) == second


def test_picture_that_is_hardly_sharper_does_not_replace_the_still(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_BETTER", 0.2)
    door.start(SHORT)
    now = time.monotonic()
    door.roll(now, size=50_000)
    door.ring(now)
    door.picture(now + 0.15, size=50_500)
    assert door.wait_until_done().still == 1


def test_ring_without_a_camera_says_why_and_gets_the_first_picture_there_is(door: Door) -> None:
    door.reason = "missing"
    door.start()
    now = time.monotonic()
    door.hub.publish(b"card", now, live=False)
    visit = door.ring(now)
    assert (visit.still, visit.reason) == (0, "missing")
    assert door.shown()["still"] is None
    assert door.bell.still(1) is None
    door.hub.publish(b"card", now + 1, live=False)
    eventually(lambda: (row := door.bell.store.visit(1)) and row.reason == "missing", "written")
    door.picture(now + 4)
    assert (door.shown()["still"], door.shown()["reason"]) == ("visits/1.jpg?v=1", "")
    eventually(lambda: door.bell.store.still(1), "written")
    row = door.bell.store.visit(1)
    assert row
    assert (row.still, row.reason) == (1, "")


def test_film_goes_on_when_a_lost_camera_is_back(door: Door) -> None:
    door.start(LONG._replace(after=2.0))
    now = time.monotonic()
    door.roll(now - 0.2)
    door.ring(now - 0.2)
    door.hub.publish(b"card", now, live=False)
    door.hub.publish(b"card", now + 0.1, live=False)
    door.picture(now + 0.2)
    assert door.wait_until_done().seconds == pytest.approx(5.4, abs=0.1)
    film = door.bell.store.film(1)
    assert film
    with film:
        assert all(film.read(n).startswith(b"\xff\xd8") for n in range(len(film.frames)))
        assert film.frames[-1].moment - film.frames[-2].moment > 0.3


def test_closed_shutter_leaves_no_picture_of_before_for_a_ring(door: Door) -> None:
    door.start()
    now = time.monotonic()
    door.roll(now)
    state = door.bell.close_shutter(True)
    assert (state.closed, door.closed) == (True, [True])
    assert door.changes
    door.reason = "paused"
    visit = door.ring(now)
    assert (visit.still, visit.reason) == (0, "paused")
    assert door.folder
    assert (door.folder / "shutter").exists(), "it is kept, whatever happens now"
    door.restart()
    assert door.closed == [True, True], "a daemon that starts never opens it"
    found = eventually(lambda: door.bell.visit(1), "the visit")
    assert (found.frames, found.still) == (0, 0)
    assert door.bell.close_shutter(False).closed is False
    assert door.closed == [True, True, False]


def test_disk_that_waits_does_not_hold_up_the_shutter(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell, "_SAVING", 0.05)
    door.start()
    goes_on = threading.Event()

    def hold() -> None:
        goes_on.wait(GUARD)

    door.bell.recorder.do(hold)
    assert door.bell.close_shutter(True).closed
    assert door.closed == [True]
    assert door.folder
    assert not (door.folder / "shutter").exists()
    goes_on.set()
    eventually((door.folder / "shutter").exists, "it is kept")


def test_camera_with_few_pictures_has_a_still_all_the_same(door: Door) -> None:
    door.start()
    door.hub.offer(lambda: jpeg(1), time.monotonic() - 4)
    assert door.ring().still == 1


def test_answer_counts_once_and_reaches_pages_and_disk(door: Door) -> None:
    door.start(SHORT)
    door.ring()
    door.changes = 0
    first = door.bell.answer(1)
    assert first
    assert first.answered == pytest.approx(time.time(), abs=5)
    assert door.changes
    assert door.shown()["answered"] == pytest.approx(first.answered, abs=0.001)
    found: list[Visit | None] = []
    threads = [threading.Thread(target=lambda: found.append(door.bell.answer(1))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD)
    assert {each and each.answered for each in found} == {first.answered}
    assert door.wait_until_done().answered == pytest.approx(first.answered, abs=0.1)
    assert door.bell.answer(2) is None
    eventually(lambda: not door.bell.recorder.in_memory(), "it is on the disk alone")
    again = door.bell.answer(1)
    assert again
    assert again.answered == pytest.approx(first.answered, abs=0.1)


def test_answer_has_one_moment_though_the_disk_learns_of_it_later(door: Door) -> None:
    door.start()
    goes_on = threading.Event()

    def hold() -> None:
        goes_on.wait(GUARD)

    door.bell.recorder.do(hold)
    door.ring()
    visit = door.bell.answer(1)
    goes_on.set()
    assert visit
    stored = eventually(
        lambda: (row := door.bell.store.visit(1)) and row.answered, "the disk has it"
    )
    assert stored == pytest.approx(visit.answered, abs=1e-5)


def test_visit_that_is_open_can_be_deleted(door: Door) -> None:
    door.start()
    now = time.monotonic()
    door.roll(now)
    door.ring(now - 0.1)
    eventually(lambda: door.bell.store.visit(1), "it is written")
    assert door.bell.delete(1)
    assert (door.bell.visits(), door.bell.state()["visit"]) == ([], None)
    assert door.bell.still(1) is None
    assert not door.bell.delete(1)
    assert door.ring(now).id == 2, "an id is never used again"
    door.picture(now + 0.2)
    eventually(lambda: door.bell.store.visit(2), "the next one is written")
    assert door.folder
    assert not list((door.folder / "visits").glob("1.*"))


def test_deleting_all_also_deletes_what_pages_show(door: Door) -> None:
    door.start(SHORT)
    for number in (1, 2, 3):
        door.ring()
        door.wait_until_done(number)
    eventually(lambda: not door.bell.recorder.in_memory(), "all are on the disk alone")
    door.ring()
    assert door.shown()["id"] == 4
    assert door.bell.delete_all() == 4
    assert (door.bell.visits(), door.bell.state()["visit"]) == ([], None)
    assert door.bell.status()["visits"]["count"] == 0


def test_ring_while_the_one_before_is_deleted_is_shown(door: Door) -> None:
    door.start(SHORT)
    door.ring()
    door.wait_until_done()
    eventually(lambda: not door.bell.recorder.in_memory(), "it is on the disk alone")
    visit = VisitStore.visit

    def look_while_it_rings(store: VisitStore, number: int) -> Visit | None:
        found = visit(store, number)
        door.ring()
        return found

    door.bell.store.delete(1)
    with mock.patch.object(VisitStore, "visit", look_while_it_rings):
        door.bell.recorder.look_for_older()
    assert door.shown()["id"] == 2


def test_list_has_open_and_stored_visits_once_each(door: Door) -> None:
    door.start(SHORT)
    for number in (1, 2):
        door.ring()
        door.wait_until_done(number)
    door.bell.move(time.monotonic())
    assert [each.id for each in door.bell.visits()] == [3, 2, 1]
    assert [each.id for each in door.bell.visits(limit=2)] == [3, 2]
    assert [each.id for each in door.bell.visits(before=3)] == [2, 1]
    assert [each.id for each in door.bell.visits(kind=Kind.RING)] == [2, 1]
    assert [each.id for each in door.bell.visits(kind=Kind.MOTION)] == [3]


def test_motion_is_no_ring_and_a_ring_begins_its_own_visit(door: Door) -> None:
    door.start()
    now = time.monotonic()
    door.bell.move(now - 20)
    door.bell.move(now - 19)
    assert door.bell.state()["visit"] is None
    assert door.ring(now - 18).id == 2
    door.bell.move(now - 17)
    assert [(each.id, each.kind.value) for each in door.bell.visits()] == [
        (2, "ring"),
        (1, "motion"),
    ]
    first = door.wait_until_done(1)
    assert first.until == pytest.approx(first.at + 2, abs=0.001)


def test_nothing_rings_again_after_a_restart(door: Door) -> None:
    door.start()
    now = time.monotonic()
    for ago in (21, 10.5, 0):
        door.ring(now - ago)
    assert door.shown()["presses"] == 3
    door.restart()
    shown = eventually(lambda: door.bell.state()["visit"], "the newest ring")
    assert (shown["id"], shown["state"], shown["presses"]) == (1, "interrupted", 1)
    assert door.ring().id == 2


def test_stop_in_the_middle_writes_everything(door: Door) -> None:
    door.start()
    now = time.monotonic()
    door.roll(now)
    door.ring(now - 0.5)
    door.restart()
    found = eventually(lambda: door.bell.visit(1), "the visit")
    assert (found.state, found.still) == (VisitState.INTERRUPTED, 1)
    assert found.until
    assert found.seconds == pytest.approx(5.5, abs=0.15)


def test_disk_that_waits_costs_pictures_and_no_ring(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    door.start()
    now = time.monotonic()
    door.roll(now)
    goes_on, append = threading.Event(), FilmWriter.append

    def wait(*arguments: object) -> None:
        assert goes_on.wait(GUARD)
        append(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(FilmWriter, "append", wait)
    door.ring(now)
    for number in range(1, 200):
        door.picture(now + number / 10, size=1 << 20)
    assert sum(each.waiting_bytes for each in door.bell.recorder._memory.all) <= 8 << 20
    assert len(door.shown()) > 5, "pages see it all the same"
    goes_on.set()
    assert door.bell.stop(GUARD)
    assert "pictures of its film were left out" in caplog.text


def test_index_that_waits_for_the_disk_delays_neither_a_ring_nor_a_picture(door: Door) -> None:
    door.start()
    now = time.monotonic()
    done = threading.Event()

    def ring() -> None:
        door.ring(now)
        door.picture(now + 0.1)
        done.set()

    with door.bell.store._index._writer.lock:  # as while SQLite writes
        threading.Thread(target=ring, daemon=True).start()
        assert done.wait(GUARD)
    eventually(lambda: door.bell.store.visit(1), "it is written")


def test_index_that_cannot_be_written_leaves_the_ring_in_memory(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    door.start(SHORT)
    now = time.monotonic()
    door.roll(now)
    with mock.patch.object(VisitStore, "begin", side_effect=StoreError("it is full", SPACE)):
        for number in range(1, 4):
            door.ring()
            eventually(lambda: not door.bell.recorder._has_work, "it has ended")
            assert door.shown()["id"] == number
            assert door.bell.still(number)
    status = door.bell.status()["visits"]
    assert (status["state"], status["detail"]) == ("failed", "it is full")
    assert status["since"] == pytest.approx(time.time(), abs=10)
    assert [each.id for each in door.bell.visits()] == [3, 2, 1]
    assert caplog.text.count("it is full") == 1, "it is logged once"
    door.ring()
    door.wait_until_done(4)
    eventually(lambda: door.bell.status()["visits"]["state"] == "ok", "it works again")


def test_film_that_cannot_be_written_leaves_the_still(door: Door) -> None:
    door.start(SHORT)
    now = time.monotonic()
    door.roll(now)
    with mock.patch.object(FilmWriter, "append", side_effect=StoreError("no room", SPACE)):
        door.ring(now)
        done = door.wait_until_done()
    assert (done.still, done.frames) == (1, 0)
    assert door.bell.store.still(1)
    assert door.problem() == "no room"


def test_failure_that_is_not_expected_does_not_end_the_thread(door: Door) -> None:
    door.start(SHORT)
    with mock.patch.object(VisitStore, "begin", side_effect=ZeroDivisionError("odd")):
        door.ring()
        eventually(door.problem, "a problem")
    assert "ZeroDivisionError: odd" in door.problem()
    assert door.bell.recorder.alive
    eventually(lambda: not door.bell.recorder._has_work, "it has ended")
    door.ring()
    door.wait_until_done(2)


def test_folder_that_cannot_be_opened_in_any_way_leaves_the_ring_in_memory(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.mkdtemp", mock.Mock(side_effect=OSError(28, "No space")))
    with mock.patch.object(VisitStore, "open", side_effect=StoreError("it is broken", last_id=7)):
        door.start(SHORT)
        now = time.monotonic()
        door.roll(now)
        assert door.ring(now).id > 7
    found = door.bell.visits()
    assert [each.still for each in found] == [1]
    assert door.bell.still(found[0].id)
    assert door.bell.status()["visits"]["state"] == "memory"
    assert door.problem()


def test_store_that_fails_in_an_unexpected_way_leaves_the_ring_in_memory(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    with mock.patch.object(VisitStore, "_open_index", side_effect=ZeroDivisionError("odd")):
        door.start(SHORT)
        visit = door.ring()
    eventually(lambda: door.bell.visits()[0].state is VisitState.DONE, "it ends")
    assert door.shown()["id"] == visit.id
    assert door.bell.status()["visits"]["state"] == "memory"
    assert "until the daemon stops: " in caplog.text
    assert "ZeroDivisionError: odd" in caplog.text


def test_system_without_threads_still_rings_and_says_what_does_not_work(door: Door) -> None:
    with mock.patch.object(threading.Thread, "start", side_effect=RuntimeError("no threads")):
        door.start()
    assert door.ring().presses == 1
    assert door.shown()["id"] == 1
    assert door.bell.status()["visits"]["state"] == "failed"
    assert door.problem() == "the thread that writes visits does not run"


def test_disk_that_takes_long_to_open_delays_only_the_first_ring(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.start(SHORT)
    for number in (1, 2, 3):
        door.ring()
        door.wait_until_done(number)
    assert door.bell.stop(GUARD)
    goes_on, opened = threading.Event(), VisitStore.open

    def open_slowly(store: VisitStore) -> None:
        assert goes_on.wait(GUARD)
        opened(store)

    monkeypatch.setattr(recorder, "_OPENING", 0.2)
    monkeypatch.setattr(VisitStore, "open", open_slowly)
    door.bell = door.make()
    door.start()
    first = door.ring().id
    for _ in range(20):
        assert door.bell.status()["visits"]["count"] == 0
        assert door.ring().id == first
    goes_on.set()
    eventually(lambda: [each.id for each in door.bell.visits()] == [4, 3, 2, 1], "it is open")
    eventually(lambda: (row := door.bell.store.visit(4)) and row.presses == 21, "it is written")


def test_many_rings_that_cannot_be_written_take_bounded_memory(door: Door) -> None:
    door.start(LONG._replace(after=1.0))
    now = time.monotonic()
    with mock.patch.object(VisitStore, "begin", side_effect=StoreError("no")):
        for number in range(100):
            door.ring(now - 500 + 5 * number)
        assert len(door.bell.recorder.in_memory()) <= 10
        assert door.bell.visits()[0].id == 100


def test_without_a_folder_visits_are_in_a_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    caplog.set_level(logging.INFO)
    door = Door(None).start(SHORT)
    now = time.monotonic()
    door.roll(now)
    door.ring(now)
    assert door.wait_until_done().frames
    assert door.bell.status()["visits"]["state"] == "memory"
    assert [oct(each.stat().st_mode & 0o777) for each in tmp_path.iterdir()] == ["0o700"]
    assert door.bell.stop(GUARD)
    assert not list(tmp_path.iterdir())
    text = "visits are kept only until the daemon stops: there is no STATE_DIRECTORY"
    assert caplog.text.count(text) == 1


def test_second_daemon_in_a_folder_keeps_its_visits_elsewhere(door: Door) -> None:
    door.start()
    door.roll(time.monotonic())
    door.ring()
    eventually(lambda: door.bell.store.still(1), "it is written")
    second = Door(door.folder).start()
    try:
        assert second.ring().id > 1
        assert second.bell.status()["visits"]["state"] == "memory"
        assert "another doorbelld keeps its visits there" in second.problem()
        assert [each.id for each in door.bell.visits()] == [1]
    finally:
        assert second.bell.stop(GUARD)


def test_limits_of_a_reload_apply_at_once(door: Door) -> None:
    door.start(SHORT)
    for number in (1, 2):
        door.roll(time.monotonic(), size=20_000)
        door.ring()
        door.wait_until_done(number)
    door.bell.reconfigure(BellSettings(SHORT, space=1_500_000, button=None))
    eventually(lambda: [each.id for each in door.bell.visits()] == [2], "the older one is deleted")
    assert door.bell.status()["visits"]["space"] == 1_500_000
    door.bell.reconfigure(BellSettings(SHORT._replace(before=1.0), button=None))
    door.roll(time.monotonic())
    door.ring()
    assert door.wait_until_done(3).before == pytest.approx(1.0, abs=0.1)


def keep_a_ring(door: Door) -> None:
    """Start, and ring once; return when the visit is on the disk alone."""
    door.start(SHORT)
    door.roll(time.monotonic(), size=20_000)
    door.ring()
    door.wait_until_done(1)
    eventually(lambda: not door.bell.recorder.in_memory(), "it is on the disk alone")


def test_ring_that_a_reload_deletes_is_shown_no_more(door: Door) -> None:
    keep_a_ring(door)
    assert door.shown()["id"] == 1
    door.bell.reconfigure(BellSettings(SHORT, space=1, button=None))
    eventually(lambda: door.bell.state()["visit"] is None, "no page shows it any more")
    assert door.bell.visits() == []


def test_ring_that_makes_room_for_another_visit_is_shown_no_more(door: Door) -> None:
    keep_a_ring(door)
    door.bell.reconfigure(BellSettings(LONG, button=None))
    door.bell.move(time.monotonic())
    eventually(lambda: door.bell.store.visit(2), "the next visit is begun on the disk")
    make_room = mock.Mock(side_effect=lambda: door.bell.store._make_room(1, is_refused=True))
    door.bell.recorder.do(make_room)
    eventually(lambda: door.bell.visit(1) is None, "it makes room for the other")
    eventually(lambda: door.bell.state()["visit"] is None, "no page shows it any more")
    assert door.bell.status()["visits"]["open"], "the other visit goes on"


def test_status_says_how_everything_is(door: Door) -> None:
    door.start()
    found = door.bell.status()
    assert found["visits"] == {
        "state": "ok",
        "detail": "",
        "since": None,
        "count": 0,
        "bytes": 0,
        "space": 1_000_000_000,
        "days": 30.0,
        "open": False,
        "ignore": [],
        "motion": {"detail": "", "looks": 0, "state": "off"},
    }
    assert list(found["shutter"]) == ["closed", "since", "detail"]
    assert found["bell"] == {"state": "off", "detail": "", "devices": []}
    door.ring()
    assert door.bell.status()["visits"]["open"]


def test_nothing_is_written_while_nothing_happens(door: Door) -> None:
    door.start(SHORT)
    door.ring()
    door.wait_until_done()
    eventually(lambda: not door.bell.recorder._has_work, "rest")
    assert door.folder
    folder = door.folder / "visits"

    def files_after_a_round() -> list[tuple[str, int, int]]:
        done = threading.Event()
        door.bell.recorder.do(done.set)
        assert done.wait(GUARD)
        found = [(each.name, each.stat()) for each in sorted(folder.iterdir())]
        return [(name, each.st_mtime_ns, each.st_size) for name, each in found]

    before = files_after_a_round()
    for _ in range(3):
        assert files_after_a_round() == before
