from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from doorbelld.visits import film as films
from doorbelld.visits.film import Film, FilmFrame
from doorbelld.visits.index import Counts
from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import SPACE, Kind, StoreError
from tests.support import visits
from tests.support.pictures import jpeg, phone_picture


def test_frames_are_the_same_after_they_were_kept() -> None:
    frames = [FilmFrame(0, 700, -5.0), FilmFrame(700, 800, -4.9), FilmFrame(1500, 1, 55.1234)]
    assert films.unpack(films.pack(frames)) == frames
    assert films.unpack(films.pack(frames)[:-1]) == frames[:-1]


def write(folder: Path, data: Sequence[bytes]) -> Path:
    path = folder / "film"
    path.write_bytes(b"".join(data))
    return path


def test_frames_are_found_again(tmp_path: Path) -> None:
    pictures = [jpeg(each) for each in range(10)]
    found = films.find_frames(write(tmp_path, pictures))
    with Film(tmp_path / "film", found) as film:
        assert [film.read(number) for number in range(10)] == pictures
    assert [frame.moment for frame in found] == pytest.approx([each / 10 for each in range(10)])


def test_moments_of_frames_that_are_not_known_continue_those_that_are(tmp_path: Path) -> None:
    path = write(tmp_path, [jpeg(each) for each in range(4)])
    known = [FilmFrame(0, len(jpeg(0)), -1.0), FilmFrame(len(jpeg(0)), len(jpeg(1)), -0.5)]
    found = films.find_frames(path, known)
    assert [frame.moment for frame in found] == pytest.approx([-1, -0.5, 0, 0.5])


@pytest.mark.parametrize("missing", [1, 2, 100, 674])
def test_frame_of_which_a_part_is_missing_is_not_found(tmp_path: Path, missing: int) -> None:
    assert len(jpeg(2)) > missing
    path = write(tmp_path, [jpeg(0), jpeg(1), jpeg(2)[:-missing]])
    assert len(films.find_frames(path)) == 2


def test_known_frame_that_is_cut_off_is_not_found(tmp_path: Path) -> None:
    path = write(tmp_path, [jpeg(0), jpeg(1)[:-1]])
    known = [FilmFrame(0, len(jpeg(0)), 0), FilmFrame(len(jpeg(0)), len(jpeg(1)), 0.1)]
    assert films.find_frames(path, known) == known[:1]


def test_what_follows_rubbish_is_not_found(tmp_path: Path) -> None:
    assert len(films.find_frames(write(tmp_path, [jpeg(0), bytes(50), jpeg(1)]))) == 1
    assert films.find_frames(write(tmp_path, [b"?", jpeg(1)])) == []
    assert films.find_frames(write(tmp_path, [])) == []


def test_thumbnail_in_a_picture_is_no_frame(tmp_path: Path) -> None:
    picture = phone_picture(jpeg(1), jpeg(2), b"")
    found = films.find_frames(write(tmp_path, [picture, picture]))
    assert [(frame.offset, frame.length) for frame in found] == [
        (0, len(picture)),
        (len(picture), len(picture)),
    ]


def test_picture_that_is_cut_off_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path, [jpeg(0)])
    with Film(path, [FilmFrame(0, len(jpeg(0)) + 1, 0)]) as film:
        assert film.frames == []
    with Film(path, [FilmFrame(0, len(jpeg(0)), 0)]) as film:
        os.truncate(path, len(jpeg(0)) - 1)
        with pytest.raises(EOFError):
            film.read(0)


def test_film_is_readable_while_it_is_written_and_after_it_was_deleted(store: VisitStore) -> None:
    number = visits.begin(store, 5)
    film = store.film(number)
    assert film
    with film:
        store.delete(number)
        assert not (store.folder / f"{number}.mjpeg").exists()
        assert film.read(4) == jpeg(4)
        fd = film.open()
        film.close()
        assert os.pread(fd, len(jpeg(0)), 0) == jpeg(0)
        os.close(fd)


def test_deleted_film_is_not_written_again(store: VisitStore) -> None:
    number, at = store.reserve(), time.monotonic()
    store.begin(number, Kind.RING, "button", at)
    writer = store.film_writer(number, at)
    some = visits.frames(10, at)
    for frame in some[:5]:
        writer.append(frame)
    assert store.delete(number)
    for frame in some[5:]:
        writer.append(frame)
    assert store.save_still(number, jpeg()) is None
    assert store.finish(number, at + 1) is None
    writer.close()
    assert visits.files(store.folder) == []


def test_index_is_changed_once_a_second_and_at_the_press(
    store: VisitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    kept: list[int] = []
    add = store._index.add_frames

    def add_frames(
        number: int, part: int, data: bytes, counts: Counts, *, is_last: bool = False
    ) -> bool:
        kept.append(counts.frames)
        return add(number, part, data, counts, is_last=is_last)

    monkeypatch.setattr(store._index, "add_frames", add_frames)
    number, at = store.reserve(), now[0]
    store.begin(number, Kind.RING, "button", at)
    writer = store.film_writer(number, at)
    for count, frame in enumerate(visits.frames(80, at)):
        now[0] = max(at, frame.captured_at)
        writer.append(frame)
        assert len(kept) <= 1 + max(0, count - 20) // 10
    assert kept[0] == 21  # all from before the press, and that of the press
    assert len(kept) == 6
    store.finish(number, now[0])
    assert kept[-1] == 80


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the disk take so many bytes of each picture and no more, while there is a number."""
    found: list[int] = []
    write = os.write

    def write_some(fd: int, data: bytes) -> int:
        if not found:
            return write(fd, data)
        if found[-1]:
            return write(fd, data[: found.pop()])
        found.pop()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", write_some)
    return found


def test_picture_that_does_not_fit_ends_the_film_before_it(
    store: VisitStore, full_disk: list[int]
) -> None:
    number = visits.begin(store, 5)
    writer = store._writers[number]
    full_disk += [0, 100]
    with pytest.raises(StoreError) as caught:
        writer.append(visits.frames(6, 0)[5])
    assert caught.value.reason == SPACE
    writer.append(visits.frames(6, 0)[5])
    store.finish(number, time.monotonic())
    film = store.film(number)
    assert film
    with film:
        assert len(film.frames) == 5
        assert film.path.stat().st_size == film.bytes


def test_oldest_visit_makes_room_for_a_picture_that_the_disk_has_refused(
    store: VisitStore, full_disk: list[int]
) -> None:
    older, newer = visits.record(store), visits.record(store)
    number = visits.begin(store, 5)
    full_disk += [0, 100]
    store._writers[number].append(visits.frames(6, 0)[5])
    store.finish(number, time.monotonic())
    assert [visit.id for visit in store.visits()] == [number, newer]
    assert older < newer
    film = store.film(number)
    assert film
    with film:
        assert film.read(5) == jpeg(5)
        assert film.path.stat().st_size == film.bytes


def test_film_makes_room_for_the_still(store: VisitStore, monkeypatch: pytest.MonkeyPatch) -> None:
    number = visits.begin(store, 5)
    replace = Path.replace

    def refuse(path: Path, target: Path) -> Path:
        if (store.folder / f"{number}.mjpeg").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuse)
    store.save_still(number, jpeg(9))
    visit = store.finish(number, time.monotonic())
    assert visit
    assert (visit.frames, visit.still, visit.bytes) == (0, 2, len(jpeg(9)))
    assert store.still(number) == jpeg(9)
    assert store.film(number) is None
