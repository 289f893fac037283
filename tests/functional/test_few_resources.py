"""Limits set by a shell or a supervisor: what is missing is reported in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cards import READY_CARD, SIZE
from tests.support.daemon import GUARD, ROOT, Daemon
from tests.support.pictures import jpeg
from tests.support.stream import Stream

MB = 2**20
NO_ROOM = (
    r"needs OpenCV, and the memory limit \(ulimit -v\) leaves \d+ MB for OpenCV, which takes 250"
)


def limited(limit: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of doorbelld under a limit; it must not hang."""
    return subprocess.run(
        ["prlimit", limit, sys.executable, "-m", "doorbelld", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=GUARD,
    )


@pytest.mark.parametrize("megabytes", [100, 150, 200, 250])
def test_without_room_for_opencv_it_says_so_and_serves_on(daemon: Daemon, megabytes: int) -> None:
    limit = f"--as={megabytes * MB}"
    daemon.start({**SIZE, "camera.source": "pattern"}, prefix=["prlimit", limit])
    daemon.wait_for_log(f"camera offline: The test pattern {NO_ROOM} MB")
    with Stream(daemon) as stream:
        assert stream.part().body == READY_CARD
    assert daemon.request("/")[0].status == 200
    assert "MemoryError" not in daemon.log()


@pytest.mark.parametrize("megabytes", [100, 200])
def test_pictures_need_no_room(daemon: Daemon, tmp_path: Path, megabytes: int) -> None:
    limit = f"--as={megabytes * MB}"
    film = tmp_path / "film.mjpeg"
    film.write_bytes(jpeg(1))
    daemon.start({**SIZE, "camera.source": f"file:{film}"}, prefix=["prlimit", limit])
    with Stream(daemon) as stream:
        while stream.part().body != jpeg(1):
            pass
    assert "MemoryError" not in daemon.log()


@pytest.mark.parametrize("megabytes", [400, 600])
def test_with_room_for_opencv_it_is_used(daemon: Daemon, megabytes: int) -> None:
    limit = f"--as={megabytes * MB}"
    daemon.start({**SIZE, "camera.source": "pattern"}, prefix=["prlimit", limit])
    daemon.wait_for_state("streaming")


@pytest.mark.parametrize("megabytes", [70, 90, 100, 150, 200, 250, 300, 400])
def test_check_does_not_hang_for_want_of_memory(megabytes: int) -> None:
    done = limited(f"--as={megabytes * MB}", "--check", "--set=camera.source=pattern")
    assert "Traceback" not in done.stderr
    if megabytes < 250:
        assert done.returncode == 1
        assert "No picture: The test pattern needs OpenCV, and the memory limit" in done.stdout
    assert limited(f"--as={megabytes * MB}", "cameras").stderr == ""


@pytest.mark.parametrize("files", [6, 8, 10, 12, 16, 20, 31])
def test_with_too_few_files_it_says_so_and_ends(files: int) -> None:
    done = limited(f"--nofile={files}", "--set=server.listen=127.0.0.1:0")
    said = f"ERROR: only {files} files may be open (ulimit -n), and at least 32 are needed\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert limited(f"--nofile={files}", "cameras").stderr == ""
    checked = limited(f"--nofile={files}", "--check", "--set=camera.source=pattern")
    assert "Traceback" not in checked.stderr


def test_with_just_enough_files_it_serves(daemon: Daemon) -> None:
    daemon.start({**SIZE, "camera.source": "pattern"}, prefix=["prlimit", "--nofile=32"])
    daemon.wait_for_state("streaming")
    with Stream(daemon) as stream:
        assert stream.part().body
        assert daemon.request("/status")[0].status == 200
