"""Archive: a backup of configuration and visits in one file, back from it, and visits as files.

A backup is a plain tar file, which any tar can read: pictures do not get smaller by compression.
It is made while the daemon runs, from a copy of the index of one moment, with each film as far as
that copy knows it. All functions raise StoreError.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from doorbelld.system import files
from doorbelld.visits.film import Film
from doorbelld.visits.index import VisitIndex
from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import DAMAGED, StoreError, Visit

_MARK = "doorbelld-backup-1"
"""The first name in a backup, with the version of its format."""

_ANY_MARK = re.compile(r"doorbelld-backup-[0-9]+")
_CONFIGURATION = "configuration"
_STATE = "state"
_VISITS = "state/visits"
_VISIT = re.compile(r"state/visits/(index\.sqlite|[1-9][0-9]{0,17}\.(mjpeg|jpg))")
_NAME = re.compile(rf"({_CONFIGURATION}|{_STATE})(/[^/\x00-\x1f\x7f\ud800-\udfff]+){{1,8}}")

_MOST_FILES = 200_000
_BLOCK = 512
_CHUNK = 1 << 20

_STAGE = ".restore-"
"""How the name of the folder begins in which a restore puts everything first."""

_NEW, _BEFORE = "new", "before"
"""The folders in it, for what is in the backup and for what that replaces."""


# Backup


def backup(state: Path, configuration: Path, target: Path) -> None:
    """Write the files of both folders to a new file that only its owner can read.

    An older file with this name is replaced once the new one is whole. A pipe or a device is
    written as it is.
    """
    with _explained(target):
        if target.is_symlink() or (target.exists() and not target.is_file()):
            with target.open("wb") as stream:
                write(state, configuration, stream)
            return
        try:
            descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
        except OSError as error:
            error.filename = str(target)  # The other name is only ours.
            raise
        new = Path(name)  # mode 0600, because there are secrets in it
        try:
            with os.fdopen(descriptor, "wb") as file:
                write(state, configuration, file, {new, target})
                file.flush()
                os.fsync(descriptor)
            new.replace(target)
        except BaseException:
            new.unlink(missing_ok=True)
            raise


def write(
    state: Path, configuration: Path, file: BinaryIO, left_out: set[Path] | None = None
) -> None:
    """Write a backup to a stream."""
    left_out = {path.absolute() for path in left_out or ()}
    visits = state / "visits"
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(_member(_MARK, 0, 0o600, time.time()))
        for name, folder, other in (
            (_CONFIGURATION, configuration, state),
            (_STATE, state, configuration),
        ):
            for path in _regular_files(folder, {visits.absolute(), other.absolute()}):
                if path.absolute() not in left_out:
                    _add(tar, path, f"{name}/{path.relative_to(folder)}")
        if (visits / "index.sqlite").exists():
            _add_visits(tar, visits)


def _regular_files(folder: Path, without: set[Path]) -> Iterator[Path]:
    """Yield the files in a folder and below, but not those in some other folders.

    There are no links, sockets or unfinished restores among them.
    """
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(
            each
            for each in folders
            if not each.startswith(_STAGE) and Path(base, each).absolute() not in without
        )
        for name in sorted(names):
            path = Path(base, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _add_visits(tar: tarfile.TarFile, folder: Path) -> None:
    def add(path: Path, size: int | None = None) -> None:
        _add(tar, path, f"{_VISITS}/{path.name}", size)

    with tempfile.TemporaryDirectory() as temporary:
        copied = Path(temporary, "index.sqlite")
        sizes = _copy_index(folder / "index.sqlite", copied)
        for number, film_bytes, still in sizes:  # Those without any file are deleted by a restore.
            if film_bytes:
                add(folder / f"{number}.mjpeg", film_bytes)
            if still:
                add(folder / f"{number}.jpg")
        add(copied)


def _copy_index(path: Path, copied: Path) -> list[tuple[int, int, int]]:
    """Copy the index, and return what VisitIndex.sizes() says of the copy."""
    try:
        with closing(VisitIndex(path, read_only=True)) as source:
            source.open()
            source.copy_to(copied)
        copied.chmod(0o600)  # SQLite makes it for everyone.
        with closing(VisitIndex(copied, read_only=True)) as index:
            index.open()
            return index.sizes()
    except StoreError as error:
        if error.reason != DAMAGED:
            raise
        raise StoreError(
            f"{path}: the index of visits is damaged; doorbelld makes a new one when it starts:"
            " sudo systemctl restart doorbelld"
        ) from error


def _add(tar: tarfile.TarFile, path: Path, name: str, size: int | None = None) -> None:
    """Add a file, or its first bytes, if it is there."""
    try:
        # The service may have put a link or a pipe there, and this is perhaps root.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return
        raise
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return
        if not _is_file(name):
            raise StoreError(f"{str(path)!r} could not be restored: rename it, or move it away")
        size = found.st_size if size is None else min(size, found.st_size)
        try:
            tar.addfile(_member(name, size, found.st_mode & 0o777, found.st_mtime), file)
        except ValueError as error:
            raise StoreError(f"{path}: it does not fit into a backup: {error}") from error


def _member(name: str, size: int, mode: int, mtime: float) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, mode, int(mtime)
    return member


# Restore


def restore(
    source: Path,
    state: Path,
    configuration: Path,
    check: Callable[[Path], object] = lambda _: None,
) -> None:
    """Replace the visits, and the other files of both folders that are in a backup.

    Everything is unpacked and checked before anything is replaced, and if that fails half way,
    what was there is put back. Files that are not in the backup stay. The daemon must not run.
    ``check`` is called with the folder of the new configuration; if it raises, nothing is replaced.
    """
    with ExitStack() as stack, _explained(source):
        state.mkdir(mode=0o755, parents=True, exist_ok=True)
        configuration.mkdir(mode=0o755, parents=True, exist_ok=True)
        _insist_on_a_folder(state / "visits")
        stack.enter_context(_without_daemon(state / "visits"))
        stages = {
            _STATE: stack.enter_context(_stage(state)),
            _CONFIGURATION: stack.enter_context(_stage(configuration)),
        }
        with source.open("rb") as file:
            _unpack(file, source, stages)
        _check_visits(stages[_STATE] / _NEW / "visits", state / "visits")
        check(stages[_CONFIGURATION] / _NEW)
        _give_to_owners(stages[_STATE] / _NEW, state, state)
        _give_to_owners(stages[_CONFIGURATION] / _NEW, configuration, state)
        _replace_all([(stages[_STATE], state), (stages[_CONFIGURATION], configuration)])


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        text = error.strerror or str(error)
        if isinstance(error, PermissionError):
            text = "only root may do that; try it with sudo"
        raise StoreError(f"{error.filename or path}: {text}") from error


def _insist_on_a_folder(visits: Path) -> None:
    """Raise StoreError if a restore would put the visits on another disk than they are on now."""
    if visits.is_symlink() or os.path.ismount(visits):
        kind = "a link" if visits.is_symlink() else "the root of a disk"
        raise StoreError(
            f"{visits}: it is {kind}, and a restore replaces the folder: remove the link, or"
            " unmount the disk, and copy the visits there after the restore"
        )


@contextmanager
def _without_daemon(visits: Path) -> Iterator[None]:
    """Make sure that no daemon uses the visits, and that none begins to."""
    visits.mkdir(mode=0o700, exist_ok=True)
    try:
        fd = files.lock(visits)
    except BlockingIOError as error:
        raise StoreError(
            f"{visits}: doorbelld uses them; stop it first: sudo systemctl stop doorbelld"
        ) from error
    try:
        yield
    finally:
        os.close(fd)


@contextmanager
def _stage(folder: Path) -> Iterator[Path]:
    """Make a new folder in this one. It stays only if it holds files that could not be put back.

    What is left of a restore that was killed is deleted, but what that has replaced only if this
    one does not fail: it may be all that there is.
    """
    # A link could lead anywhere, and this is perhaps root.
    left = [each for each in folder.glob(f"{_STAGE}*") if not each.is_symlink()]
    for each in left:
        if (each / _NEW).exists():
            shutil.rmtree(each / _NEW)
    stage = Path(tempfile.mkdtemp(dir=folder, prefix=_STAGE))
    try:
        yield stage
    except BaseException:
        for each in (stage, *left):
            if not _has_files(each / _BEFORE):
                shutil.rmtree(each, ignore_errors=True)
        raise
    for each in (stage, *left):
        shutil.rmtree(each, ignore_errors=True)


def _has_files(folder: Path) -> bool:
    return any(path.is_file() for path in folder.rglob("*"))


def _unpack(file: BinaryIO, source: Path, stages: dict[str, Path]) -> None:
    """Unpack a backup into the two new folders. Nothing in it is trusted."""
    count = 0
    for member in _members(file, source):
        count += 1
        if count > _MOST_FILES:
            raise StoreError(f"{source}: there are more than {_MOST_FILES} files in it")
        if count == 1:
            _check_mark(member, source)
            continue
        first, _, rest = member.name.partition("/")
        if member.size > shutil.disk_usage(stages[first]).free:
            raise StoreError(f"{stages[first].parent}: there is no room for {member.name!r}")
        _copy(file, stages[first] / _NEW / rest, member, source)
    if count < 1:
        raise StoreError(f"{source}: it is not a backup of doorbelld")


def _members(file: BinaryIO, source: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the files of a backup, each when the stream is at its first byte.

    tarfile itself would follow what headers say: links, devices, names of any length, holes.
    """
    while True:
        block = file.read(_BLOCK)
        if block == bytes(_BLOCK):
            return
        try:
            member = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.TarError, ValueError) as error:
            text = "it is cut off" if len(block) < _BLOCK else "it is damaged, or no backup"
            raise StoreError(f"{source}: {text}") from error
        member.name = member.name.rstrip("/")
        if member.isdir() and member.size == 0 and _is_folder(member.name):
            continue  # Another tar has packed it.
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.size < 0:
            raise StoreError(f"{source}: {member.name!r} is not a regular file")
        if not (_is_file(member.name) or _ANY_MARK.fullmatch(member.name)):
            raise StoreError(f"{source}: {member.name!r} does not belong into a backup")
        yield member


