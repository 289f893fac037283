"""``doorbelld visits`` on a folder, without a daemon; tests/functional has one with it."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from doorbelld import cli
from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import Kind
from tests.support.daemon import ROOT
from tests.support.pictures import jpeg
from tests.support.visits import make_state


class Terminal:
    """Runs the command in this process."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr("doorbelld.system.log.set_up", lambda **_: None)
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self._caplog = caplog

    def visits(self, state: Path, *options: str) -> tuple[int, str, str]:
        """Return the exit code, what it prints, and what it logs."""
        self._monkeypatch.setenv("STATE_DIRECTORY", str(state))
        self._caplog.clear()
        code = cli.main(["visits", "--set=server.listen=127.0.0.1:1", *options])
        errors = [each.message for each in self._caplog.records if each.levelname == "ERROR"]
        return code, self._capsys.readouterr().out, "\n".join(errors)

    def said(self, state: Path, *options: str, code: int) -> str:
        """Return the one sentence with which it fails."""
        found, printed, line = self.visits(state, *options)
        assert (found, printed) == (code, "")
        return line

    def listed(self, state: Path, *options: str) -> dict[str, Any]:
        code, printed, problems = self.visits(state, "--json", *options)
        assert (code, problems) == (0, "")
        found: dict[str, Any] = json.loads(printed)
        return found


