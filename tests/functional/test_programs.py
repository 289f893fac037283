"""docs/programs.md is followed exactly, with the real programs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.daemon import GUARD, ROOT, Daemon, eventually
from tests.support.numbered_pictures import film, numbered, numbers_in
from tests.support.pipe_camera import PipeCamera
from tests.support.ports import free_port
from tests.support.stream import Stream

PAGE = (ROOT / "docs" / "programs.md").read_text(encoding="utf-8")
ADDRESS = "http://doorbell.local:5000"
BLOCKS = re.findall(r"^## (.+?)$|^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = "".join(text for _, kind, text in BLOCKS if kind == "sh").splitlines()
FPS = 10
PICTURES = 500

PROGRAMS = {
    "go": ("door.go", ["go", "run"]),
    "js": ("door.js", ["node"]),
    "java": ("Door.java", ["java"]),
}


def block(title: str, kind: str) -> str:
    """Return the text of the first block of a kind below a heading."""
    heading = ""
    for found, each, text in BLOCKS:
        heading = found or heading
        if heading == title and each == kind:
            return str(text)
    raise AssertionError(f"no {kind} below {title}")


def at(door: Daemon, text: str) -> str:
    """Return a text of the page with the daemon's own address in it."""
    assert ADDRESS in text
    return text.replace(ADDRESS, f"http://127.0.0.1:{door.port}")


@pytest.fixture
def door(daemon: Daemon, tmp_path: Path) -> Daemon:
    """Return a daemon that plays a film, with ten pictures a second."""
    source = film(tmp_path / "film.mjpeg", PICTURES)
    daemon.start({"camera.source": f"file:{source}", "camera.framerate": FPS})
    daemon.wait_for_state("streaming")
    return daemon


def restart(door: Daemon) -> None:
    """Stop it and start it again, without a service manager that keeps the streams open."""
    assert door.stop() == 0
    starts = door.log().count("open http")
    door.start(door.settings, wait=False)
    eventually(lambda: door.log().count("open http") > starts, "it listens again")


def length(path: Path) -> tuple[float, int]:
    """Return the seconds that a video lasts, and the number of its pictures."""
    command = ["ffprobe", "-v", "error", "-count_packets", "-of", "csv=p=0"]
    entries = ["-show_entries", "stream=nb_read_packets:format=duration"]
    found = subprocess.run(
        [*command, *entries, str(path)], capture_output=True, text=True, check=True, timeout=GUARD
    )
    count, seconds = found.stdout.split()
    return float(seconds), int(count)


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[list[str]]:
    """Run a program during the block; return the lines that it has printed so far."""
    lines: list[str] = []
    with (
        (folder / "errors").open("wb") as errors,
        subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        assert process.stdout
        reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()))
        reader.start()
        try:
            yield lines
        finally:
            # `go run` has the program as its child, and does not pass signals on.
            subprocess.run(["pkill", "-P", str(process.pid)], check=False, timeout=GUARD)
            process.terminate()
            reader.join()


@pytest.mark.parametrize("kind", PROGRAMS)
def test_program_has_each_picture_before_the_next_is_taken(
    daemon: Daemon, pipe_camera: PipeCamera, tmp_path: Path, kind: str
) -> None:
    (text,) = (text for _, each, text in BLOCKS if each == kind)
    name, command = PROGRAMS[kind]
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 3600})
    pipe_camera.show(numbered(0))
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / name).write_text(at(daemon, text))
    with running([*command, name], folder) as lines:
        for number in range(5):
            # The first time, Go compiles its library.
            eventually(lambda: len(lines) > number, f"picture {number}", 4 * GUARD)  # noqa: B023
            assert lines[number].startswith(f"{len(numbered(number))} bytes")
            pipe_camera.show(numbered(number + 1))


def test_opencv_reads_pictures(door: Daemon, tmp_path: Path) -> None:
    (tmp_path / "door.py").write_text(at(door, block("Python with OpenCV", "python")))
    with running([sys.executable, "door.py"], tmp_path) as lines:
        eventually(lambda: len(lines) > 20, "pictures")
        assert set(lines) == {"64x48\n"}


