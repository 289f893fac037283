"""``doorbelld ring`` beside a running daemon, as a user runs it in a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.support.daemon import GUARD, ROOT, Daemon, eventually
from tests.support.passwords import set_password

if TYPE_CHECKING:
    from pathlib import Path


def ring(daemon: Daemon, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "doorbelld", "ring"]
    return subprocess.run(
        [*command, f"--set=server.listen=127.0.0.1:{daemon.port}", *options],
        cwd=ROOT,
        env={**os.environ, "STATE_DIRECTORY": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=GUARD,
    )


def visits(daemon: Daemon) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(daemon.request("/visits.json")[1])["visits"]
    return found


def start(daemon: Daemon, folder: Path) -> None:
    daemon.start(environ={"STATE_DIRECTORY": str(folder)})
    eventually((folder / "ring_token").exists, "there is a token")


def test_it_rings_and_says_so(daemon: Daemon, tmp_path: Path) -> None:
    start(daemon, tmp_path)
    done = ring(daemon, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    [visit] = visits(daemon)
    assert done.stdout == f"It has rung: visit {visit['id']}.\n"
    assert (visit["kind"], visit["presses"]) == ("ring", 1)
    assert ring(daemon, tmp_path).stdout == done.stdout, "it is the same visit"
    [visit] = visits(daemon)
    assert visit["presses"] == 2


def test_without_a_daemon_one_sentence_says_so(daemon: Daemon, tmp_path: Path) -> None:
    start(daemon, tmp_path)
    daemon.stop()
    done = ring(daemon, tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert "doorbelld is not running: nothing answers at port" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_user_that_may_not_read_the_password_is_shown_this_command(
    daemon: Daemon, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    set_password(password, "a word")
    daemon.start({"access.password_file": password}, environ={"STATE_DIRECTORY": str(tmp_path)})
    done = ring(daemon, tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.endswith("whose file only root may read: sudo doorbelld ring\n")


def test_wrong_token_does_not_ring(daemon: Daemon, tmp_path: Path) -> None:
    start(daemon, tmp_path)
    wrong = tmp_path / "wrong"
    wrong.write_text("x" * 32)
    done = ring(daemon, tmp_path, f"--set=bell.token_file={wrong}")
    assert (done.returncode, done.stdout) == (4, "")
    assert "doorbelld does not let this user ring: the token is wrong or missing" in done.stderr
    assert visits(daemon) == []


def test_missing_token_is_looked_for_in_the_folder_that_is_named(
    daemon: Daemon, tmp_path: Path
) -> None:
    start(daemon, tmp_path)
    other = tmp_path / "other"
    done = ring(daemon, other)
    assert (done.returncode, done.stdout) == (4, "")
    assert f"there is no token in {other}/ring_token" in done.stderr
    assert "set STATE_DIRECTORY" in done.stderr
    assert visits(daemon) == []


def test_it_rings_if_this_machine_is_a_trusted_proxy(daemon: Daemon, tmp_path: Path) -> None:
    daemon.start(
        {"access.trusted_proxies": "127.0.0.1"}, environ={"STATE_DIRECTORY": str(tmp_path)}
    )
    eventually((tmp_path / "ring_token").exists, "there is a token")
    assert ring(daemon, tmp_path).returncode == 0


def test_file_without_a_token_is_named(daemon: Daemon, tmp_path: Path) -> None:
    start(daemon, tmp_path)
    wrong = tmp_path / "wrong"
    wrong.write_text("no token\n")
    done = ring(daemon, tmp_path, f"--set=bell.token_file={wrong}")
    assert done.returncode == 1
    assert f"{wrong}: holds no token: delete it, and a new one is made" in done.stderr