@pytest.fixture
def terminal(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Terminal:
    return Terminal(monkeypatch, capsys, caplog)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state folder with four visits."""
    return make_state(tmp_path / "state")


def test_lists_visits_as_a_table(terminal: Terminal, state: Path) -> None:
    code, printed, problems = terminal.visits(state)
    assert (code, problems) == (0, "")
    head, *rows, total = printed.splitlines()
    assert head.split() == ["ID", "Day", "Time", "What", "Presses", "Answered", "Film"]
    began = r"20\d\d-\d\d-\d\d  \d\d:\d\d"
    for row, pattern in zip(
        rows,
        (
            rf" +4  {began}  ring    +1  -  +3 s \(open\)",
            rf" +3  {began}  motion  +-  -  +3 s",
            rf" +2  {began}  ring    +1  \d\d:\d\d  +3 s",
            rf" +1  {began}  ring    +1  -  +3 s",
        ),
    ):
        assert re.fullmatch(pattern, row), row
    assert re.fullmatch(r"4 visits, \d+ MB; .* kept for 30 days, in at most 1000 MB\.", total)


def test_lists_visits_as_json_in_the_words_of_the_page(terminal: Terminal, state: Path) -> None:
    found = terminal.listed(state, "--set=visits.space=7", "--set=visits.days=3")
    page = (ROOT / "docs" / "visits.md").read_text(encoding="utf-8")
    example = json.loads(
        "{" + page.partition('    {"visits"')[2].partition("}\n\n")[0].join(('"visits"', "}"))
    )
    assert found.keys() == example.keys()
    assert {frozenset(each) for each in found["visits"]} == {frozenset(example["visits"][0])}
    assert [each["id"] for each in found["visits"]] == [4, 3, 2, 1]
    assert [each["kind"] for each in found["visits"]] == ["ring", "motion", "ring", "ring"]
    assert found["visits"][0]["state"] == "open"
    assert found["visits"][1]["state"] == "done"
    assert found["visits"][3]["at"] == pytest.approx(time.time(), abs=60)
    assert (found["count"], found["space"], found["days"]) == (4, 7_000_000, 3)
    assert found["next"] is None


def test_lists_more_visits_than_the_index_gives_at_once(terminal: Terminal, state: Path) -> None:
    store = VisitStore(state / "visits", space=10**9, days=30)
    store.open()
    for _ in range(250):
        number, now = store.reserve(), time.monotonic()
        store.begin(number, Kind.RING, "http", now)
        store.finish(number, now + 1)
    store.close()
    ids = [each["id"] for each in terminal.listed(state)["visits"]]
    assert ids == list(range(254, 0, -1))


def test_empty_folder_has_no_visits(terminal: Terminal, tmp_path: Path) -> None:
    store = VisitStore(tmp_path / "visits", space=10**9, days=30)
    store.open()
    store.close()
    code, printed, problems = terminal.visits(tmp_path)
    assert (code, problems) == (0, "")
    assert printed.startswith("No visits, 0 MB; ")


def test_deletes_one_and_then_all(terminal: Terminal, state: Path) -> None:
    assert terminal.visits(state, "--delete", "3") == (0, "Visit 3 was deleted.\n", "")
    assert [each["id"] for each in terminal.listed(state)["visits"]] == [4, 2, 1]
    assert not list((state / "visits").glob("3.*"))
    assert terminal.visits(state, "--delete", "all") == (0, "All visits were deleted.\n", "")
    assert terminal.listed(state)["count"] == 0
    assert {path.stem for path in (state / "visits").iterdir()} == {"index"}


def test_folder_of_a_daemon_that_does_not_answer_is_not_changed(
    terminal: Terminal, state: Path
) -> None:
    store = VisitStore(state / "visits", space=10**9, days=30)
    store.open()
    try:
        why = terminal.said(state, "--delete=all", code=1)
        assert why.startswith(f"{state}/visits: a doorbelld uses it that does not answer here; ")
        assert len(terminal.listed(state)["visits"]) == 4
    finally:
        store.close()


@pytest.mark.parametrize("number", ["0", "00", "9", "9" * 23, "9" * 5000, "007"])
def test_visit_that_does_not_exist_is_not_deleted(
    terminal: Terminal, state: Path, number: str
) -> None:
    why = terminal.said(state, f"--delete={number}", code=1)
    assert why == f"there is no visit {number}; doorbelld visits lists them"
    assert len(terminal.listed(state)["visits"]) == 4


@pytest.mark.parametrize("word", ["", "ALL", "-1", "1.5", "../1", "٣", "1 2"])
def test_word_that_is_no_visit_is_a_usage_error(terminal: Terminal, state: Path, word: str) -> None:
    why = terminal.said(state, f"--delete={word}", code=2)
    assert why == f"--delete {word}: must be the number of a visit, or all"
    assert len(terminal.listed(state)["visits"]) == 4


@pytest.mark.parametrize(
    "options", [["--json", "--export=x"], ["--json", "--delete=1"], ["--export=x", "--delete=all"]]
)
def test_options_that_exclude_each_other_are_refused(
    terminal: Terminal, state: Path, options: list[str]
) -> None:
    names = " and ".join(each.partition("=")[0] for each in options)
    assert terminal.said(state, *options, code=2) == f"{names} do not go together"
    assert len(terminal.listed(state)["visits"]) == 4


@pytest.mark.parametrize("options", [[], ["--json"], ["--export=x"], ["--delete=1"]])
def test_says_that_there_is_no_folder(
    terminal: Terminal, tmp_path: Path, options: list[str]
) -> None:
    why = terminal.said(tmp_path, *options, code=1)
    assert why == (
        f"there are no visits: {tmp_path}/visits does not exist; if they are elsewhere, set"
        " STATE_DIRECTORY"
    )
    assert list(tmp_path.iterdir()) == []


def test_exports_films_and_stills_with_readable_names(
    terminal: Terminal, state: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = 0, f"4 visits written to {out}.\n", ""
    assert terminal.visits(state, f"--export={out}") == done
    exported = {path.name: path.read_bytes() for path in out.iterdir()}
    assert len(exported) == 8
    for number, kind in ((1, "ring"), (2, "ring"), (3, "motion"), (4, "ring")):
        [film] = [
            data for name, data in exported.items() if name.endswith(f"{kind} {number}.mjpeg")
        ]
        assert film == (state / "visits" / f"{number}.mjpeg").read_bytes()
        [still] = [data for name, data in exported.items() if name.endswith(f"{kind} {number}.jpg")]
        assert still == jpeg(3)
    assert terminal.visits(state, f"--export={out}") == done, "a second time"
    assert {path.name: path.read_bytes() for path in out.iterdir()} == exported


def test_export_says_where_it_cannot_write(terminal: Terminal, state: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert terminal.said(state, f"--export={file}", code=1) == f"{file}: File exists"
    nowhere = tmp_path / "a" / "b"
    why = terminal.said(state, f"--export={nowhere}", code=1)
    assert why == f"{nowhere}: No such file or directory"
    assert terminal.said(state, "--export=", code=2) == "--export: name a folder"
    assert terminal.visits(state, "--export=/dev/full")[0] == 1
