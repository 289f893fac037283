from __future__ import annotations

import errno
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from doorbelld.visits import film as film_module
from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import DAMAGED, Kind, StoreError, VisitState
from tests.support import visits
from tests.support.pictures import jpeg


def reopen(store: VisitStore) -> None:
    """Open it again as if the process had been killed."""
    for writer in store._writers.values():
        writer.abandon()
    store._writers.clear()
    store.close()
    store.open()


def films(store: VisitStore) -> dict[int, list[bytes]]:
    """Return the pictures of all films."""
    found = {}
    for visit in store.visits():
        film = store.film(visit.id)
        if film:
            with film:
                found[visit.id] = [film.read(number) for number in range(len(film.frames))]
                assert visit.frames == len(film.frames)
    return found


def test_visit_is_kept_with_still_and_film(store: VisitStore) -> None:
    number = visits.record(store)
    (visit,) = store.visits()
    assert visit == store.visit(number) == store.newest_ring()
    assert (visit.state, visit.frames, visit.still) == (VisitState.DONE, 30, 1)
    assert (visit.kind, visit.source, visit.presses) == (Kind.RING, "button", 1)
    assert visit.before == pytest.approx(2)
    assert visit.seconds == pytest.approx(2.9)
    assert visit.at == visit.pressed_at == pytest.approx(time.time(), abs=10)
    assert visit.until == pytest.approx(visit.at + 1)
    assert store.still(number) == jpeg(3)
    film = store.film(number)
    assert film
    with film:
        assert [film.read(each) for each in range(30)] == [jpeg(each) for each in range(30)]
        assert film.frames[0].moment == pytest.approx(-2)
        assert film.frames[20].moment == pytest.approx(0)
    assert store.totals().count == 1
    assert store.totals().bytes == visit.bytes == film.bytes + len(jpeg(3))


def test_files_can_be_read_by_the_service_alone(store: VisitStore) -> None:
    visits.record(store)
    assert store.folder.stat().st_mode & 0o777 == 0o700
    for path in store.folder.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_files_that_root_makes_belong_to_the_service(store: VisitStore) -> None:
    if os.geteuid() != 0:
        return  # Only root can make files for others.
    visits.record(store)
    store.close()
    for path in store.folder.iterdir():
        os.chown(path, 1234, 1235)
    reader = VisitStore(store.folder, space=0, days=0)
    reader.open_to_read()
    reader.visits()
    assert {path.stat().st_uid for path in store.folder.iterdir()} == {1234}
    reader.close()
    store.open()
    store.answer(1)
    assert {path.stat().st_uid for path in store.folder.iterdir()} == {1234}


def test_page_of_visits(store: VisitStore) -> None:
    kinds = [Kind.RING, Kind.MOTION, Kind.RING, Kind.MOTION]
    numbers = [visits.record(store, 1, kind) for kind in kinds]

    def ids(before: int | None = None, limit: int = 50, kind: Kind | None = None) -> list[int]:
        return [visit.id for visit in store.visits(before, limit, kind)]

    assert numbers == [1, 2, 3, 4]
    assert ids() == [4, 3, 2, 1]
    assert ids(before=3) == [2, 1]
    assert ids(before=10**30) == [4, 3, 2, 1]
    assert ids(before=-(10**30)) == []
    assert ids(limit=2) == [4, 3]
    assert ids(limit=-1) == []
    assert ids(kind=Kind.MOTION, before=4) == [2]
    newest = store.newest_ring()
    assert newest
    assert newest.id == 3
    assert store.visit(10**30) is store.visit(-1) is store.visit(5) is None


def test_presses_and_reason_change(store: VisitStore) -> None:
    number, at = store.reserve(), time.monotonic()
    visit = store.begin(number, Kind.RING, "http", at)
    store.set_reason(number, "silent")
    changed = store.press(number, at + 2, 3)
    assert changed
    assert (changed.kind, changed.source, changed.presses) == (Kind.RING, "http", 3)
    assert (changed.reason, changed.still) == ("silent", 0)
    assert changed.pressed_at == pytest.approx(visit.at + 2)
    with_still = store.save_still(number, jpeg(1))
    assert with_still
    assert (with_still.reason, with_still.still) == ("", 1)
    again = store.save_still(number, jpeg(2))
    assert again
    assert again.still == 2
    assert store.still(number) == jpeg(2)
    assert store.press(number + 1, at, 2) is None


