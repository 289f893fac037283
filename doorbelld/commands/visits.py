"""``doorbelld visits``: lists who was at the door, exports visits, and deletes them.

The daemon that runs on this machine is asked, so that its pages know at once what was deleted;
without one, the folder is read and changed.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any

from doorbelld.commands import local
from doorbelld.commands.base import CommandError, Load, UsageError
from doorbelld.config.schema import Config, VisitsSection
from doorbelld.system.users import acting_as_owner
from doorbelld.visits import archive
from doorbelld.visits.film import Film
from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import Kind, StoreError, Visit, described
from doorbelld.wiring import bell_settings

OPTIONS = {
    "--json": "print JSON, for programs",
    "--export DIR": "write the visits with their pictures into DIR",
    "--delete ID": "delete the visit ID, or all visits: --delete all",
}
_ALL = "all"
_PAGE = 200
"""Visits that are asked for at once; the daemon answers with no more."""

_MOST_DIGITS = 18
"""Of an id. Python refuses to make a number of very many."""

_MB = 1_000_000


def run(options: Namespace, load: Load) -> int:
    """List the visits, or export or delete some; return the exit code."""
    options_of_which_one = ("json", "export", "delete")
    chosen = [name for name in options_of_which_one if getattr(options, name) not in (None, False)]
    if len(chosen) > 1:
        raise UsageError(" and ".join(f"--{name}" for name in chosen) + " do not go together")
    settings = load()
    if options.export is not None:
        return _export(settings, options.export)
    if options.delete is not None:
        return _delete(settings, options.delete)
    found = _list(settings)
    if options.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(_table(found)) + "\n")
    return 0


# Reading


def _list(settings: Config) -> dict[str, Any]:
    """Return what GET visits.json of docs/visits.md answers, with all visits."""
    try:
        daemon, _ = local.find(settings, "visits")
    except local.NotRunningError:
        with _explained():
            store = _store(settings)
            with acting_as_owner(store.folder):
                _open_to_read(store)
                with closing(store):
                    return _from_folder(store, settings.visits)
    return _from_daemon(daemon)


def _from_daemon(daemon: local.LocalDaemon) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    query = f"/visits.json?limit={_PAGE}"
    while True:
        page = json.loads(_asked(daemon, "GET", query) or b"")
        rows += page["visits"]
        if page["next"] is None:
            return {**page, "visits": rows}
        query = f"/visits.json?limit={_PAGE}&before={page['next']}"


def _from_folder(store: VisitStore, section: VisitsSection) -> dict[str, Any]:
    found: list[Visit] = []
    while page := store.visits(found[-1].id if found else None, _PAGE):
        found += page
    return {
        "visits": [described(each) for each in found],
        "next": None,
        **asdict(store.totals()),
        "space": store.space,
        "days": store.days,
        "motion": section.motion or bool(section.ignore or store.visits(None, 1, Kind.MOTION)),
    }


# Exporting and deleting


class _OwnersStore(VisitStore):
    """A store whose files root reads as their owner, but not what is done with them."""

    def visits(
        self, before: int | None = None, limit: int = 50, kind: Kind | None = None
    ) -> list[Visit]:
        with acting_as_owner(self.folder):
            return super().visits(before, limit, kind)

    def still(self, number: int) -> bytes | None:
        with acting_as_owner(self.folder):
            return super().still(number)

    def film(self, number: int) -> Film | None:
        with acting_as_owner(self.folder):
            return super().film(number)


def _export(settings: Config, folder: str) -> int:
    if not folder:
        raise UsageError("--export: name a folder")
    with _explained():
        store = _store(settings, _OwnersStore)
        with acting_as_owner(store.folder):
            _open_to_read(store)
        with closing(store):
            count = archive.export(store, Path(folder))
    sys.stdout.write(f"{_visits(count)} written to {folder}.\n")
    return 0


def _delete(settings: Config, which: str) -> int:
    """Delete a visit, or all."""
    if which != _ALL and not (which.isascii() and which.isdigit()):
        raise UsageError(f"--delete {which}: must be the number of a visit, or {_ALL}")
    number = None if which == _ALL else _id(which)
    try:
        daemon, _ = local.find(settings, "visits")
    except local.NotRunningError as error:
        is_done = _delete_in_folder(settings, number, error)
    else:
        path = "/visits/delete" if number is None else f"/visits/{number}/delete"
        is_done = _asked(daemon, "POST", path) is not None
    if not is_done:
        raise CommandError(f"there is no visit {which}; doorbelld visits lists them")
    what = "All visits were" if number is None else f"Visit {number} was"
    sys.stdout.write(f"{what} deleted.\n")
    return 0


def _id(digits: str) -> int:
    """Return the number that a user has written; 0, which no visit has, if it is too long."""
    return int(digits) if len(digits) <= _MOST_DIGITS else 0


def _delete_in_folder(settings: Config, number: int | None, error: local.NotRunningError) -> bool:
    """Delete a visit, or all if there is no number; return whether there was one."""
    with _explained():
        store = _store(settings)
        with acting_as_owner(store.folder):
            if local.is_in_use(store.folder):
                raise CommandError(
                    f"{store.folder}: a doorbelld uses it that does not answer here; stop it first"
                    f" ({error})"
                )
            store.open()
            with closing(store):
                if number is not None:
                    return store.visit(number) is not None and store.delete(number)
                store.delete_all()
    return True


def _asked(daemon: local.LocalDaemon, method: str, path: str) -> bytes | None:
    """Return what the daemon answers, or None if there is no such visit."""
    try:
        answer = daemon.get(path) if method == "GET" else daemon.post(path)
    except (OSError, HTTPException) as error:
        raise CommandError(f"doorbelld did not answer: {error}") from error
    if answer.status == HTTPStatus.NOT_FOUND:
        return None
    if answer.status not in (HTTPStatus.OK, HTTPStatus.NO_CONTENT):
        why = answer.body.decode(errors="replace").strip()
        raise CommandError(f"doorbelld answered with the status {answer.status}: {why}")
    return answer.body


# The folder


def _store(settings: Config, kind: type[VisitStore] = VisitStore) -> VisitStore:
    bell = bell_settings(settings.bell, settings.visits)
    return kind(local.state_folder() / "visits", space=bell.space, days=bell.days)


def _open_to_read(store: VisitStore) -> None:
    (store.folder / "index.sqlite").stat()  # Its errors say more than those of SQLite.
    store.open_to_read()


@contextmanager
def _explained() -> Iterator[None]:
    """Make sentences of the errors of the folder of visits."""
    try:
        yield
    except FileNotFoundError as error:
        raise CommandError(
            f"there are no visits: {error.filename} does not exist; if they are elsewhere, set"
            " STATE_DIRECTORY"
        ) from error
    except PermissionError as error:
        raise CommandError(f"{error.filename}: only root may do that; try it with sudo") from error
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from error
    except StoreError as error:
        raise CommandError(str(error)) from error


# Showing


def _table(found: dict[str, Any]) -> Iterator[str]:
    rows = found["visits"]
    if rows:
        yield f"{'ID':>6}  {'Day':10}  {'Time':5}  {'What':6}  {'Presses':>7}  {'Answered':8}  Film"
        yield from map(_line, rows)
    kept = f"they are kept for {found['days']:g} days, in at most {_size(found['space'])}"
    yield f"{_visits(found['count'])}, {_size(found['bytes'])}; {kept}."


def _line(row: dict[str, Any]) -> str:
    began = time.localtime(row["at"])
    day, moment = time.strftime("%Y-%m-%d", began), time.strftime("%H:%M", began)
    presses = str(row["presses"]) if row["kind"] == "ring" else "-"
    answered = "-"
    if row["answered"] is not None:
        answered = time.strftime("%H:%M", time.localtime(row["answered"]))
    film = f"{row['seconds']:.0f} s" if row["frames"] else "-"
    if row["state"] != "done":
        film += f" ({row['state']})"
    if row["still"] is None and row["reason"]:
        film += f" (no picture: {row['reason']})"
    words = (
        f"{row['id']:6}",
        day,
        moment,
        f"{row['kind']:6}",
        f"{presses:>7}",
        f"{answered:8}",
        film,
    )
    return "  ".join(words)


def _visits(count: int) -> str:
    return f"{count or 'No'} visit{'s' * (count != 1)}"


def _size(size: int) -> str:
    return f"{size / _MB:.0f} MB"