@pytest.mark.parametrize(
    "command", [each for each in COMMANDS if not each.startswith(("ffmpeg", "vlc"))]
)
def test_command_works_as_it_stands(door: Daemon, tmp_path: Path, command: str) -> None:
    done = subprocess.run(  # noqa: S602  # a shell is where the page's commands go
        at(door, command), shell=True, cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done
    for name in re.findall(r"--output (\S+)", command):
        assert b"\xff\xd8" in (tmp_path / name).read_bytes()[:200]


def test_every_program_with_a_command_is_run() -> None:
    assert {each.split()[0] for each in COMMANDS} == {"curl", "ffmpeg", "gst-launch-1.0", "vlc"}
    assert [each for each in COMMANDS if each.startswith("ffmpeg")][2].startswith("ffmpeg -reconn")


@pytest.mark.parametrize("number", [0, 1])
def test_ffmpegs_video_is_as_long_as_it_was(door: Daemon, tmp_path: Path, number: int) -> None:
    command = [each for each in COMMANDS if each.startswith("ffmpeg -use")][number]
    done = subprocess.run(
        [*at(door, command).split(), "-nostdin"],
        cwd=tmp_path,
        capture_output=True,
        timeout=3 * GUARD,
        check=False,
    )
    assert done.returncode == 0, done
    path = tmp_path / command.split()[-1]
    seconds, _ = length(path)
    assert seconds == pytest.approx(10, abs=0.5)
    numbers = list(numbers_in(path))
    taken = (numbers[-1] - numbers[0]) % PICTURES
    assert taken / FPS == pytest.approx(seconds, rel=0.2), "25 a second would be assumed"


def test_ffmpeg_goes_on_after_a_restart(door: Daemon, tmp_path: Path) -> None:
    (command,) = (each for each in COMMANDS if each.startswith("ffmpeg -reconnect"))
    words = [*at(door, command).split(), "-nostdin"]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        rows = door.wait_for_viewers(1)
        eventually(lambda: door.status()["viewers"][0]["sent"] > 2 * FPS, "two seconds")
        assert process.poll() is None, rows
        restart(door)
        door.wait_for_viewers(1)
        assert process.wait(3 * GUARD) == 0
    seconds, count = length(tmp_path / "long.mkv")
    assert seconds == pytest.approx(10, abs=0.5)
    assert count > 4 * FPS, "pictures of both"


def test_motion_reads_the_stream_and_connects_again(door: Daemon, tmp_path: Path) -> None:
    text = block("motion", "text")
    assert re.findall(r"fps=(\d+)\nframerate (\d+)\n", text) == [("10", "10")]
    port = free_port()
    more = "picture_output off\nmovie_output off\nwebcontrol_port 0\nstream_maxrate 10\n"
    config = tmp_path / "motion.conf"
    config.write_text(f"{at(door, text)}stream_port {port}\ntarget_dir {tmp_path}\n{more}")
    motion = shutil.which("motion")
    assert motion
    url = f"http://127.0.0.1:{port}/"
    with (
        (tmp_path / "errors").open("wb") as errors,
        subprocess.Popen(
            [motion, "-n", "-c", str(config)], stdout=errors, stderr=errors
        ) as process,
    ):
        try:
            eventually(lambda: is_shown(url, tmp_path), "motion shows a picture")
            restart(door)
            eventually(lambda: door.status()["watching"] == 1, "motion is back", 2 * GUARD)
        finally:
            process.terminate()


def is_shown(url: str, folder: Path) -> bool:
    """Return whether a stream of motion has a picture in its first three seconds."""
    path = folder / "shown"
    command = ["curl", "--silent", "--max-time", "3", "--output", str(path), url]
    subprocess.run(command, check=False, timeout=GUARD)
    return path.exists() and b"\xff\xd8\xff" in path.read_bytes()


def test_home_assistants_addresses_have_the_form_that_its_browser_needs(door: Daemon) -> None:
    stream, still = (
        found.partition(ADDRESS)[2] for found in block("Home Assistant", "text").splitlines()
    )
    agent = "User-Agent: HomeAssistant/2025.4.4 aiohttp/3.11.16 Python/3.13\r\n"
    with Stream(door, stream, headers=agent) as found:
        head = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"
        assert found.file.read(len(head) + 2) == head + b"\xff\xd8"
    answer, body = door.request(still)
    assert (answer.status, answer.getheader("Content-Type")) == (200, "image/jpeg")
    assert body.startswith(b"\xff\xd8")


def test_octoprints_addresses_are_answered(door: Daemon) -> None:
    for line in block("OctoPrint", "text").splitlines():
        path = line.partition(ADDRESS)[2].partition("?")[0]
        assert door.request(path, "HEAD")[0].status == 200
