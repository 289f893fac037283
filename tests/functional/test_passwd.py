"""``doorbelld passwd``: set, change and remove the password at the command line."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.passwords import OTHER, WORD, basic, set_password


def passwd(path: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["passwd", f"--set=access.password_file={path}", *options]
    return subprocess.run(
        [*Daemon(path.parent).command, *command],
        input=text,
        capture_output=True,
        text=True,
        timeout=GUARD,
        check=False,
    )


def test_command_sets_a_password_that_only_its_owner_can_read(
    daemon: Daemon, tmp_path: Path
) -> None:
    path = tmp_path / "password"
    done = passwd(path, f"{WORD}\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Do not leave the user name empty" in done.stdout
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert WORD not in path.read_text()
    daemon.start({"access.password_file": path})
    assert daemon.request("/status", headers=basic(WORD))[0].status == 200
    assert passwd(path, f"{OTHER}\n").returncode == 0
    eventually(lambda: daemon.request("/status", headers=basic(OTHER))[0].status == 200, "the new")
    assert [each.name for each in tmp_path.iterdir() if "password" in each.name] == ["password"]


@pytest.mark.parametrize("text", ["", "\n", "short\n", "with\ttab and more\n"])
def test_command_refuses_a_bad_password(tmp_path: Path, text: str) -> None:
    path = tmp_path / "password"
    path.write_text("as it was")
    done = passwd(path, text)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(": nothing was changed\n")
    assert len(done.stderr.splitlines()) == 1
    assert path.read_text() == "as it was"


def test_command_refuses_what_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "password"
    done = subprocess.run(
        [*Daemon(tmp_path).command, "passwd", f"--set=access.password_file={path}"],
        input=b"correct \xff horse\n",
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},  # as in most locales
        capture_output=True,
        timeout=GUARD,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"ERROR: the password is not UTF-8 text: nothing was changed\n"


def test_command_says_where_it_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "password"
    done = passwd(path, f"{WORD}\n")
    assert done.returncode == 1
    assert done.stderr == f"ERROR: {path}: the folder {path.parent} is missing; make it first\n"


def test_command_does_not_remove_a_file_that_the_configuration_names(tmp_path: Path) -> None:
    path = tmp_path / "password"
    set_password(path, WORD)
    done = passwd(path, "", "--remove")
    assert done.returncode == 2
    assert "[access] password_file must be taken out of the configuration" in done.stderr
    assert path.exists()


def test_status_command_uses_the_password_file(daemon: Daemon, tmp_path: Path) -> None:
    set_password(tmp_path / "password", WORD)
    daemon.start({"access.password_file": tmp_path / "password"})
    daemon.wait_for_log("camera streaming")

    def ask(file: Path) -> subprocess.CompletedProcess[str]:
        command = ["status", f"--set=access.password_file={file}"]
        command += [f"--set=server.listen=127.0.0.1:{daemon.port}"]
        return subprocess.run(
            [*daemon.command, *command], capture_output=True, text=True, check=False
        )

    done = ask(tmp_path / "password")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Front door: live")
    done = ask(tmp_path / "missing")
    assert done.returncode == 4
    assert done.stdout.startswith("It asks for a password")
