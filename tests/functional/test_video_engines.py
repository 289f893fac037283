"""docs/video-engines.md is followed, with a video engine of Debian's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import GUARD, ROOT, Daemon, eventually
from tests.support.numbered_pictures import film
from tests.support.video_engine import VideoEngine

PAGE = (ROOT / "docs" / "video-engines.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    runOnInit: (.+)$", PAGE, re.MULTILINE)
FPS = 10
PICTURES = 500
READ = 15


@pytest.fixture
def door(daemon: Daemon, tmp_path: Path) -> Daemon:
    """Return a daemon that plays a film, with ten pictures a second."""
    source = film(tmp_path / "film.mjpeg", PICTURES)
    daemon.start({"camera.source": f"file:{source}", "camera.framerate": FPS})
    daemon.wait_for_state("streaming")
    return daemon


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[VideoEngine]:
    """Return a video engine to which nothing is published yet."""
    with VideoEngine(tmp_path) as found:
        yield found


def command(program: str, door: Daemon, engine: VideoEngine) -> list[str]:
    """Return a command of the page, as MediaMTX would run it. It uses no shell."""
    (found,) = (str(each) for each in COMMANDS if each.startswith(program))
    ours = found.replace("http://doorbell.local:5000", f"http://127.0.0.1:{door.port}")
    ours = ours.replace("rtsp://localhost:$RTSP_PORT/$MTX_PATH", engine.address)
    assert "localhost" not in ours
    return ours.split()


def assert_film_is_shown(engine: VideoEngine) -> None:
    numbers = engine.numbers(READ)
    assert len(numbers) == READ
    steps = [(b - a) % PICTURES for a, b in zip(numbers, numbers[1:])]
    assert all(step <= PICTURES // 2 for step in steps), numbers
    assert sum(steps) >= READ // 3, numbers


def restart(door: Daemon) -> None:
    """Stop it and start it again, without a service manager that keeps the streams open."""
    assert door.stop() == 0
    starts = door.log().count("open http")
    door.start(door.settings, wait=False)
    eventually(lambda: door.log().count("open http") > starts, "it listens again")


def test_ffmpeg_publishes_and_goes_on_after_a_restart(door: Daemon, engine: VideoEngine) -> None:
    with engine.publisher(command("ffmpeg", door, engine)) as process:
        door.wait_for_viewers(1)
        assert_film_is_shown(engine)
        restart(door)
        door.wait_for_viewers(1)
        assert_film_is_shown(engine)
        assert process.poll() is None, "it is the same process"


def test_gstreamer_publishes_and_is_started_again_after_a_restart(
    door: Daemon, engine: VideoEngine
) -> None:
    words = command("gst-launch-1.0", door, engine)
    with engine.publisher(words) as process:
        door.wait_for_viewers(1)
        assert_film_is_shown(engine)
        restart(door)
        process.wait(GUARD)
    with engine.publisher(words):
        door.wait_for_viewers(1)
        assert_film_is_shown(engine)
