"""VisitIndex: the table of visits, in SQLite. Only this module knows SQL.

_Database has two connections. Reads have one of their own, so that the page never waits while a
visit is written; in WAL mode neither blocks the other. Each has a lock, because handler threads
come and go: a connection for every thread would cost memory and three open files each, and a query
takes less than a millisecond. A commit does not wait for the disk: only sync() does, mostly without
a lock.

Moments are kept on time.monotonic()'s clock together with the boot that they belong to, and for
each boot how far the system clock was ahead of it. So when the clock is set, one row changes, and
all visits of this boot have the right time.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from doorbelld.system import clock, files
from doorbelld.visits.visit import DAMAGED, SPACE, Kind, StoreError, Visit, VisitState

_SCHEMA = """
CREATE TABLE boots (
    number INTEGER PRIMARY KEY,
    boot TEXT NOT NULL UNIQUE,
    ahead REAL NOT NULL            -- of time.monotonic(): added to a moment, it makes Unix seconds
);
CREATE TABLE visits (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    boot INTEGER NOT NULL REFERENCES boots,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    state TEXT NOT NULL,
    at REAL NOT NULL,
    pressed_at REAL NOT NULL,
    until REAL,
    presses INTEGER NOT NULL DEFAULT 1,
    still INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    answered REAL,
    answered_boot INTEGER REFERENCES boots,
    frames INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0,
    before REAL NOT NULL DEFAULT 0,
    film_bytes INTEGER NOT NULL DEFAULT 0,
    still_bytes INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX visits_by_kind ON visits (kind);
CREATE TABLE frames (              -- apart from the visits, so that a list of these stays small
    visit INTEGER NOT NULL,
    part INTEGER NOT NULL,         -- one for each second while the visit is open, then only one
    data BLOB NOT NULL,
    PRIMARY KEY (visit, part)
) WITHOUT ROWID;
"""

Step = Callable[[sqlite3.Connection], None]

_FIRST_VERSION = 1
_VERSION = 1
"""The version of the tables, which SQLite keeps as user_version."""

_STEPS: dict[int, Step] = {}
"""How an older index is changed to the next version: the key is the version that it has."""

_COLUMNS = (
    "id, boot, kind, source, state, at, pressed_at, until, presses, still, reason, "
    "answered, answered_boot, frames, seconds, before, film_bytes + still_bytes"
)
_KINDS = {kind.value: kind for kind in Kind}
_STATES = {state.value: state for state in VisitState}
_RING = Kind.RING.value
_OPEN = VisitState.OPEN.value

_CACHE_KIB = 256
"""Of each connection. The default of 2 MB would be a third of the memory that visits may take."""

_MOST_PAGES = 4000
_MOST_COMMITS = 300
"""After so many, sync() moves what was written from the log into the file: a few visits. It takes
one more fsync, and the next commit as well. Should nothing call it, SQLite does that itself when
the log has so many pages."""

_BUSY = 5.0
"""Seconds to wait for another process, such as a backup, that has locked the index."""

_MOST = 200
"""Visits that are read at once."""

_SIGNS = ("malformed", "not a database", "no such table", "no such column", "decode to UTF-8")
"""What SQLite says of an index that is damaged."""

_ENDS = ("-wal", "-shm")
"""Of the names of the files that SQLite keeps beside the index."""

_LAST_ID = 10**14
"""An id above this was never used: some programs keep no number above 2**53."""

_LATEST = 1e12
"""No moment is later, in Unix seconds."""

_REBUILT = "rebuilt"
"""Stands for the boot of visits of which only the files are left: their moments are Unix time."""


class Row(NamedTuple):
    """What retention needs of a visit. ``until`` is Unix time."""

    id: int
    is_ring: bool
    is_open: bool
    bytes: int
    until: float
    is_this_boot: bool


class Counts(NamedTuple):
    """What the film of a visit is like so far."""

    frames: int
    seconds: float
    before: float
    bytes: int


class _Connection:
    """A connection, None while it is closed, and the lock for its use."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connection: sqlite3.Connection | None = None


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def boot_id() -> str:
    """Return what the kernel calls this boot; without it, every process is a boot of its own."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
    return f"{os.getpid()}-{time.time()}"


class _Database:
    """An SQLite file with the tables of this version, and its two connections.

    ``is_damaged`` is set when SQLite finds that the file is.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self.is_damaged = False
        self._read_only = read_only
        self._writer = _Connection()
        self._reader = _Connection()
        self._commits = 0  # since the last checkpoint; negative for a while after it
        self._changes = 0

    def _open_file(self) -> bool:
        """Open the file, or make it; return whether its tables were made now."""
        is_new = False
        if self._read_only:
            if self.path.exists() and not self.path.is_file():
                raise StoreError(f"{self.path}: it is not a regular file")
        else:
            is_new = self._prepare()
            self._writer.connection = self._connect()
            self._writer.connection.execute("PRAGMA journal_mode=WAL")
        self._reader.connection = self._connect()
        if self._read_only and _version(self._reader.connection) > _VERSION:
            raise StoreError(f"{self.path}: it was written by a newer version of doorbelld")
        return is_new

    def close(self) -> None:
        """Close it; may be called twice. The last connection makes one file of all."""
        for each in (self._reader, self._writer):
            with each.lock:
                if each.connection:
                    each.connection.close()
                each.connection = None

    def _connect(self, mode: str = "rw") -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={'ro' if self._read_only else mode}",
            uri=True,
            timeout=_BUSY,
            isolation_level=None,  # transactions begin and end where this module says so
            check_same_thread=False,
        )
        try:
            connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA trusted_schema=OFF")  # A backup may be anyone's.
            connection.execute(f"PRAGMA wal_autocheckpoint={_MOST_PAGES}")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Make a StoreError of SQLite's errors, and of a row that this module has not written."""
        try:
            yield
        except (KeyError, TypeError, ValueError) as error:
            self.is_damaged = True
            raise StoreError(
                f"{self.path}: the index of visits is damaged (a row makes no sense)", DAMAGED
            ) from error
        except sqlite3.Error as error:
            text = str(error)
            if "is full" in text:
                raise StoreError(
                    f"{self.path}: there is no room left on the disk", SPACE
                ) from error
            if any(each in text for each in _SIGNS):
                self.is_damaged = True
                raise StoreError(
                    f"{self.path}: the index of visits is damaged ({text})", DAMAGED
                ) from error
            raise StoreError(f"{self.path}: {text}") from error

    def _prepare(self) -> bool:
        """Make the tables, or change those of an older version; return whether they are new."""
        try:
            with self.path.open("xb"):
                self.path.chmod(0o600)  # SQLite gives its other files the same mode.
        except FileExistsError:
            self._insist_on_a_file()
            # Without the permission to write, so that a file of a newer version stays as it is.
            with closing(self._connect("ro")) as connection:
                version = _version(connection)
                if version > _VERSION:
                    raise StoreError(
                        f"{self.path}: it was written by a newer version of doorbelld and is left "
                        "as it is: install that version again, or move the folder away"
                    ) from None
                if version == _VERSION:
                    return False
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error
        with closing(self._connect()) as connection:
            version = _version(connection)
            self._migrate(connection, version)
            return version == 0

    def _insist_on_a_file(self) -> None:
        """Raise StoreError if a file cannot be written; SQLite would not say why, or wait."""
        for path in (self.path, *(Path(f"{self.path}{end}") for end in _ENDS)):
            try:
                # Nothing of this process has it open, or the locks on it would end with this.
                with os.fdopen(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)) as file:
                    is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            except OSError as error:
                if isinstance(error, FileNotFoundError) and path != self.path:
                    continue
                raise StoreError(f"{path}: {error.strerror}") from error
            if not is_file:
                raise StoreError(f"{path}: it is not a regular file; move it away")

    def _migrate(self, connection: sqlite3.Connection, version: int) -> None:
        """Change an index of an older version in one transaction, or leave it as it is."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            if version == 0:
                for statement in _SCHEMA.split(";\n"):
                    connection.execute(statement)
                version = _FIRST_VERSION
            while version < _VERSION:
                _STEPS[version](connection)
                version += 1
            connection.execute(f"PRAGMA user_version={version}")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            connection.execute("ROLLBACK")
            raise StoreError(
                f"{self.path}: the index of visits cannot be brought to this version of "
                f"doorbelld ({error}) and is left as it is: install the older version again, or "
                "move the folder away"
            ) from error

    def _read(self, query: str, *values: object) -> list[Any]:
        with self._reader.lock, self._translated():
            return self._opened(self._reader).execute(query, values).fetchall()

    def _write(self, *statements: tuple[str, Sequence[object]]) -> int:
        """Execute statements in one transaction; return how many rows the first one changed."""
        with self._writer.lock, self._translated():
            connection = self._opened(self._writer)
            connection.execute("BEGIN IMMEDIATE")
            try:
                (changed, *_) = [connection.execute(*each).rowcount for each in statements]
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # It may have ended by itself.
                    connection.execute("ROLLBACK")
                raise
            self._commits += 1
            self._changes += 1
        return changed

    def _opened(self, which: _Connection) -> sqlite3.Connection:
        if which.connection is None:
            raise StoreError(f"{self.path}: the index of visits is closed")
        return which.connection

    def sync(self) -> None:
        """Put everything on the disk for good: this waits for it.

        That takes one fsync, and no lock. Once in a while it takes two, and other writers wait.
        """
        if self._commits < _MOST_COMMITS:
            self._commits = max(self._commits, 0)
            self._sync_log()
            return
        with self._writer.lock, self._translated():
            self._opened(self._writer).execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._commits = -_MOST_COMMITS  # not soon again: the next commit needs one fsync more

    def _sync_log(self) -> None:
        # Closing a file ends all locks that the process has on it, but SQLite has none on its log.
        try:
            files.sync(Path(f"{self.path}-wal"))
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error

    def copy_to(self, target: Path) -> None:
        """Copy the index as it is at this moment to a new file, while it is in use."""
        with self._reader.lock, self._translated(), closing(sqlite3.connect(target)) as copied:
            self._opened(self._reader).backup(copied)
            copied.execute("PRAGMA journal_mode=DELETE")  # one file

    def check(self) -> None:
        """Check a file from elsewhere before it is opened: its pages, and that it has no programs.

        Its tables may be those of an older version.
        """
        with self._translated(), closing(self._connect("ro")) as connection:
            others = "SELECT count(*) FROM sqlite_master WHERE type NOT IN ('table', 'index')"
            ((result,), *_) = connection.execute("PRAGMA integrity_check(1)").fetchall()
            if result != "ok" or connection.execute(others).fetchone() != (0,):
                raise StoreError(f"{self.path}: it is no index of visits ({result})", DAMAGED)

    def set_aside(self) -> Path:
        """Rename the file, which is damaged, and return its new name. It must be closed."""
        names = [self.path.with_name(f"index.damaged-{number}.sqlite") for number in range(1, 6)]
        aside = next((each for each in names if not each.exists()), names[-1])
        try:
            self.path.replace(aside)
            for end in _ENDS:
                with suppress(FileNotFoundError):
                    Path(f"{self.path}{end}").replace(f"{aside}{end}")
        except OSError as error:
            raise StoreError(f"{self.path}: it is damaged; {error.strerror}") from error
        self.is_damaged = False
        return aside


class VisitIndex(_Database):
    """The table of visits in one file. Any thread may call it, once open() has returned.

    All its methods raise StoreError. Moments that are passed are time.monotonic()'s. While it is
    not open, ids can be reserved all the same; they are above ``after``.
    """

    def __init__(self, path: Path, *, after: int = 0, read_only: bool = False) -> None:
        super().__init__(path, read_only=read_only)
        self._boots: dict[int, float] = {}
        self._boot = 0
        self._ids = threading.Lock()  # of its own, because a ring must not wait for a write
        self._noted = 0.0  # how far ahead the clock is, as the disk has it
        self._last_id = after
        self._totals = -1, (0, 0)  # and after how many changes they were counted

    def open(self) -> bool:
        """Open the file, or make it; bring an older one to this version.

        Returns whether its tables were made now.
        """
        try:
            with self._translated():
                return self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> bool:
        is_new = self._open_file()
        self._boots = dict(self._read("SELECT number, ahead FROM boots"))
        if self._read_only:
            found = self._read("SELECT number FROM boots WHERE boot = ?", boot_id())
            self._boot = found[0][0] if found else 0
            self._follow_earlier_process()
        else:
            self._note_boot()
        for columns, table in ((_COLUMNS, "visits"), ("data", "frames")):
            self._read(f"SELECT {columns} FROM {table} LIMIT 0")  # noqa: S608  # constants
        self._last_id = self._read_last_id()
        return is_new

    def _read_last_id(self) -> int:
        """Return the highest id that was ever used."""
        ids = "SELECT 0 UNION SELECT seq FROM sqlite_sequence"
        ends = "SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM visits"
        found = [int(number) for (number,) in self._read(ids)]
        found += map(int, self._read(ends)[0])
        if min(found) < 0 or max(found) > _LAST_ID:
            raise ValueError(found)
        return max(found)

    def _note_boot(self) -> None:
        """Learn the number of this boot, and note how far ahead its clock is."""
        self._boot = self._number_of(boot_id(), clock.offset())
        self._follow_earlier_process()
        self._noted = self._boots[self._boot]
        self.follow_clock(clock.offset())

    def _number_of(self, boot: str, ahead: float) -> int:
        """Return the number of a boot; a new one has a clock that is so far ahead."""
        self._write(("INSERT OR IGNORE INTO boots (boot, ahead) VALUES (?, ?)", (boot, ahead)))
        ((number, known),) = self._read("SELECT number, ahead FROM boots WHERE boot = ?", boot)
        self._boots[number] = known
        return int(number)

    def _follow_earlier_process(self) -> None:
        """Give visits of this boot the same times as before: the clock is always slewed a bit."""
        if self._boot:
            clock.follow(self._boots[self._boot])

    def _offset(self, boot: int) -> float:
        return clock.offset() if boot == self._boot else self._boots.get(boot, 0.0)

    def follow_clock(self, ahead: float) -> None:
        """Keep how far ahead the clock is now, if it has been set."""
        if not self._boot or ahead == self._noted:
            return
        self._boots[self._boot] = ahead  # even if the disk does not take it
        self._write(("UPDATE boots SET ahead = ? WHERE number = ?", (ahead, self._boot)))
        self._noted = ahead

    # Reading

    def visits(
        self, before: int | None = None, limit: int = 50, kind: Kind | None = None
    ) -> list[Visit]:
        """Return the newest visits, the newest first."""
        terms, values = ["1"], list[object]()
        if before is not None:
            terms.append("id < ?")
            values.append(max(0, min(before, 2**63 - 1)))
        if kind is not None:
            terms.append("kind = ?")
            values.append(kind.value)
        where = " AND ".join(terms)
        query = f"SELECT {_COLUMNS} FROM visits WHERE {where} ORDER BY id DESC LIMIT ?"  # noqa: S608
        rows = self._read(query, *values, max(0, min(limit, _MOST)))
        with self._translated():
            return [self._visit(row) for row in rows]

    def visit(self, number: int) -> Visit | None:
        """Return one visit."""
        query = f"SELECT {_COLUMNS} FROM visits WHERE id = ?"  # noqa: S608  # constants
        rows = self._read(query, number) if 0 < number < 2**63 else []
        with self._translated():
            return self._visit(rows[0]) if rows else None

    def _visit(self, row: Sequence[Any]) -> Visit:
        (number, boot, kind, source, state, at, pressed_at, until, *more) = row
        (presses, still, reason, answered, answered_boot, frames, seconds, before, size) = more
        ahead = self._offset(boot)
        if not all(abs(moment + ahead) < _LATEST for moment in (at, pressed_at, until or 0.0)):
            raise ValueError(number)
        return Visit(
            id=number,
            kind=_KINDS[kind],
            source=source,
            state=_STATES[state],
            at=at + ahead,
            pressed_at=pressed_at + ahead,
            until=None if until is None else until + ahead,
            presses=presses,
            still=still,
            reason=reason,
            answered=None if answered is None else answered + self._offset(answered_boot),
            frames=frames,
            seconds=seconds,
            before=before,
            bytes=size,
        )

    def rows(self, after: int = 0, limit: int = -1) -> list[Row]:
        """Return some of the visits with an id above ``after``, in the order of their ids.

        Their times are by the clock as it was at the last follow_clock().
        """
        return self._rows("WHERE id > ? ORDER BY id LIMIT ?", after, limit)

    def oldest_rows_with_files(self, limit: int) -> list[Row]:
        """Return the same of the oldest visits that take any room."""
        return self._rows("WHERE film_bytes + still_bytes > 0 ORDER BY id LIMIT ?", limit)

    def newest_rows(self, limit: int) -> list[Row]:
        """Return the same of the newest visits, the newest first."""
        return self._rows("ORDER BY id DESC LIMIT ?", limit)

    def _rows(self, where: str, *values: object) -> list[Row]:
        columns = "id, kind, state, film_bytes + still_bytes, coalesce(until, pressed_at), boot"
        query = f"SELECT {columns} FROM visits {where}"  # noqa: S608  # constants
        found = self._read(query, *values)
        with self._translated():
            return [
                Row(
                    number,
                    kind == _RING,
                    state == _OPEN,
                    size,
                    until + self._boots.get(boot, 0.0),
                    boot == self._boot,
                )
                for number, kind, state, size, until, boot in found
            ]

    def files(self) -> list[tuple[int, int, int, bool]]:
        """Return of all visits: id, frames, still, and whether it has not ended."""
        return self._read(f"SELECT id, frames, still, state = '{_OPEN}' FROM visits")  # noqa: S608

    def sizes(self) -> list[tuple[int, int, int]]:
        """Return of all visits: id, bytes of the film, and whether there is a still."""
        return self._read("SELECT id, film_bytes, still FROM visits ORDER BY id")

    def last_id(self) -> int:
        """Return the highest id that was ever used."""
        return self._last_id

    def totals(self) -> tuple[int, int]:
        """Return how many visits there are, and their bytes."""
        changes, totals = self._totals
        if changes != self._changes:
            changes = self._changes  # before they are counted, as there may be more by then
            query = "SELECT count(*), coalesce(sum(film_bytes + still_bytes), 0) FROM visits"
            (totals,) = self._read(query)
            self._totals = changes, totals
        return totals

    def frames(self, number: int) -> bytes:
        """Return what add_frames() was called with for a visit."""
        query = "SELECT data FROM frames WHERE visit = ? ORDER BY part"
        return b"".join(data for (data,) in self._read(query, number))

    # Writing

    def reserve(self) -> int:
        """Return the id for a new visit. It is never returned again."""
        with self._ids:
            self._last_id += 1
            return self._last_id

    def keep_ids_above(self, number: int) -> None:
        """Let all new ids be above ``number``, for ever."""
        if number <= self._last_id:
            return
        if not self._write(("UPDATE sqlite_sequence SET seq = ?", (number,))):
            self._write(("INSERT INTO sqlite_sequence VALUES ('visits', ?)", (number,)))
        with self._ids:
            self._last_id = max(self._last_id, number)

    def add(self, number: int, kind: Kind, source: str, at: float) -> None:
        """Add a visit that begins at a moment."""
        values = (number, self._boot, kind.value, source, VisitState.OPEN.value, at, at)
        columns = "id, boot, kind, source, state, at, pressed_at"
        self._write((f"INSERT INTO visits ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", values))  # noqa: S608

    def add_found(self, number: int, state: VisitState, at: float, until: float) -> None:
        """Add a visit of which only the files are left. Its moments are Unix time.

        What it began with is not known: mostly that is a ring.
        """
        boot = self._number_of(_REBUILT, 0.0)
        columns = "id, boot, kind, source, state, at, pressed_at, until"
        query = f"INSERT INTO visits ({columns}) VALUES (?, ?, ?, '', ?, ?, ?, ?)"  # noqa: S608
        self._write((query, (number, boot, _RING, state.value, at, at, until)))
        with self._ids:
            self._last_id = max(self._last_id, number)

    def change(self, number: int, **values: object) -> bool:
        """Change columns of a visit; return whether there is one."""
        columns = ", ".join(f"{name} = ?" for name in values)
        query = f"UPDATE visits SET {columns} WHERE id = ?"  # noqa: S608  # names of this package
        return bool(self._write((query, (*values.values(), number))))

    def count_still(self, number: int, size: int) -> bool:
        """Note that a visit has another still, of so many bytes."""
        query = "UPDATE visits SET still = still + 1, reason = '', still_bytes = ? WHERE id = ?"
        return bool(self._write((query, (size, number))))

    def set_still(self, number: int, size: int) -> None:
        """Note whether a visit has a still, of so many bytes, or 0 if it has none."""
        if size:
            columns = "still = max(still, 1), still_bytes = ?, reason = ''"
        else:
            columns = "still = 0, still_bytes = ?, reason = iif(reason = '', 'other', reason)"
        self._write((f"UPDATE visits SET {columns} WHERE id = ?", (size, number)))  # noqa: S608

    def add_frames(
        self, number: int, part: int, data: bytes, counts: Counts, *, is_last: bool = False
    ) -> bool:
        """Add frames to a visit; return whether there is one. The last ones replace all others."""
        columns = "frames = ?, seconds = ?, before = ?, film_bytes = ?"
        update = f"UPDATE visits SET {columns} WHERE id = ?"  # noqa: S608
        statements: list[tuple[str, Sequence[object]]] = [(update, (*counts, number))]
        if is_last:
            statements.append(("DELETE FROM frames WHERE visit = ?", (number,)))
        keep = "INSERT OR REPLACE INTO frames SELECT id, ?, ? FROM visits WHERE id = ?"
        statements.append((keep, (part, data, number)))
        return bool(self._write(*statements))

    def answer(self, number: int, moment: float) -> None:
        """Note that a visit was answered; only the first time counts."""
        columns = "answered = ?, answered_boot = ?"
        query = f"UPDATE visits SET {columns} WHERE id = ? AND answered IS NULL"  # noqa: S608
        self._write((query, (moment, self._boot, number)))

    def interrupt(self, number: int, seconds: float) -> None:
        """End a visit that lasted so long after its first press, and was never ended."""
        columns = "state = ?, until = max(pressed_at, at + ?)"
        query = f"UPDATE visits SET {columns} WHERE id = ?"  # noqa: S608
        self._write((query, (VisitState.INTERRUPTED.value, seconds, number)))

    def delete(self, numbers: Sequence[int]) -> int:
        """Delete visits; return how many there were."""
        count = 0
        for start in range(0, len(numbers), 500):  # SQLite takes 999 values at most.
            some = numbers[start : start + 500]
            marks = ", ".join("?" * len(some))
            count += self._write(
                (f"DELETE FROM visits WHERE id IN ({marks})", some),  # noqa: S608  # only "?"
                (f"DELETE FROM frames WHERE visit IN ({marks})", some),  # noqa: S608
            )
        return count
