from __future__ import annotations

import errno
import io
import os
import shutil
import sqlite3
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doorbelld.visits import archive
from doorbelld.visits.film import Film
from doorbelld.visits.index import VisitIndex
from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import Kind, StoreError, VisitState
from tests.support import visits
from tests.support.pictures import jpeg

MARK = "doorbelld-backup-1"


class House:
    """The folders of a doorbelld."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.configuration = folder / "etc"
        self.store = VisitStore(self.state / "visits", space=10**9, days=30)
        for path, text, mode in (
            ("etc/doorbelld.conf", "[camera]\n", 0o644),
            ("etc/password", "secret\n", 0o600),
            ("etc/conf.d/50-mine.conf", "[visits]\n", 0o644),
            ("state/shutter", "closed\n", 0o600),
            ("state/tls/key.pem", "key\n", 0o600),
        ):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
            (folder / path).chmod(mode)

    def backup(self, target: Path) -> Path:
        archive.backup(self.state, self.configuration, target)
        return target

    def restore(self, source: Path) -> None:
        archive.restore(source, self.state, self.configuration)

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Return contents and mode of all files but the index, which is never byte for byte."""
        return {
            str(path.relative_to(self.state.parent)): (path.read_bytes(), path.stat().st_mode)
            for folder in (self.state, self.configuration)
            for path in folder.rglob("*")
            if path.is_file() and not path.name.startswith("index.sqlite")
        }

    def folders(self) -> set[str]:
        everything = [*self.state.rglob("*"), *self.configuration.rglob("*")]
        return {path.name for path in everything if path.is_dir()}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    found = House(tmp_path / "one")
    found.store.open()
    yield found
    found.store.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[House]:
    """Return another house, which has visits too."""
    found = House(tmp_path / "two")
    (found.configuration / "doorbelld.conf").write_text("[server]\n")
    (found.configuration / "other.pem").write_text("mine\n")
    found.store.open()
    for _ in range(7):
        visits.record(found.store, 3, Kind.MOTION)
    found.store.close()
    yield found
    found.store.close()


def test_backup_made_while_visits_are_recorded_restores_everything(
    house: House, other: House, tmp_path: Path
) -> None:
    done = visits.record(house.store)
    house.store.answer(done)
    number = visits.begin(house.store)
    source = house.backup(tmp_path / "backup.tar")
    known, opened = house.store.visit(done), house.store.visit(number)
    house.store.finish(number, time.monotonic())
    other.restore(source)
    other.store = VisitStore(other.state / "visits", space=10**9, days=30)
    other.store.open()
    assert other.store.visit(done) == known
    visit = other.store.visit(number)
    assert opened
    assert visit
    assert (visit.state, visit.frames) == (VisitState.INTERRUPTED, opened.frames)
    film = other.store.film(number)
    assert film
    with film:
        assert film.read(29) == jpeg(29)
    expected = {**house.files(), "etc/other.pem": (b"mine\n", 0o100644)}
    assert other.files() == expected
    assert not [name for name in other.folders() if name.startswith(".")]
    assert other.store.reserve() == 8, "an id of the visits before was used again"


