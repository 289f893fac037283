"""``doorbelld backup`` and ``restore``: from one machine to another, in the same process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from doorbelld import cli
from doorbelld.visits.store import VisitStore
from tests.support.daemon import GUARD, ROOT
from tests.support.visits import make_state

Run = Callable[..., tuple[int, str, str]]


class Machine:
    """A folder for state and one for the configuration."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.main = folder / "etc" / "doorbelld.conf"
        self.main.parent.mkdir(parents=True)
        self.main.write_text("[camera]\nname = Here\n")

    def files(self) -> dict[str, bytes]:
        """Return all files, but not those by which several processes read the index."""
        folder = self.main.parents[1]
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and not path.name.startswith("index.sqlite-")
        }


@pytest.fixture
def old(tmp_path: Path) -> Machine:
    """Return a machine with four visits, keys and a password."""
    machine = Machine(tmp_path / "old")
    make_state(machine.state)
    (machine.state / "ring_token").write_text("token\n")
    (machine.state / "shutter").write_text("closed 1.0\n")
    (machine.main.parent / "password").write_text("hash\n")
    (machine.main.parent / "conf.d").mkdir()
    (machine.main.parent / "conf.d" / "name.conf").write_text("[camera]\nname = Old\n")
    return machine


@pytest.fixture
def new(tmp_path: Path) -> Machine:
    """Return another one, which has nothing yet."""
    machine = Machine(tmp_path / "new")
    machine.state.mkdir()
    return machine


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Run:
    """Return what runs a command on a machine: exit code, output, errors."""
    monkeypatch.setattr("doorbelld.system.log.set_up", lambda **_: None)

    def run(machine: Machine, command: str, file: Path, *options: str) -> tuple[int, str, str]:
        monkeypatch.setenv("STATE_DIRECTORY", str(machine.state))
        caplog.clear()
        code = cli.main([command, str(file), "--config", str(machine.main), *options])
        errors = [each.message for each in caplog.records if each.levelname == "ERROR"]
        return code, capsys.readouterr().out, "\n".join(errors)

    return run


@pytest.mark.parametrize("has_folder", [False, True])
def test_backup_without_visits_says_so(
    run: Run,
    new: Machine,
    old: Machine,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    *,
    has_folder: bool,
) -> None:
    """A daemon that was started by hand may keep them elsewhere."""
    if has_folder:
        (new.state / "visits").mkdir()
    assert run(new, "backup", tmp_path / "backup")[0] == 0
    why = f"there are no visits in {new.state}; if they are elsewhere, set STATE_DIRECTORY"
    assert caplog.messages == [why]
    assert run(old, "backup", tmp_path / "backup")[0] == 0
    assert caplog.messages == []


