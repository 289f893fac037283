"""VisitIndex: the table of visits, in SQLite. Only this module knows SQL.

It has two connections. Reads have one of their own, so that the page never waits while a visit is
written; in WAL mode neither blocks the other. Each has a lock, because handler threads come and
go: a connection for every thread would cost memory and three open files each, and a query takes
less than a millisecond. A commit does not wait for the disk: only checkpoint() does, and it has no
lock.

Moments are kept on time.monotonic()'s clock together with the boot that they belong to, and for
each boot how far the system clock was ahead of it. So when the clock is set, one row changes, and
all visits of this boot have the right time.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from doorbelld.system import clock
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

_VERSION = 1
_STEPS: dict[int, Step] = {}
"""How an older index is changed to the next version: the key is the version that it has."""

_COLUMNS = (
    "id, boot, kind, source, state, at, pressed_at, until, presses, still, reason, "
    "answered, answered_boot, frames, seconds, before, film_bytes + still_bytes"
)
_KINDS = {kind.value: kind for kind in Kind}
_STATES = {state.value: state for state in VisitState}

_CACHE_KIB = 256
"""Of each connection. The default of 2 MB would be a third of the memory that visits may take."""

_BUSY = 5.0
"""Seconds to wait for another process, such as a backup, that has locked the index."""

_MOST = 200
"""Visits that are read at once."""

_REBUILT = "rebuilt"
"""Stands for the boot of visits of which only the files are left: their moments are Unix time."""


class Row(NamedTuple):
    """What repair and retention need of a visit. Moments are Unix time."""

    id: int
    kind: str
    state: str
    still: int
    frames: int
    bytes: int
    until: float
    is_this_boot: bool


class Counts(NamedTuple):
    """What the film of a visit is like so far."""

    frames: int
    seconds: float
    before: float
    bytes: int


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Make a StoreError of SQLite's errors."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "is full" in text:
            raise StoreError(f"{path}: there is no room left on the disk", SPACE) from error
        if "malformed" in text or "not a database" in text:
            raise StoreError(f"{path}: the index of visits is damaged ({text})", DAMAGED) from error
        raise StoreError(f"{path}: {text}") from error


def boot_id() -> str:
    """Return what the kernel calls this boot; without it, every process is a boot of its own."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return f"{os.getpid()}-{time.time()}"