def _is_folder(name: str) -> bool:
    is_visit = name.startswith(f"{_VISITS}/")
    return name in (_STATE, _CONFIGURATION) or (_is_plain(name) and not is_visit)


def _is_file(name: str) -> bool:
    if name == _VISITS or name.startswith(f"{_VISITS}/"):
        return bool(_VISIT.fullmatch(name))
    return _is_plain(name)


def _is_plain(name: str) -> bool:
    parts = name.split("/")
    is_odd = any(part in (".", "..") or part.startswith(_STAGE) for part in parts)
    return bool(_NAME.fullmatch(name)) and not is_odd


def _check_mark(member: tarfile.TarInfo, source: Path) -> None:
    if not _ANY_MARK.fullmatch(member.name) or member.size:
        raise StoreError(f"{source}: it is not a backup of doorbelld")
    if member.name != _MARK:
        raise StoreError(f"{source}: a newer version of doorbelld has made it; install that first")


def _copy(file: BinaryIO, path: Path, member: tarfile.TarInfo, source: Path) -> None:
    left = member.size
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with path.open("xb") as new:
            path.chmod(member.mode & 0o644 | 0o600)
            while left:
                data = file.read(min(left, _CHUNK))
                if not data:
                    raise StoreError(f"{source}: it is cut off in {member.name!r}")
                new.write(data)
                left -= len(data)
            new.flush()
            os.fsync(new.fileno())
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise StoreError(f"{source}: {member.name!r} is in it twice") from error
    file.read(-member.size % _BLOCK)