def test_all_is_on_the_other_machine(run: Run, old: Machine, new: Machine, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    code, said, problems = run(old, "backup", file)
    assert (code, problems) == (0, "")
    assert said == f"{file} is written (0 MB). It has the password and all keys: keep it private.\n"
    assert file.stat().st_mode & 0o777 == 0o600
    code, said, problems = run(new, "restore", file)
    assert (code, problems) == (0, "")
    assert said == (
        f"Configuration and visits are those of {file}.\n"
        "Start it again: sudo systemctl start doorbelld\n"
    )
    before, after = old.files(), new.files()
    assert before.keys() == after.keys()
    index = "state/visits/index.sqlite"
    assert {**before, index: b""} == {**after, index: b""}
    for machine in (old, new):
        store = VisitStore(machine.state / "visits", space=10**9, days=30)
        store.open_to_read()
        ids = [visit.id for visit in store.visits()]
        store.close()
        assert ids == [4, 3, 2, 1]


def test_backup_does_not_take_the_state_for_a_part_of_the_configuration(
    run: Run, old: Machine
) -> None:
    """Where a daemon was started by hand, one may be in the other."""
    inside = shutil.move(old.state, old.main.parent / "state")
    old.state = Path(inside)
    file = old.main.parent / "backup"
    for _ in range(2):  # The second time there is the file of the first.
        assert run(old, "backup", file)[0] == 0
    with tarfile.open(file) as tar:
        names = tar.getnames()
    assert not [name for name in names if name.startswith("configuration/state")]
    assert "configuration/backup" not in names
    assert len(names) == len({*names})


def test_backup_of_a_bad_configuration_is_refused(run: Run, old: Machine, tmp_path: Path) -> None:
    old.main.write_text("[camera]\nrotation = 45\n")
    code, said, problems = run(old, "backup", tmp_path / "backup")
    assert (code, said) == (2, "")
    assert problems.startswith(f"{old.main}:2: [camera] rotation = 45: must be ")
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("name", ["doorbelld.conf", "conf.d/name.conf"])
def test_backup_with_a_configuration_that_cannot_be_used_changes_nothing(
    run: Run, old: Machine, new: Machine, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "backup"
    assert run(old, "backup", file)[0] == 0
    forged, parts = tmp_path / "forged", tmp_path / "parts"
    with tarfile.open(file) as tar:
        tar.extractall(parts)  # noqa: S202  # made here
        names = tar.getnames()
    (parts / "configuration" / name).write_text("[camera]\nfocal = 1\n[doors]\n")
    with tarfile.open(forged, "w", format=tarfile.USTAR_FORMAT) as tar:
        for each in names:
            tar.add(parts / each, each)
    before = new.files()
    code, said, problems = run(new, "restore", forged)
    assert (code, said) == (2, "")
    key, section, last = problems.splitlines()
    assert key.startswith(f"{forged}: {name}:2: [camera] focal: unknown key")
    assert section.startswith(f"{forged}: {name}:3: unknown section 'doors'")
    assert last == "nothing was replaced"
    assert new.files() == before


def test_restore_refuses_while_the_visits_are_in_use(
    run: Run, old: Machine, new: Machine, tmp_path: Path
) -> None:
    file = tmp_path / "backup"
    assert run(old, "backup", file)[0] == 0
    store = VisitStore(new.state / "visits", space=10**9, days=30)
    store.open()
    try:
        before = new.main.read_bytes()
        code, said, problems = run(new, "restore", file)
        assert (code, said) == (1, "")
        assert problems.endswith("stop it first: sudo systemctl stop doorbelld")
        assert new.main.read_bytes() == before
    finally:
        store.close()


def test_files_that_are_no_backup_are_refused(run: Run, new: Machine, tmp_path: Path) -> None:
    before = new.files()
    file = tmp_path / "file"
    file.write_bytes(b"\0" * 100)
    for path in (file, tmp_path / "missing", tmp_path):
        code, said, problems = run(new, "restore", path)
        assert (code, said) == (1, "")
        assert problems.startswith(f"{path}: ")
    assert new.files() == before


def test_links_and_pipes_in_place_of_films_are_neither_followed_nor_waited_for(
    run: Run, old: Machine, new: Machine, tmp_path: Path
) -> None:
    secret, file = tmp_path / "secret", tmp_path / "backup"
    secret.write_bytes(b"for root alone" * 10_000)
    films = [old.state / "visits" / f"{number}.mjpeg" for number in (1, 2)]
    for film in films:
        film.unlink()
    films[0].symlink_to(secret)
    os.mkfifo(films[1])
    assert run(old, "backup", file)[0] == 0
    assert b"for root alone" not in file.read_bytes()
    assert run(new, "restore", file)[0] == 0
    assert sorted(path.name for path in (new.state / "visits").glob("*.mjpeg")) == [
        "3.mjpeg",
        "4.mjpeg",
    ]


@pytest.mark.process
def test_backup_can_be_written_to_a_pipe(run: Run, old: Machine, new: Machine) -> None:
    command = [sys.executable, "-m", "doorbelld", "backup", "-", "--config", str(old.main)]
    environ = {**os.environ, "STATE_DIRECTORY": str(old.state)}
    piped = new.main.parent.parent / "piped"
    with piped.open("wb") as file:
        subprocess.run(command, cwd=ROOT, env=environ, stdout=file, check=True, timeout=GUARD)
    assert run(new, "restore", piped)[0] == 0
    assert new.main.read_bytes() == old.main.read_bytes()