def test_first_answer_of_several_at_the_same_moment_counts(store: VisitStore) -> None:
    number = visits.record(store)
    barrier = threading.Barrier(8)
    answers = []

    def answer() -> None:
        barrier.wait()
        answers.append(store.answer(number))

    threads = [threading.Thread(target=answer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({visit.answered for visit in answers if visit}) == 1
    assert answers[0] == store.visit(number)
    assert store.answer(number + 1) is None


def test_id_is_never_used_again(store: VisitStore) -> None:
    first, second = visits.record(store), visits.record(store)
    assert store.delete(second)
    assert not store.delete(second)
    reopen(store)
    assert [visit.id for visit in store.visits()] == [first]
    assert visits.record(store) == second + 1
    assert store.delete_all() == 2
    assert visits.files(store.folder) == []
    reopen(store)
    assert visits.record(store) == second + 2


def test_ids_count_on_where_the_folder_cannot_be_opened(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    store = VisitStore(file, space=1, days=1, after=7)
    with pytest.raises(StoreError, match=f"^{file}: ") as caught:
        store.open()
    assert caught.value.last_id == 7
    assert store.reserve() == 8
    store.follow_clock()
    with pytest.raises(StoreError, match="closed"):
        store.visits()


def test_second_store_in_the_same_folder_is_refused(store: VisitStore, folder: Path) -> None:
    number = visits.begin(store)
    second = VisitStore(folder, space=10**9, days=30)
    with pytest.raises(StoreError, match="another doorbelld") as caught:
        second.open()
    assert caught.value.last_id == number
    second.open_to_read()  # as commands do
    assert [visit.id for visit in second.visits()] == [number]
    assert second.still(number) == jpeg(3)
    with pytest.raises(StoreError):
        second.delete(number)
    second.close()
    assert store.visit(number)


def test_nothing_is_written_while_nothing_happens(store: VisitStore) -> None:
    number = visits.record(store)
    index = {path: path.stat().st_mtime_ns for path in store.folder.iterdir()}
    for _ in range(3):
        store.follow_clock()
        store.enforce()
        store.visits()
        store.totals()
        store.answer(number + 1)
    assert {path: path.stat().st_mtime_ns for path in store.folder.iterdir()} == index


# After a crash


def test_visit_that_was_open_is_cut_to_its_last_whole_picture(store: VisitStore) -> None:
    number = visits.begin(store, 25)
    with (store.folder / f"{number}.mjpeg").open("ab") as file:
        file.write(jpeg(1) + jpeg(2) + jpeg(3)[:-1])  # of which the index knows nothing
    reopen(store)
    visit = store.visit(number)
    assert visit
    assert (visit.state, visit.frames) == (VisitState.INTERRUPTED, 27)
    assert visit.until == pytest.approx(visit.at + 0.6)
    assert visit.seconds == pytest.approx(2.6)
    assert films(store)[number][-3:] == [jpeg(24), jpeg(1), jpeg(2)]
    assert (store.folder / f"{number}.mjpeg").stat().st_size == visit.bytes - len(jpeg(3))
    reopen(store)
    assert store.visit(number) == visit


def test_visit_that_was_open_without_a_film_is_kept(store: VisitStore) -> None:
    number = store.reserve()
    store.begin(number, Kind.RING, "button", time.monotonic())
    store.set_reason(number, "unreachable")
    reopen(store)
    visit = store.visit(number)
    assert visit
    assert (visit.state, visit.still, visit.reason) == (VisitState.INTERRUPTED, 0, "unreachable")
    assert visit.until == visit.at


def test_still_of_which_the_index_knows_nothing_is_kept(store: VisitStore) -> None:
    number = store.reserve()
    store.begin(number, Kind.RING, "button", time.monotonic())
    (store.folder / f"{number}.jpg").write_bytes(jpeg(7))
    (store.folder / f"{number}.jpg.new").write_bytes(jpeg(8)[:100])
    reopen(store)
    visit = store.visit(number)
    assert visit
    assert (visit.still, visit.bytes) == (1, len(jpeg(7)))
    assert visits.files(store.folder) == [f"{number}.jpg"]


@pytest.mark.parametrize("left", [b"", jpeg(1)[:-2]])
def test_lost_still_is_taken_from_the_film(store: VisitStore, left: bytes) -> None:
    number = visits.begin(store)
    (store.folder / f"{number}.jpg").write_bytes(left)
    done = visits.record(store)
    (store.folder / f"{done}.jpg").unlink()
    reopen(store)
    for each in (number, done):
        visit = store.visit(each)
        assert visit
        assert visit.still == 1
        # Of the second before the press, all are of one size.
        assert store.still(each) in [jpeg(picture) for picture in range(10, 21)]


def test_visit_whose_film_is_gone_keeps_its_still(store: VisitStore) -> None:
    number = visits.record(store)
    (store.folder / f"{number}.mjpeg").unlink()
    reopen(store)
    visit = store.visit(number)
    assert visit
    assert (visit.frames, visit.bytes, visit.still) == (0, len(jpeg(3)), 1)
    assert store.film(number) is None


def test_visit_whose_files_are_gone_is_gone(store: VisitStore) -> None:
    first, second = visits.record(store), visits.record(store)
    for path in store.folder.glob(f"{first}.*"):
        path.unlink()
    reopen(store)
    assert [visit.id for visit in store.visits()] == [second]


def test_files_of_a_deleted_visit_are_deleted_and_foreign_ones_stay(store: VisitStore) -> None:
    visits.record(store)
    number = visits.record(store)
    store.delete(number)
    foreign = ["01.jpg", "1.jpeg", "1.mjpeg.bak", "notes.txt", "x2.jpg", "\u0662.jpg", "-2.mjpeg"]
    for name in (*foreign, f"{number}.mjpeg", f"{number}.jpg"):
        (store.folder / name).write_bytes(jpeg())
    (store.folder / "77.mjpeg").mkdir()
    (store.folder / "78.jpg").symlink_to("notes.txt")
    reopen(store)
    assert visits.files(store.folder) == sorted(
        ["1.jpg", "1.mjpeg", *foreign, "77.mjpeg", "78.jpg"]
    )
    assert [visit.id for visit in store.visits()] == [1]


def test_visit_of_which_only_the_files_could_not_be_deleted_stays_deleted(
    store: VisitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = visits.record(store)
    with monkeypatch.context() as patched:
        patched.setattr(store._files, "remove_all", lambda _: None)  # killed in this moment
        store.delete(number)
    assert visits.files(store.folder) == [f"{number}.jpg", f"{number}.mjpeg"]
    reopen(store)
    assert store.visits() == []
    assert visits.files(store.folder) == []


def test_film_of_which_the_power_failure_lost_the_row_is_found(store: VisitStore) -> None:
    visits.record(store)
    pictures = [jpeg(each) for each in range(12)]
    (store.folder / "5.mjpeg").write_bytes(b"".join(pictures) + jpeg(1)[:50])
    (store.folder / "6.mjpeg").write_bytes(jpeg(1)[:50])  # nothing whole
    reopen(store)
    assert films(store)[5] == pictures
    visit = store.visit(5)
    assert visit
    assert (visit.state, visit.source, visit.still) == (VisitState.INTERRUPTED, "", 1)
    assert visit.until == pytest.approx(time.time(), abs=10)
    assert visits.files(store.folder) == ["1.jpg", "1.mjpeg", "5.jpg", "5.mjpeg"]
    assert store.reserve() == 7


@pytest.mark.parametrize("damage", ["rubbish", "hole", "missing"])
def test_lost_index_is_made_again_from_the_files(
    store: VisitStore, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    for kind in (Kind.RING, Kind.MOTION, Kind.RING):
        visits.record(store, 20, kind)
    (store.folder / "notes.txt").touch()
    before = films(store)
    store.close()
    index = store.folder / "index.sqlite"
    if damage == "rubbish":
        index.write_bytes(b"rubbish" * 1000)
    elif damage == "hole":
        size = index.stat().st_size
        os.truncate(index, 4096)
        os.truncate(index, size)
    else:
        index.unlink()
    with caplog.at_level(logging.WARNING):
        store.open()
    assert films(store) == before
    assert {visit.state for visit in store.visits()} == {VisitState.DONE}
    assert store.reserve() > 1000  # Some ids may have been used that are not known any more.
    assert (store.folder / "index.damaged-1.sqlite").exists() == (damage != "missing")
    assert len(caplog.records) == (damage != "missing")
    known = store.visits()
    reopen(store)
    assert store.visits() == known
    assert len(caplog.records) == (damage != "missing")


@pytest.mark.parametrize("is_opened_again", [True, False])
def test_index_that_is_found_damaged_later_is_made_again(
    store: VisitStore, is_opened_again: bool
) -> None:
    for _ in range(40):
        visits.record(store, 20)
    before = films(store)
    frames = store._index.frames(1)
    store.close()
    index = store.folder / "index.sqlite"
    with index.open("r+b") as file:  # every page of frames, which open() does not read
        data = file.read()
        for at in range(4096, len(data), 4096):
            if frames in data[at : at + 4096]:
                file.seek(at)
                file.write(bytes(4096))
    store.open()
    assert films(store) == before  # from the files themselves
    if is_opened_again:
        reopen(store)
    number = visits.record(store)
    assert (store.folder / "index.damaged-1.sqlite").exists()
    found = films(store)
    assert len(found.pop(number)) == 30
    assert found == before


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE visits SET kind = 'parcel' WHERE id = 2",
        "UPDATE visits SET state = NULLIF('x', '') WHERE id = 2",
        "UPDATE visits SET at = 'yesterday' WHERE id = 2",
        "UPDATE visits SET pressed_at = 9e999 WHERE id = 2",
        "UPDATE visits SET until = x'00' WHERE id = 2",
        "UPDATE visits SET source = CAST(x'62ff' AS TEXT) WHERE id = 2",
    ],
)
def test_row_that_makes_no_sense_counts_as_damage(store: VisitStore, damage: str) -> None:
    for _ in range(3):
        visits.record(store, 20)
    before = films(store)
    store._index._write((damage, ()))
    with pytest.raises(StoreError, match="damaged") as caught:
        store.visits()
    assert caught.value.reason == DAMAGED
    reopen(store)
    assert films(store) == before
    visits.record(store)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE sqlite_sequence SET seq = 9223372036854775807",
        "UPDATE sqlite_sequence SET seq = 'many'",
        "UPDATE visits SET id = 9223372036854775807 WHERE id = 2",
        "UPDATE visits SET id = -2 WHERE id = 3",
        "DROP TABLE frames",
        "ALTER TABLE visits RENAME TO visitors",
        "ALTER TABLE visits RENAME COLUMN until TO ended",
    ],
)
def test_index_without_sense_is_made_again(store: VisitStore, damage: str) -> None:
    for _ in range(3):
        visits.record(store, 20)
    before = films(store)
    store.close()
    connection = sqlite3.connect(store.folder / "index.sqlite")
    connection.execute(damage)
    connection.commit()
    connection.close()
    store.open()
    assert films(store) == before
    assert 3 < visits.record(store) < 10_000
    assert store.enforce() == 0


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM boots",
        "UPDATE boots SET number = 7, boot = 'earlier'",
        "DELETE FROM sqlite_sequence",
        "DELETE FROM frames",
    ],
)
def test_rows_that_were_changed_by_hand_cost_no_visit(store: VisitStore, change: str) -> None:
    for _ in range(3):
        visits.record(store, 20)
    store.close()
    connection = sqlite3.connect(store.folder / "index.sqlite")
    connection.execute(change)
    connection.commit()
    connection.close()
    store.open()
    assert store.enforce() == 0
    assert visits.record(store) == 4
    assert [visit.id for visit in store.visits()] == [4, 3, 2, 1]