def _check_visits(new: Path, old: Path) -> None:
    """Check the visits of the backup as the daemon will at its start; count ids on."""
    new.mkdir(parents=True, exist_ok=True)
    new.chmod(0o700)
    used = 0
    if (old / "index.sqlite").exists():
        before = VisitIndex(old / "index.sqlite", read_only=True)
        with suppress(StoreError):  # If it is damaged, that is perhaps why it is replaced.
            before.open()
            used = before.last_id()
        before.close()
    index = new / "index.sqlite"
    if index.exists():
        index.chmod(0o600)
        VisitIndex(index).check()
    store = VisitStore(new, space=0, days=0, after=used)
    store.open()
    try:
        _read_all(store)
        if any(new.glob("index.damaged-*")):
            raise StoreError(f"{index}: the index of visits is damaged")
    finally:
        store.close()


def _read_all(store: VisitStore) -> None:
    """Raise StoreError if a visit makes no sense."""
    before = None
    while visits := store.visits(before, 200):
        before = visits[-1].id


def _give_to_owners(new: Path, folder: Path, state: Path) -> None:
    """Give the new files to the owners of those that they replace, or else to the service's.

    What everyone may read of the configuration belongs to the owner of that.
    """
    if os.geteuid() != 0 or not new.exists():
        return
    for path in new.rglob("*"):
        old = folder / path.relative_to(new)
        is_secret = not path.stat().st_mode & 0o077
        owner = state.stat() if folder is state or is_secret else folder.stat()
        if folder is not state and old.exists():
            owner = old.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _replace_all(folders: list[tuple[Path, Path]]) -> None:
    """Move everything to its place; if that fails, put back what was there."""
    undo: list[tuple[Path, Path]] = []
    try:
        for stage, folder in folders:
            (stage / _NEW).mkdir(exist_ok=True)
            _move_in(stage / _NEW, folder, stage / _BEFORE, undo, is_top=True)
    except BaseException:
        for moved, place in reversed(undo):
            moved.rename(place)
        raise


