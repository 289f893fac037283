"""``doorbelld visits`` beside a running daemon, and as a user other than the service's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.support.daemon import GUARD, ROOT, Daemon, eventually
from tests.support.passwords import WORD, set_password
from tests.support.visits import make_state

USER = 65534
AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
AS_SUDO = ("setpriv", "--groups=0")
"""As sudo does, with the group root among those of the process."""

NOBODY_LISTENS = "--set=server.listen=127.0.0.1:1"


def visits(
    state: Path | None, *options: str, prefix: Sequence[str] = (), listen: str = NOBODY_LISTENS
) -> subprocess.CompletedProcess[str]:
    unmeasured = {"COVERAGE_PROCESS_CONFIG": ""}  # Another user cannot write its data.
    return subprocess.run(
        [*prefix, sys.executable, "-m", "doorbelld", "visits", listen, *options],
        cwd=ROOT,
        env={
            **os.environ,
            **({"STATE_DIRECTORY": str(state)} if state else {}),
            **(unmeasured if prefix else {}),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=GUARD,
    )


def listed(state: Path) -> dict[str, Any]:
    done = visits(state, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def reachable() -> Iterator[Path]:
    """Return such a folder that other users can reach, unlike those of pytest."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield make_state(Path(folder) / "state")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state folder with four visits."""
    return make_state(tmp_path / "state")


def test_running_daemon_lists_the_same(daemon: Daemon, state: Path) -> None:
    before = listed(state)
    daemon.start(environ={"STATE_DIRECTORY": str(state)})
    listen = f"--set=server.listen=127.0.0.1:{daemon.port}"
    eventually(lambda: daemon.status()["visits"]["count"] == 4, "the visits are read")
    for where in (state, None):  # It need not know the folder.
        done = visits(where, "--json", listen=listen)
        found = json.loads(done.stdout)
        interrupted = found["visits"].pop(0)
        assert interrupted["state"] == "interrupted"
        assert found["visits"] == before["visits"][1:]
        assert "(interrupted)" in visits(where, listen=listen).stdout


def test_running_daemon_deletes_so_that_its_pages_know(
    daemon: Daemon, state: Path, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    set_password(password, WORD)
    setting = f"--set=access.password_file={password}"
    daemon.start({"access.password_file": password}, environ={"STATE_DIRECTORY": str(state)})
    listen = f"--set=server.listen=127.0.0.1:{daemon.port}"
    eventually(lambda: len(listed(state)["visits"]) == 4, "the visits are read")
    done = visits(None, setting, "--delete=2", listen=listen)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Visit 2 was deleted.\n", "")
    assert [each["id"] for each in listed(state)["visits"]] == [4, 3, 1]
    for number in ("0", "2"):
        done = visits(None, setting, f"--delete={number}", listen=listen)
        why = f"ERROR: there is no visit {number}; doorbelld visits lists them\n"
        assert (done.returncode, done.stdout, done.stderr) == (1, "", why)
    assert listed(state)["count"] == 3
    done = visits(None, "--delete=all", listen=listen)
    assert (done.returncode, done.stdout) == (4, ""), "without the password"
    assert done.stderr.endswith("only root may read: sudo doorbelld visits\n")
    done = visits(None, setting, "--delete=all", listen=listen)
    assert (done.returncode, done.stdout) == (0, "All visits were deleted.\n")
    assert listed(state)["count"] == 0


@pytest.mark.parametrize("options", [[], ["--export=x"], ["--delete=1"]])
def test_says_that_only_root_may_read_the_folder(reachable: Path, options: list[str]) -> None:
    state, folder = reachable, reachable / "visits"
    folder.chmod(0)
    try:
        done = visits(state, *options, prefix=AS_USER if os.geteuid() == 0 else ())
    finally:
        folder.chmod(0o700)
    assert (done.returncode, done.stdout) == (1, "")
    why = "only root may do that; try it with sudo"
    assert re.fullmatch(rf"ERROR: {folder}\S*: {why}\n", done.stderr)


def test_files_stay_those_of_the_service(reachable: Path) -> None:
    """Whatever root does, also where SQLite makes the files by which several processes read."""
    state, folder = reachable, reachable / "visits"
    owner = USER if os.geteuid() == 0 else os.geteuid()
    for path in [state, folder, *folder.iterdir()]:
        os.chown(path, owner, -1)
    for options in (["--json"], [], ["--export", str(state / "out")], ["--delete=3"]):
        for path in (folder / "index.sqlite-wal", folder / "index.sqlite-shm"):
            path.unlink(missing_ok=True)
        done = visits(state, *options)
        assert (done.returncode, done.stderr) == (0, "")
        assert {path.stat().st_uid for path in [folder, *folder.iterdir()]} == {owner}
    assert {path.stat().st_uid for path in (state / "out").iterdir()} == {os.geteuid()}


@pytest.mark.parametrize("mode", [0, 0o600, 0o440])
def test_export_follows_links_no_further_than_the_service(
    reachable: Path, tmp_path: Path, mode: int
) -> None:
    """An attacker in the service cannot make root copy what only root or its group may read."""
    secret, out = reachable / "secret", tmp_path / "out"
    secret.write_bytes(b"for root alone")
    secret.chmod(mode if os.geteuid() == 0 else 0)
    still = reachable / "visits" / "2.jpg"
    still.unlink()
    still.symlink_to(secret)
    if os.geteuid() == 0:
        os.chown(reachable / "visits", USER, USER)
        for path in (reachable / "visits").iterdir():
            os.chown(path, USER, USER, follow_symlinks=False)
    done = visits(reachable, "--export", str(out), prefix=AS_SUDO if os.geteuid() == 0 else ())
    assert (done.returncode, done.stdout) == (1, "")
    assert "Permission denied" in done.stderr
    assert b"for root alone" not in [path.read_bytes() for path in out.iterdir()]


def test_export_to_a_full_disk_leaves_only_whole_files(state: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    script = f'mount -t tmpfs -o size=64k tmpfs {disk} && "$@"; code=$?; ls -AR {disk}; exit $code'
    prefix = ["unshare", *as_root, "--mount", "sh", "-c", script, "sh"]
    done = visits(state, "--export", f"{disk}/out", prefix=prefix)
    assert done.returncode == 1
    assert done.stderr == f"ERROR: {disk}/out: No space left on device\n"
    names = done.stdout.splitlines()
    assert [name for name in names if name.endswith(".jpg")]
    assert not [name for name in names if name.endswith(".new")]


def test_export_beside_a_running_daemon(daemon: Daemon, state: Path, tmp_path: Path) -> None:
    daemon.start(environ={"STATE_DIRECTORY": str(state)})
    eventually(lambda: daemon.status()["visits"]["count"] == 4, "the visits are read")
    listen = f"--set=server.listen=127.0.0.1:{daemon.port}"
    done = visits(state, "--export", str(tmp_path / "out"), listen=listen)
    assert (done.returncode, done.stderr) == (0, "")
    assert len([*(tmp_path / "out").iterdir()]) == 8
