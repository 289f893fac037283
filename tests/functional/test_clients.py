"""Real clients read the stream: curl, ffmpeg and OpenCV, as people use them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import cv2
import pytest

from tests.support.daemon import GUARD, Daemon
from tests.support.pictures import jpeg, number_of

PATHS = ["/video_feed", "/stream.mjpg", "/?action=stream"]
SIZE = (320, 240)
PICTURES = 16


@pytest.fixture
def door(daemon: Daemon, tmp_path: Path) -> Daemon:
    """Return a daemon that shows sixteen pictures over and over."""
    film = tmp_path / "film.mjpeg"
    film.write_bytes(b"".join(jpeg(number, *SIZE) for number in range(PICTURES)))
    daemon.start({"camera.source": f"file:{film}", "camera.framerate": 25})
    daemon.wait_for_state("streaming")
    return daemon


def url(door: Daemon, path: str) -> str:
    return f"http://127.0.0.1:{door.port}{path}"


def assert_in_order(numbers: list[int]) -> None:
    """Each picture is the next, or one some steps on where the reader was slow."""
    steps = [(later - earlier) % PICTURES for earlier, later in zip(numbers, numbers[1:])]
    assert 0 not in steps, numbers
    assert max(steps) < PICTURES // 2, numbers


@pytest.mark.parametrize("path", PATHS)
def test_opencv(door: Daemon, path: str) -> None:
    capture = cv2.VideoCapture(url(door, path), cv2.CAP_FFMPEG)
    assert capture.isOpened()
    frames = [capture.read() for _ in range(30)]
    capture.release()
    assert all(read and image.shape == (SIZE[1], SIZE[0], 3) for read, image in frames)
    assert_in_order([int(image.mean()) // 16 for _, image in frames])


@pytest.mark.parametrize("path", PATHS)
def test_ffmpeg(door: Daemon, path: str, tmp_path: Path) -> None:
    command = ["ffmpeg", "-loglevel", "error", "-i", url(door, path), "-frames:v", "30"]
    command += ["-fps_mode", "passthrough", str(tmp_path / "%02d.png")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=GUARD, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    pictures = sorted(tmp_path.glob("*.png"))
    assert len(pictures) == 30
    assert_in_order([number_of(picture.read_bytes()) for picture in pictures])


def test_ffmpeg_copies_the_pictures_as_they_are(door: Daemon, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mjpeg"
    command = ["ffmpeg", "-loglevel", "error", "-i", url(door, "/video_feed")]
    command += ["-frames:v", "20", "-codec", "copy", str(copy)]
    subprocess.run(command, timeout=GUARD, check=True)
    found = re.findall(rb"\xff\xd8\xff.*?\xff\xd9(?=\xff\xd8\xff|$)", copy.read_bytes(), re.DOTALL)
    assert len(found) == 20
    assert set(found) <= {jpeg(number, *SIZE) for number in range(PICTURES)}


def test_curl(door: Daemon, tmp_path: Path) -> None:
    def curl(*options: str) -> bytes:
        command = ["curl", "--fail", "--silent", "--show-error", *options]
        return subprocess.run(command, capture_output=True, timeout=GUARD, check=True).stdout

    assert b"<title>Front door</title>" in curl(url(door, "/"))
    assert b"<title>Front door</title>" in curl("--compressed", "--location", url(door, "/"))
    picture = curl("--dump-header", str(tmp_path / "head"), url(door, "/snapshot.jpg"))
    assert picture in {jpeg(number, *SIZE) for number in range(PICTURES)}
    assert "X-Timestamp: " in (tmp_path / "head").read_text()
    head = curl("--head", url(door, "/video_feed")).decode()
    assert "Content-Type: multipart/x-mixed-replace; boundary=frame" in head


def test_curl_keeps_reading_the_stream(door: Daemon) -> None:
    command = ["curl", "--silent", "--no-buffer", url(door, "/video_feed")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        data = b""
        while data.count(b"--frame\r\n") < 30:
            data += process.stdout.read(1000)
        process.terminate()
    assert len(re.findall(rb"\r\nX-Timestamp: \d+\.\d{6}\r\n\r\n\xff\xd8", data)) >= 29
