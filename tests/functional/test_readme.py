"""README is followed exactly."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import GUARD, ROOT, eventually

README = (ROOT / "README.md").read_text(encoding="utf-8")
CHECKOUT = README.partition("## Use it from other programs")[2]
"""The part before is for the installed package; the appliance tests follow it."""

COMMANDS = "\n".join(re.findall(r"```sh\n(.*?)```", CHECKOUT, re.DOTALL)).splitlines()
CI = (
    *("make test", "make lint", "make test-appliance"),
    *('make fuzz ARGS="--seconds 120"', 'make soak ARGS="--minutes 2"'),
)


def has_picture() -> bool:
    try:
        with urllib.request.urlopen("http://localhost:5000/snapshot.jpg") as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False


@pytest.fixture
def make_run(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run README's first command, and wait until it prints the address."""
    # Without the variables of a make that may have started these tests.
    environ = {
        key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "ARGS"))
    }
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            ["make", "run"], cwd=ROOT, env=environ, stderr=file, start_new_session=True
        )
    try:
        eventually(
            lambda: process.poll() is not None or "camera streaming" in log.read_text(),
            "an address to open, and a camera",
        )
        assert process.poll() is None, log.read_text()
        assert ":5000/" in log.read_text()
        eventually(has_picture, "a picture there")
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C in a terminal does
        process.wait(GUARD)
        eventually(lambda: "SIGINT: stopping" in log.read_text(), "a clean end")


@pytest.mark.alone("README names port 5000")
def test_every_command_of_readme_works_as_it_stands(
    make_run: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    for folder in (".venv", ".state"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    commands = [each for each in COMMANDS if each not in ("make run", "make check", *CI)]
    assert len(commands) >= 4, commands
    for command in commands:
        done = subprocess.run(  # noqa: S602  # a shell is where README's commands go
            command, shell=True, cwd=tmp_path, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout!r}\n{done.stderr!r}"
    assert (tmp_path / "door.jpg").read_bytes().startswith(b"\xff\xd8")
    assert (tmp_path / "door.mp4").stat().st_size > 1000
    assert make_run.poll() is None


def test_ci_runs_what_readme_asks_developers_to_run() -> None:
    assert set(CI) < set(COMMANDS)
    assert set(CI) < set((ROOT / ".ci" / "run").read_text().splitlines())


def test_every_file_that_readme_names_is_there() -> None:
    links = re.findall(r'\]\(([^)#]+)\)|src="([^"]+)"', README)
    paths = [path for pair in links for path in pair if path and "://" not in path]
    assert len(paths) > 6
    assert [path for path in paths if not (ROOT / path).exists()] == []