class VisitIndex:
    """The table of visits in one file. Any thread may call it, once open() has returned.

    All its methods raise StoreError. Moments that are passed are time.monotonic()'s.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._boots: dict[int, float] = {}
        self._boot = 0
        self._last_id = 0

    def open(self) -> None:
        """Open the file, or make it; bring an older one to this version."""
        with _translated(self.path):
            try:
                self._open()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close it. The last connection puts everything into the one file."""
        with self._read_lock:
            if self._reader:
                self._reader.close()
            self._reader = None
        with self._write_lock:
            if self._writer:
                self._writer.close()
            self._writer = None

    def _open(self) -> None:
        if not self._read_only:
            self._prepare()
            self._writer = self._connect()
            self._writer.execute("PRAGMA journal_mode=WAL")
        self._reader = self._connect()
        self._boots = dict(self._read("SELECT number, ahead FROM boots"))
        if not self._read_only:
            self._boot = self._number_of(boot_id(), clock.offset())
        else:
            found = self._read("SELECT number FROM boots WHERE boot = ?", boot_id())
            self._boot = found[0][0] if found else 0
        self._last_id = max((*self._ids("sqlite_sequence", "seq"), 0))

    def _ids(self, table: str, column: str) -> list[int]:
        query = f"SELECT {column} FROM {table} WHERE name = 'visits'"  # noqa: S608  # constants
        return [number for (number,) in self._read(query)]

    def _connect(self) -> sqlite3.Connection:
        mode = "ro" if self._read_only else "rw"
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=_BUSY,
            isolation_level=None,  # transactions begin and end where this module says so
            check_same_thread=False,
        )
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    def _prepare(self) -> None:
        """Make the tables, or change those of an older version."""
        with suppress(FileExistsError), self.path.open("xb"):
            self.path.chmod(0o600)  # SQLite gives its other files the same mode.
        with closing(self._connect()) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > _VERSION:
                raise StoreError(
                    f"{self.path}: it was written by a newer version of doorbelld. It is left as "
                    "it is; install that version again, or move the file away",
                )
            if version < _VERSION:
                self._migrate(connection, version)

    def _migrate(self, connection: sqlite3.Connection, version: int) -> None:
        """Change an index of an older version in one transaction, or leave it as it is."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            if version == 0:
                for statement in _SCHEMA.split(";\n"):
                    connection.execute(statement)
                version = _VERSION
            while version < _VERSION:
                _STEPS[version](connection)
                version += 1
            connection.execute(f"PRAGMA user_version={version}")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            connection.execute("ROLLBACK")
            raise StoreError(
                f"{self.path}: the index of visits cannot be brought to this version of "
                f"doorbelld ({error}). It is left as it is; install the version before",
            ) from error

    def _number_of(self, boot: str, ahead: float) -> int:
        """Return the number of a boot, whose clock is so far ahead."""
        self._write(
            ("INSERT OR IGNORE INTO boots (boot, ahead) VALUES (?, ?)", (boot, ahead)),
        )
        ((number, known),) = self._read("SELECT number, ahead FROM boots WHERE boot = ?", boot)
        self._boots[number] = known
        return int(number)

    def _read(self, query: str, *values: object) -> list[Any]:
        with self._read_lock, _translated(self.path):
            if not self._reader:
                raise StoreError(f"{self.path}: the index of visits is closed")
            return self._reader.execute(query, values).fetchall()

    def _write(self, *statements: tuple[str, Sequence[object]]) -> int:
        """Execute statements in one transaction; return how many rows the first one changed."""
        with self._write_lock, _translated(self.path):
            if not self._writer:
                raise StoreError(f"{self.path}: the index of visits is closed")
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                (changed, *_) = [self._writer.execute(*each).rowcount for each in statements]
                self._writer.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # It may have ended by itself.
                    self._writer.execute("ROLLBACK")
                raise
        return changed

    def _offset(self, boot: int) -> float:
        return clock.offset() if boot == self._boot else self._boots.get(boot, 0.0)

    def follow_clock(self) -> bool:
        """Keep what the clock says now, if it has been set; return whether that was the case."""
        ahead = clock.offset()
        if self._boots[self._boot] == ahead:
            return False
        self._write(("UPDATE boots SET ahead = ? WHERE number = ?", (ahead, self._boot)))
        self._boots[self._boot] = ahead
        return True

    def checkpoint(self) -> None:
        """Put everything on the disk for good, without a lock: this waits for it."""
        with _translated(self.path), closing(self._connect()) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    # Reading

    def visits(
        self, before: int | None = None, limit: int = 50, kind: Kind | None = None
    ) -> list[Visit]:
        """Return the newest visits, the newest first."""
        terms, values = ["1"], list[object]()
        if before is not None:
            terms.append("id < ?")
            values.append(min(before, 2**63 - 1))
        if kind is not None:
            terms.append("kind = ?")
            values.append(kind.value)
        where = " AND ".join(terms)
        query = f"SELECT {_COLUMNS} FROM visits WHERE {where} ORDER BY id DESC LIMIT ?"  # noqa: S608
        return [self._visit(row) for row in self._read(query, *values, max(0, min(limit, _MOST)))]

    def visit(self, number: int) -> Visit | None:
        """Return one visit."""
        query = f"SELECT {_COLUMNS} FROM visits WHERE id = ?"  # noqa: S608  # constants
        rows = self._read(query, number) if 0 < number < 2**63 else []
        return self._visit(rows[0]) if rows else None

    def _visit(self, row: Sequence[Any]) -> Visit:
        (number, boot, kind, source, state, at, pressed_at, until, *more) = row
        (presses, still, reason, answered, answered_boot, frames, seconds, before, size) = more
        ahead = self._offset(boot)
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
        """Return some of every visit with an id above ``after``, in the order of their ids."""
        query = (
            "SELECT id, kind, state, still, frames, film_bytes + still_bytes, "
            "coalesce(until, pressed_at), boot FROM visits WHERE id > ? ORDER BY id LIMIT ?"
        )
        offsets = {boot: self._offset(boot) for boot in self._boots}
        return [
            Row(number, kind, state, still, frames, size, until + offsets[boot], boot == self._boot)
            for number, kind, state, still, frames, size, until, boot in self._read(
                query, after, limit
            )
        ]

    def totals(self) -> tuple[int, int]:
        """Return how many visits there are, and their bytes."""
        query = "SELECT count(*), coalesce(sum(film_bytes + still_bytes), 0) FROM visits"
        ((count, size),) = self._read(query)
        return count, size

    def frames(self, number: int) -> bytes:
        """Return what add_frames() was called with for a visit."""
        query = "SELECT data FROM frames WHERE visit = ? ORDER BY part"
        return b"".join(data for (data,) in self._read(query, number))

    # Writing

    def reserve(self) -> int:
        """Return the id for a new visit. It is never returned again."""
        with self._write_lock:
            self._last_id += 1
            return self._last_id

    def reserve_after(self, number: int) -> None:
        """Let all ids be above ``number``."""
        with self._write_lock:
            self._last_id = max(self._last_id, number)

    def add(self, number: int, kind: Kind, source: str, at: float) -> None:
        """Add a visit that begins at a moment."""
        values = (number, self._boot, kind.value, source, VisitState.OPEN.value, at, at)
        columns = "id, boot, kind, source, state, at, pressed_at"
        self._write((f"INSERT INTO visits ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", values))  # noqa: S608

    def add_rebuilt(self, number: int, kind: Kind, state: VisitState, at: float) -> None:
        """Add a visit of which only the files are left, and that began at a Unix time."""
        boot = self._number_of(_REBUILT, 0.0)
        columns = "id, boot, kind, source, state, at, pressed_at, until"
        query = f"INSERT INTO visits ({columns}) VALUES (?, ?, ?, '', ?, ?, ?, ?)"  # noqa: S608
        self._write((query, (number, boot, kind.value, state.value, at, at, at)))
        self.reserve_after(number)

    def change(self, number: int, **values: object) -> bool:
        """Change columns of a visit; return whether there is one."""
        columns = ", ".join(f"{name} = ?" for name in values)
        query = f"UPDATE visits SET {columns} WHERE id = ?"  # noqa: S608  # names of this package
        return bool(self._write((query, (*values.values(), number))))

    def count_still(self, number: int, size: int) -> bool:
        """Note that a visit has another still, of so many bytes."""
        query = "UPDATE visits SET still = still + 1, reason = '', still_bytes = ? WHERE id = ?"
        return bool(self._write((query, (size, number))))

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