def test_log_of_another_index_costs_no_visit(store: VisitStore, tmp_path: Path) -> None:
    """It has used more ids, so the films here look like those of visits that were deleted."""
    for _ in range(3):
        visits.record(store, 20)
    before = films(store)
    store.close()
    other = VisitStore(tmp_path / "other", space=10**9, days=30)
    other.open()
    for _ in range(5):
        visits.record(other, 20)
    for number in range(1, 4):
        other.delete(number)
    log = (other.folder / "index.sqlite-wal").read_bytes()
    other.close()
    (store.folder / "index.sqlite-wal").write_bytes(log)
    store.open()
    assert films(store) == before
    assert (store.folder / "index.damaged-1.sqlite").exists()
    assert visits.record(store) > 5


def test_index_that_a_power_failure_has_emptied_is_made_again(store: VisitStore) -> None:
    for _ in range(3):
        visits.record(store, 20)
    store.delete(3)
    before = films(store)
    store.close()
    os.truncate(store.folder / "index.sqlite", 0)
    store.open()
    assert films(store) == before
    assert {visit.state for visit in store.visits()} == {VisitState.DONE}
    assert store.reserve() > 1000, "an id may have been used before"


def test_ids_are_not_used_again_after_the_index_was_damaged(store: VisitStore) -> None:
    for _ in range(3):
        visits.record(store)
    store.delete_all()
    store.close()
    (store.folder / "index.sqlite").write_bytes(b"rubbish" * 1000)
    store.open()
    assert store.reserve() > 1000