def _move_in(
    new: Path,
    place: Path,
    before: Path,
    undo: list[tuple[Path, Path]],
    *,
    is_top: bool = False,
) -> None:
    """Move the files of a folder to another one, and those that they replace to a third one."""
    before.mkdir()
    if not is_top and os.path.lexists(place) and (place.is_symlink() or not place.is_dir()):
        # A link could lead anywhere, and this is perhaps root.
        raise StoreError(f"{place}: it is not a folder; move it away")
    if not place.exists():
        place.mkdir()
        found = new.stat()
        place.chmod(found.st_mode & 0o777)
        os.chown(place, found.st_uid, found.st_gid)
    for each in list(new.iterdir()):
        if each.is_dir() and each.name != "visits":
            _move_in(each, place / each.name, before / each.name, undo)
            continue
        if os.path.lexists(place / each.name):
            (place / each.name).rename(before / each.name)
            undo.append((before / each.name, place / each.name))
        each.rename(place / each.name)
        undo.append((place / each.name, each))


# Export


def export(store: VisitStore, folder: Path) -> int:
    """Copy the pictures of all visits to files with readable names; return how many visits.

    If files of some visits cannot be read, it raises the first error after the last visit.
    """
    count, before, errors = 0, None, list[StoreError]()
    with _explained(folder):
        folder.mkdir(exist_ok=True)
        while visits := store.visits(before):
            for visit in visits:
                errors += _export(store, visit, folder)
            count += len(visits)
            before = visits[-1].id
    if errors:
        raise StoreError(f"{errors[0]}; all that could be read of {count} visits is in {folder}")
    return count


def _export(store: VisitStore, visit: Visit, folder: Path) -> list[StoreError]:
    """Copy the still and the film of a visit; return why they cannot be read."""
    moment = time.strftime("%Y-%m-%d %H.%M.%S", time.localtime(visit.at))
    name = f"{moment} {visit.kind.value} {visit.id}"
    errors = []
    for export_one, end in ((_export_still, "jpg"), (_export_film, "mjpeg")):
        try:
            export_one(store, visit, folder / f"{name}.{end}")
        except StoreError as error:
            errors.append(error)
    return errors


def _export_still(store: VisitStore, visit: Visit, path: Path) -> None:
    still = store.still(visit.id)
    if still:
        with _new_file(path, visit.at) as file:
            file.write(still)


def _export_film(store: VisitStore, visit: Visit, path: Path) -> None:
    film = store.film(visit.id)
    if film:
        with film, _new_file(path, visit.at) as file, suppress(EOFError):
            for number in range(len(film.frames)):  # It may have lost its end.
                file.write(_picture(film, number))


def _picture(film: Film, number: int) -> bytes:
    """Return a picture of a film. What cannot be read is a StoreError, unlike what is written."""
    try:
        return film.read(number)
    except OSError as error:
        raise StoreError(f"{film.path}: {error.strerror}") from error


@contextmanager
def _new_file(path: Path, moment: float) -> Iterator[BinaryIO]:
    """Write a file that has its name once it is whole."""
    new = path.with_name(f".{path.name}.new")
    try:
        with new.open("wb") as file:
            yield file
        os.utime(new, (moment, moment))
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