def test_backup_is_a_tar_that_only_its_owner_can_read(house: House, tmp_path: Path) -> None:
    number = visits.record(house.store)
    target = tmp_path / "backup.tar"
    target.write_text("older")
    target.chmod(0o644)
    house.backup(target)
    assert target.stat().st_mode & 0o777 == 0o600
    with tarfile.open(target, "r:") as tar:
        names = tar.getnames()
        found = tar.extractfile(f"state/visits/{number}.jpg")
        assert found
        assert found.read() == jpeg(3)
    assert names[0] == MARK
    assert sorted(names[1:]) == [
        *("configuration/conf.d/50-mine.conf", "configuration/doorbelld.conf"),
        *("configuration/password", "state/shutter", "state/tls/key.pem"),
        *(f"state/visits/{number}.jpg", f"state/visits/{number}.mjpeg"),
        "state/visits/index.sqlite",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.tar", "one"]


def test_backup_to_a_pipe(house: House, tmp_path: Path) -> None:
    visits.record(house.store)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    thread = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    thread.start()
    house.backup(pipe)
    thread.join()
    with tarfile.open(fileobj=io.BytesIO(read[0])) as tar:
        assert MARK in tar.getnames()


def test_backup_leaves_out_itself_and_what_is_no_file(house: House) -> None:
    target = house.state / "backup.tar"
    house.backup(target)
    (house.configuration / "link.conf").symlink_to("doorbelld.conf")
    os.mkfifo(house.configuration / "pipe")
    house.backup(target)
    with tarfile.open(target, "r:") as tar:
        assert not {"state/backup.tar", "configuration/link.conf"} & set(tar.getnames())


def test_backup_without_room_leaves_the_older_one(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = house.backup(tmp_path / "backup.tar")
    before = target.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(StoreError, match=f"^{target}: No space left on device$"):
        house.backup(target)
    assert target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.tar", "one"]


def test_backup_while_visits_are_deleted_agrees_with_its_index(
    house: House, other: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(6):
        visits.record(house.store, 5)
    copy_to = VisitIndex.copy_to

    def copy_and_delete(index: VisitIndex, target: Path) -> None:
        copy_to(index, target)
        house.store.delete(2)
        house.store.delete(5)

    monkeypatch.setattr(VisitIndex, "copy_to", copy_and_delete)
    other.restore(house.backup(tmp_path / "backup.tar"))
    other.store.open()
    assert [visit.id for visit in other.store.visits()] == [6, 4, 3, 1]
    assert other.store.totals() == house.store.totals()


def test_restore_waits_for_no_daemon_but_says_to_stop_it(house: House, tmp_path: Path) -> None:
    source = house.backup(tmp_path / "backup.tar")
    before = house.files()
    with pytest.raises(StoreError, match="stop it first"):
        house.restore(source)
    assert house.files() == before


def test_film_that_has_lost_its_end_is_backed_up(
    house: House, other: House, tmp_path: Path
) -> None:
    number = visits.record(house.store, 5)
    path = house.store.folder / f"{number}.mjpeg"
    os.truncate(path, path.stat().st_size - 1)
    other.restore(house.backup(tmp_path / "backup.tar"))
    other.store.open()
    film = other.store.film(number)
    assert film
    with film:
        assert [film.read(each) for each in range(4)] == [jpeg(each) for each in range(4)]


def test_visit_whose_film_is_gone_is_backed_up_with_its_still(
    house: House, other: House, tmp_path: Path
) -> None:
    number = visits.record(house.store, 5)
    (house.store.folder / f"{number}.mjpeg").unlink()
    other.restore(house.backup(tmp_path / "backup.tar"))
    other.store.open()
    assert other.store.still(number) == jpeg(3)
    visit = other.store.visit(number)
    assert visit
    assert (visit.frames, visit.still) == (0, 1)


@pytest.mark.parametrize("name", [b"a\nb", b"caf\xe9", b"/".join(9 * [b"deep"])])
def test_file_that_could_not_be_restored_is_named(
    house: House, tmp_path: Path, name: bytes
) -> None:
    path = house.configuration / os.fsdecode(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with pytest.raises(StoreError, match="could not be restored: rename it"):
        house.backup(tmp_path / "backup.tar")
    assert [each.name for each in tmp_path.iterdir()] == ["one"]


def test_index_of_a_newer_version_is_not_backed_up(house: House, tmp_path: Path) -> None:
    visits.record(house.store)
    house.store._index._write(("PRAGMA user_version=2", ()))
    index = house.store.folder / "index.sqlite"
    with pytest.raises(StoreError, match=f"^{index}: .*newer version"):
        house.backup(tmp_path / "backup.tar")


def test_damaged_index_is_said_to_be_mended_by_a_start(house: House, tmp_path: Path) -> None:
    visits.record(house.store)
    house.store.close()
    index = house.store.folder / "index.sqlite"
    index.write_bytes(b"x" * 8192)
    with pytest.raises(
        StoreError, match=r"is damaged; .* sudo systemctl restart doorbelld$"
    ) as told:
        house.backup(tmp_path / "backup.tar")
    assert str(told.value).startswith(f"{index}: ")
    assert list(tmp_path.glob("*backup*")) == []
    house.store.open()
    house.backup(tmp_path / "backup.tar")


def test_folder_that_is_missing_is_named_as_it_was_given(house: House, tmp_path: Path) -> None:
    target = tmp_path / "no" / "such" / "backup"
    with pytest.raises(StoreError) as told:
        house.backup(target)
    assert str(told.value) == f"{target}: No such file or directory"


@pytest.mark.parametrize("packed", [0o600, 0o644])
def test_restored_index_is_for_its_owner_alone(
    house: House, other: House, tmp_path: Path, packed: int
) -> None:
    visits.record(house.store)
    backup, packed_again = house.backup(tmp_path / "backup.tar"), tmp_path / "again.tar"
    with tarfile.open(backup) as tar, tarfile.open(packed_again, "w") as again:
        assert tar.getmember("state/visits/index.sqlite").mode == 0o600
        for each in tar:
            each.mode = packed
            again.addfile(each, tar.extractfile(each))
    other.restore(packed_again)
    (index,) = other.store.folder.glob("index.sqlite")
    assert index.stat().st_mode & 0o777 == 0o600


# Tar files from elsewhere


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found


def tar_of(path: Path, *members: tarfile.TarInfo, mark: str = MARK) -> Path:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for each in (member(mark), *members):
            tar.addfile(each, io.BytesIO(bytes(each.size)))
    return path


def sized(name: str, size: int) -> tarfile.TarInfo:
    found = member(name)
    found.size = size
    return found


HOSTILE: dict[str, tuple[tarfile.TarInfo, ...]] = {
    "above": (member("configuration/../../evil"),),
    "above the visits": (member("state/visits/../evil"),),
    "absolute": (member("/etc/evil"),),
    "dot": (member("configuration/./evil"),),
    "elsewhere": (member("evil"),),
    "other folder": (member("other/evil"),),
    "folder as a file": (member("state/visits"),),
    "foreign visit": (member("state/visits/x"),),
    "hidden journal": (member("state/visits/index.sqlite-wal"),),
    "id that is a path": (member("state/visits/1/x.jpg"),),
    "id with a zero": (member("state/visits/01.jpg"),),
    "stage": (member("state/.restore-x/before/visits"),),
    "control characters": (member("configuration/a\nb"),),
    "deep": (member("configuration" + "/a" * 20),),
    "symbolic link": (member("configuration/a", tarfile.SYMTYPE, "/etc/passwd"),),
    "through a link": (
        member("configuration/a", tarfile.SYMTYPE, "/etc"),
        member("configuration/a/evil"),
    ),
    "hard link": (member("configuration/a", tarfile.LNKTYPE, "configuration/b"),),
    "device": (member("state/a", tarfile.CHRTYPE),),
    "block device": (member("state/a", tarfile.BLKTYPE),),
    "pipe": (member("state/a", tarfile.FIFOTYPE),),
    "hole": (member("state/a", tarfile.GNUTYPE_SPARSE),),
    "long name": (member("state/a", tarfile.GNUTYPE_LONGNAME),),
    "extended header": (member("state/a", tarfile.XHDTYPE),),
    "twice": (member("state/a"), member("state/a")),
    "file and folder": (member("state/a"), member("state/a/b")),
    "index that is none": (sized("state/visits/index.sqlite", 5000),),
}


def names_below(folder: Path) -> set[str]:
    """Return the paths of all files and folders, without what SQLite leaves when it reads."""
    names = {str(path) for path in folder.rglob("*")}
    return {name for name in names if not name.endswith(("-wal", "-shm"))}


def assert_refused(house: House, source: Path, match: str | None = None) -> None:
    """Check that a restore is refused in one sentence, and has changed nothing."""
    before = house.files()
    everything = names_below(house.state.parents[1])
    with pytest.raises(StoreError, match=match) as caught:
        house.restore(source)
    assert "\n" not in str(caught.value)
    assert house.files() == before
    assert names_below(house.state.parents[1]) == everything
    house.store.open()
    assert house.store.totals().count == 7


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_backup_is_refused_and_nothing_is_changed(
    other: House, tmp_path: Path, kind: str
) -> None:
    good = sized("configuration/doorbelld.conf", 100)
    assert_refused(other, tar_of(tmp_path / "evil.tar", good, *HOSTILE[kind]))


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (cut, "cut off"),
        (lambda data: data[:512], "cut off"),
        (lambda _: b"", "cut off"),
        (lambda _: bytes(1024), "not a backup"),
        (lambda data: b"?" * 600 + data, "damaged, or no backup"),
        (lambda data: data.replace(b"-backup-1", b"-backup-2"), "damaged, or no backup"),
        (lambda _: b"\x1f\x8b" + bytes(2000), "damaged, or no backup"),
    ],
)
def test_damaged_backup_is_refused_and_nothing_is_changed(
    house: House, other: House, tmp_path: Path, change: Callable[[bytes], bytes], match: str
) -> None:
    visits.record(house.store)
    source = house.backup(tmp_path / "backup.tar")
    source.write_bytes(change(source.read_bytes()))
    assert_refused(other, source, match)


def test_backup_of_another_version_or_kind_is_refused(other: House, tmp_path: Path) -> None:
    newer = tar_of(tmp_path / "newer.tar", mark="doorbelld-backup-2")
    assert_refused(other, newer, "newer version")
    other.store.close()
    foreign = tar_of(tmp_path / "foreign.tar", mark="configuration/doorbelld.conf")
    assert_refused(other, foreign, "not a backup of doorbelld")


def test_backup_that_claims_to_be_larger_than_the_disk_is_refused(
    other: House, tmp_path: Path
) -> None:
    source = tmp_path / "bomb.tar"
    claim = sized("state/visits/1.mjpeg", 8 * 2**30 - 1)
    mark = member(MARK).tobuf(tarfile.USTAR_FORMAT)
    source.write_bytes(mark + claim.tobuf(tarfile.USTAR_FORMAT) + bytes(2**20))
    assert_refused(other, source, r"cut off|no room")


def test_index_with_a_program_in_it_is_refused(house: House, other: House, tmp_path: Path) -> None:
    visits.record(house.store)
    house.store._index._write(
        ("CREATE TRIGGER evil AFTER UPDATE ON visits BEGIN DELETE FROM visits; END", ())
    )
    assert_refused(other, house.backup(tmp_path / "backup.tar"), "no index of visits")


@pytest.mark.parametrize("moves", range(1, 9))
def test_restore_that_fails_half_way_puts_back_what_was_there(
    house: House, other: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    visits.record(house.store)
    source = house.backup(tmp_path / "backup.tar")
    rename, count = Path.rename, [0]

    def fail_once(path: Path, target: Path) -> Path:
        count[0] += 1
        if count[0] == moves:
            raise OSError(5, "Input/output error", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    assert_refused(other, source, "Input/output error")


class Killed(BaseException):
    """Stands for the end of the process: nothing is put back."""


@pytest.mark.parametrize("moves", range(1, 9))
def test_what_a_killed_restore_has_replaced_is_kept_until_one_succeeds(
    house: House, other: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    """Check that by the films of the visits from before: there are seven."""
    visits.record(house.store)
    source = house.backup(tmp_path / "backup.tar")
    rename, count = Path.rename, [0]

    def be_killed(path: Path, target: Path) -> Path:
        count[0] += 1
        if count[0] > moves:
            raise Killed
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", be_killed)
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(Killed):
            other.restore(source)
    with pytest.raises(StoreError):
        other.restore(tar_of(tmp_path / "wrong.tar", mark="wrong"))
    assert len(list(other.state.rglob("7.mjpeg"))) == 1
    other.restore(source)
    assert list(other.state.rglob("7.mjpeg")) == []
    assert not [name for name in other.folders() if name.startswith(".")]
    other.store.open()
    assert other.store.totals().count == 1


def test_restore_follows_no_link_that_the_service_has_made(
    house: House, other: House, tmp_path: Path
) -> None:
    source = house.backup(tmp_path / "backup.tar")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (other.state / "tls" / "key.pem").unlink()
    (other.state / "tls").rmdir()
    (other.state / "tls").symlink_to(elsewhere)
    assert_refused(other, source, "tls: it is not a folder")
    assert list(elsewhere.iterdir()) == []


def test_restore_does_not_move_the_visits_to_another_disk(
    house: House, other: House, tmp_path: Path
) -> None:
    """They would lie hidden below a mount, or be lost from sight where a link has led."""
    source = house.backup(tmp_path / "backup.tar")
    folder, disk = other.state / "visits", tmp_path / "disk"
    folder.rename(disk)
    folder.symlink_to(disk)
    assert_refused(other, source, "visits: it is a link, and a restore replaces the folder: ")


def test_restore_to_a_disk_of_its_own_is_refused(
    house: House, other: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = house.backup(tmp_path / "backup.tar")
    with monkeypatch.context() as patched:
        patched.setattr("os.path.ismount", lambda path: path == other.state / "visits")
        assert_refused(other, source, "visits: it is the root of a disk, and a restore ")
    other.store.close()
    other.restore(source)


def test_restore_deletes_nothing_behind_a_link_that_looks_like_its_own(
    house: House, other: House, tmp_path: Path
) -> None:
    source = house.backup(tmp_path / "backup.tar")
    foreign = tmp_path / "foreign"
    (foreign / "new").mkdir(parents=True)
    (foreign / "new" / "file").write_text("root's\n")
    (other.state / ".restore-link").symlink_to(foreign)
    other.restore(source)
    assert (foreign / "new" / "file").read_text() == "root's\n"


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE visits SET kind = 'parcel'",
        "UPDATE visits SET at = 9e999",
        "UPDATE visits SET id = 9223372036854775807",
        "ALTER TABLE frames RENAME TO pictures",
        "DROP TABLE visits",
    ],
)
def test_index_that_makes_no_sense_is_refused(
    house: House, other: House, tmp_path: Path, damage: str
) -> None:
    visits.record(house.store)
    house.store.close()
    connection = sqlite3.connect(house.store.folder / "index.sqlite")
    connection.execute(damage)
    connection.commit()
    connection.close()
    with tarfile.open(tmp_path / "odd.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(member(MARK))
        for path in house.store.folder.iterdir():
            tar.add(path, f"state/visits/{path.name}")
    assert_refused(other, tmp_path / "odd.tar", "damaged")


def test_files_belong_to_the_owners_of_those_before(
    house: House, other: House, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        return  # It is root that restores, and CI runs this as root.
    visits.record(house.store)
    source = house.backup(tmp_path / "backup.tar")
    shutil.rmtree(other.state / "visits")
    os.chown(other.state, 1234, 1235)
    os.chown(other.configuration / "password", 77, 78)
    (other.configuration / "conf.d" / "50-mine.conf").unlink()
    (other.configuration / "conf.d").rmdir()
    other.restore(source)
    restored = [path for path in other.state.rglob("*") if path.name != "tls"]
    assert len(restored) > 5
    for path in restored:
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235), path
    assert (other.configuration / "password").stat().st_uid == 77
    assert (other.configuration / "conf.d" / "50-mine.conf").stat().st_uid == 0
    assert (other.configuration / "conf.d").stat().st_mode & 0o777 == 0o755


# Export


def test_export_writes_files_with_readable_names(
    store: VisitStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    at = 1795718523.0 - time.time() + time.monotonic()  # 2026-11-26 18:42:03 UTC
    number = visits.record(store, 4, at=at)
    other = visits.record(store, 0, Kind.MOTION, at=at + 3600)
    for _ in range(60):
        visits.record(store, 0)
    target = tmp_path / "export"
    assert archive.export(store, target) == 62
    name = f"2026-11-26 19.42.03 ring {number}"
    assert (target / f"{name}.jpg").read_bytes() == jpeg(3)
    assert (target / f"{name}.mjpeg").read_bytes() == b"".join(jpeg(each) for each in range(4))
    assert (target / f"{name}.jpg").stat().st_mtime == pytest.approx(1795718523, abs=2)
    assert (target / f"2026-11-26 20.42.03 motion {other}.jpg").exists()
    assert len(list(target.iterdir())) == 63
    assert archive.export(store, target) == 62
    assert len(list(target.iterdir())) == 63
    monkeypatch.undo()
    time.tzset()


def test_export_without_room_leaves_no_half_file(
    store: VisitStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visits.record(store)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "utime", full)
    with pytest.raises(StoreError, match="No space left"):
        archive.export(store, tmp_path / "export")
    assert list((tmp_path / "export").iterdir()) == []


@pytest.mark.parametrize("name", ["2.jpg", "2.mjpeg"])
def test_export_goes_on_after_a_file_that_cannot_be_read(
    store: VisitStore, tmp_path: Path, name: str
) -> None:
    for _ in range(3):
        visits.record(store, 4)
    path, target = store.folder / name, tmp_path / "export"
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match=f"^{path}: it is not a regular file; all that could be "):
        archive.export(store, target)
    found = sorted(each.name.split()[-1] for each in target.iterdir())
    other = "2.mjpeg" if name == "2.jpg" else "2.jpg"
    assert found == ["1.jpg", "1.mjpeg", other, "3.jpg", "3.mjpeg"]


def test_export_goes_on_after_a_film_on_a_damaged_part_of_the_disk(
    store: VisitStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        visits.record(store, 4)
    read, damaged, target = Film.read, store.folder / "2.mjpeg", tmp_path / "export"

    def read_sectors(film: Film, number: int) -> bytes:
        if film.path == damaged and number > 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(film, number)

    monkeypatch.setattr(Film, "read", read_sectors)
    with pytest.raises(StoreError, match=f"^{damaged}: Input/output error; all that could be read"):
        archive.export(store, target)
    assert sorted(each.name.split()[-1] for each in target.glob("*.mjpeg")) == [
        "1.mjpeg",
        "3.mjpeg",
    ]
    assert len([*target.iterdir()]) == 5