@pytest.mark.parametrize("digits", [13, 15, 16, 18])
def test_file_with_a_huge_number_is_foreign(store: VisitStore, digits: int) -> None:
    name = f"{digits * '9'}.jpg"
    visits.record(store)
    (store.folder / name).write_bytes(jpeg())
    reopen(store)
    assert visits.record(store) == 2
    assert name in visits.files(store.folder)


def directory(path: Path) -> None:
    path.mkdir()


def endless_link(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [directory, os.mkfifo, endless_link])
@pytest.mark.parametrize("name", ["2.mjpeg", "2.jpg", "2.jpg.new", "9.jpg.new", "9.mjpeg"])
def test_foreign_file_with_the_name_of_a_visit_costs_no_other(
    store: VisitStore, make: Callable[[Path], None], name: str
) -> None:
    visits.record(store)
    visits.begin(store)
    path = store.folder / name
    path.unlink(missing_ok=True)
    make(path)
    reopen(store)
    assert [visit.id for visit in store.visits()] == [2, 1]
    assert store.visits()[0].state is VisitState.INTERRUPTED
    assert visits.record(store) == 3
    reopen(store)
    assert [visit.id for visit in store.visits()] == [3, 2, 1]


def test_film_that_cannot_be_read_costs_no_other(
    store: VisitStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    visits.record(store)
    number = visits.begin(store)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(film_module, "find_frames", fail)
        reopen(store)
    assert [visit.state for visit in store.visits()] == [VisitState.INTERRUPTED, VisitState.DONE]
    (record,) = caplog.records
    assert record.getMessage().startswith(f"visit {number} cannot be repaired: ")
    assert len(films(store)[number]) == 30


def test_file_that_cannot_be_deleted_keeps_no_other(
    store: VisitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        visits.record(store)
    unlink = Path.unlink

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        if path.name == "1.mjpeg":
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(path))
        unlink(path, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        with pytest.raises(StoreError, match=r"1\.mjpeg: Operation not permitted"):
            store.delete_all()
    assert visits.files(store.folder) == ["1.mjpeg"]
    assert store.totals().count == 0
    reopen(store)
    assert visits.files(store.folder) == []


def test_film_that_has_lost_its_end_is_read_as_far_as_it_goes(store: VisitStore) -> None:
    number = visits.record(store)
    path = store.folder / f"{number}.mjpeg"
    os.truncate(path, path.stat().st_size - 1)
    film = store.film(number)
    assert film
    with film:
        assert len(film.frames) == 29
        assert film.read(28) == jpeg(28)
        assert film.bytes < path.stat().st_size
    os.truncate(path, 10)
    assert store.film(number) is None


def test_film_that_the_disk_has_not_confirmed_keeps_its_pictures(
    store: VisitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, at = store.reserve(), time.monotonic()
    store.begin(number, Kind.RING, "button", at)
    writer = store.film_writer(number, at)
    for frame in visits.frames(30, at + 2):
        writer.append(frame)

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(StoreError, match="Input/output error"):
            store.finish(number, at + 3)
    assert len(films(store)[number]) == 30
    assert store.visits()[0].state is VisitState.DONE


@pytest.mark.parametrize(
    ("make", "why"),
    [(directory, "Is a directory"), (os.mkfifo, "not a regular file"), (endless_link, "not a")],
)
@pytest.mark.parametrize("end", ["-wal", "-shm"])
def test_file_beside_the_index_that_is_none_is_named(
    store: VisitStore, make: Callable[[Path], None], why: str, end: str
) -> None:
    visits.record(store)
    store.close()
    path = store.folder / f"index.sqlite{end}"
    make(path)
    with pytest.raises(StoreError, match=f"^{path}: .*{why}"):
        store.open()
    assert os.path.lexists(path)


@pytest.mark.parametrize(
    ("make", "why"),
    [(directory, "Is a directory"), (os.mkfifo, "not a regular file"), (endless_link, "not a")],
)
def test_index_that_is_no_file_is_left_as_it_is(
    store: VisitStore, make: Callable[[Path], None], why: str
) -> None:
    number = visits.record(store)
    store.close()
    path = store.folder / "index.sqlite"
    path.unlink()
    make(path)
    with pytest.raises(StoreError, match=why) as caught:
        store.open()
    assert caught.value.last_id == number
    assert os.path.lexists(path)
    with pytest.raises(StoreError, match="not a regular file"):
        store.open_to_read()


def test_folder_that_is_none_is_named_with_what_helps(tmp_path: Path) -> None:
    folder = tmp_path / "visits"
    for make in (Path.touch, endless_link):
        make(folder)
        with pytest.raises(StoreError, match=f"^{folder}: it is not a folder, .*; move it away$"):
            VisitStore(folder, space=0, days=0).open()
        folder.unlink()


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
def test_index_that_may_not_be_written_is_named_with_the_reason(
    store: VisitStore, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    store.close()
    path, opened = store.folder / f"index.sqlite{end}", os.open

    def refuse(name: Path, flags: int, *mode: int) -> int:
        if name == path and flags & os.O_RDWR:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(name, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError, match=f"^{path}: Read-only file system$"):
        store.open()
