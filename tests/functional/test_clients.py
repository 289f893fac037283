"""Real clients read the stream: curl, ffmpeg and OpenCV, as people use them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.numbered_pictures import film, numbered, read_number
from tests.support.paths import SNAPSHOTS, STREAMS
from tests.support.stream_parser import StreamParser

FRAMES = 40
PICTURES = 1000
WIDTH, HEIGHT = 64, 48


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Return a daemon that plays a film of pictures with numbers."""
    folder = tmp_path_factory.mktemp("door")
    source = film(folder / "film.mjpeg", PICTURES)
    with Daemon(folder) as daemon:
        daemon.start({"camera.source": f"file:{source}", "camera.framerate": 50})
        daemon.wait_for_state("streaming")
        yield daemon
        daemon.wait_for_viewers(0)


def url(door: Daemon, path: str) -> str:
    return f"http://127.0.0.1:{door.port}{path}"


def run(command: Sequence[str]) -> bytes:
    """Return what a client prints; it must report no error."""
    done = subprocess.run(command, capture_output=True, timeout=GUARD, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def ffmpeg(door: Daemon, path: str, *options: str, before: Sequence[str] = ()) -> bytes:
    """Return the frames as ffmpeg prints them."""
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", *before, "-i", url(door, path)]
    return run([*command, "-frames:v", str(FRAMES), "-vsync", "passthrough", *options, "-"])


def curl(*options: str) -> bytes:
    return run(["curl", "--fail", "--silent", "--show-error", "--globoff", *options])


def assert_in_order(numbers: Iterable[int]) -> None:
    """Check that each picture is the next one, or a later one if the reader was slow."""
    numbers = list(numbers)
    steps = [(later - earlier) % PICTURES for earlier, later in zip(numbers, numbers[1:])]
    assert all(0 < step < PICTURES // 2 for step in steps), numbers


def pictures_in(data: bytes) -> list[bytes]:
    """Split JPEGs that follow each other without a gap."""
    return re.findall(rb"\xff\xd8\xff.*?\xff\xd9(?=\xff\xd8\xff|$)", data, re.DOTALL)


@pytest.mark.parametrize("path", [*STREAMS, "/video_feed?advance_headers=1", "/stream?fps=30"])
def test_opencv_reads_the_stream(door: Daemon, path: str) -> None:
    capture = cv2.VideoCapture(url(door, path), cv2.CAP_FFMPEG)
    try:
        assert capture.isOpened()
        frames = [capture.read() for _ in range(FRAMES)]
    finally:
        capture.release()
    assert all(whole for whole, _ in frames)
    assert {image.shape for _, image in frames} == {(HEIGHT, WIDTH, 3)}
    assert_in_order(read_number(image) for _, image in frames)


@pytest.mark.parametrize("path", [*STREAMS, "/stream.mjpg?fps=30"])
def test_ffmpeg_decodes_the_stream(door: Daemon, path: str) -> None:
    data = ffmpeg(door, path, "-f", "rawvideo", "-pix_fmt", "gray")
    images = np.frombuffer(data, np.uint8).reshape(-1, HEIGHT, WIDTH)
    assert len(images) == FRAMES
    assert_in_order(read_number(image) for image in images)


@pytest.mark.parametrize("path", STREAMS)
def test_ffmpeg_copies_the_pictures_as_they_are(door: Daemon, path: str) -> None:
    options = ["-codec", "copy", "-f", "mjpeg"]
    # Even with a strict check of the boundary that the head of the answer names.
    data = ffmpeg(door, path, *options, before=["-f", "mpjpeg", "-strict_mime_boundary", "1"])
    found = pictures_in(data)
    assert len(found) == FRAMES
    numbers = [read_number(picture) for picture in found]
    assert found == [numbered(number) for number in numbers]
    assert_in_order(numbers)


def test_ffmpeg_takes_the_snapshot(door: Daemon) -> None:
    for path in SNAPSHOTS:
        command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-i", url(door, path)]
        data = run([*command, "-codec", "copy", "-f", "image2pipe", "-"])
        assert data == numbered(read_number(data))


@pytest.mark.parametrize("path", STREAMS)
def test_curl_reads_the_stream(door: Daemon, path: str) -> None:
    command = ["curl", "--silent", "--no-buffer", "--include", url(door, path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            assert process.stdout.readline() == b"HTTP/1.1 200 OK\r\n"
            head = b"".join(iter(process.stdout.readline, b"\r\n"))
            assert b"Content-Type: multipart/x-mixed-replace; boundary=frame\r\n" in head
            numbers = []
            parser = StreamParser()
            for _ in range(FRAMES):
                part = parser.read(process.stdout)
                assert part
                numbers.append(read_number(part.body))
                assert part.body == numbered(numbers[-1])
        finally:
            process.terminate()
    assert_in_order(numbers)


def test_curl_saves_the_stream_to_a_file(door: Daemon, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    enough = 2 * FRAMES * len(numbered(0))
    command = ["curl", "--silent", "--no-buffer", "--output", str(saved)]
    with subprocess.Popen([*command, url(door, "/stream.mjpg")]) as process:
        try:
            eventually(lambda: saved.exists() and saved.stat().st_size > enough, "a long stream")
        finally:
            process.terminate()
    # ffmpeg reads such a file as it reads the stream.
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-f", "mpjpeg", "-i", str(saved)]
    data = run([*command, "-frames:v", str(FRAMES), "-codec", "copy", "-f", "mjpeg", "-"])
    found = pictures_in(data)
    assert found == [numbered(read_number(picture)) for picture in found]
    assert len(found) == FRAMES
    assert_in_order(read_number(picture) for picture in found)


@pytest.mark.parametrize("options", [[], ["--compressed"], ["--http1.0"], ["--http2"]])
def test_curl_gets_page_and_snapshot(door: Daemon, tmp_path: Path, options: list[str]) -> None:
    assert b"<title>Front door</title>" in curl(*options, url(door, "/"))
    for path in SNAPSHOTS:
        heads = tmp_path / "heads"
        picture = curl(*options, "--dump-header", str(heads), url(door, path))
        assert picture == numbered(read_number(picture))
        assert "\nX-Timestamp: " in heads.read_text(encoding="ascii")


def test_curl_asks_on_one_connection(door: Daemon, tmp_path: Path) -> None:
    paths = ["/", "/snapshot.jpg", "/status", "/healthz"]
    urls = [url(door, path) for path in paths]
    sinks = [word for path in range(len(paths)) for word in ("--output", str(tmp_path / str(path)))]
    connects = curl("--write-out", "%{num_connects} %{http_code}\n", *sinks, *urls)
    assert connects.decode().split() == ["1", "200", *["0", "200"] * 3]


@pytest.mark.parametrize("path", STREAMS)
def test_curl_asks_for_the_head_of_the_stream(door: Daemon, path: str) -> None:
    head = curl("--head", url(door, path)).decode("ascii")
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert "Content-Type: multipart/x-mixed-replace; boundary=frame\r\n" in head
