"""A camera, or a program that pretends to be one, that tries to do harm.

Every row runs the shipped daemon, and looks at the most memory that it ever took, at its CPU
time, at what it says, and whether it plays a good camera afterwards.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from doorbelld.media.jpeg import MOST_PIXELS
from tests.support import processes
from tests.support.cards import SIZE, see
from tests.support.daemon import Daemon, eventually
from tests.support.pictures import claiming, jpeg, number_of
from tests.support.pipe_camera import PipeCamera
from tests.support.raw_camera import Asked, RawCamera, answer
from tests.support.stream import Stream

MEMORY = 256 * 1024 * 1024
"""Bytes of memory that the daemon takes at most: few enough for a machine with 512 MB."""

CPU = 20
"""Seconds of CPU time: enough to start, to load OpenCV, and for a little harm."""

MULTIPART = "multipart/x-mixed-replace; boundary=part"
TURNED = {**SIZE, "camera.rotation": 90}
NOT_TURNED = (
    r"a picture had more than 12\.6 million pixels, was too large to turn, and was left out"
)


@functools.cache
def large_jpeg(width: int, height: int, *options: int) -> bytes:
    image = np.full((height, width), 90, np.uint8)
    return bytes(cv2.imencode(".jpg", image, options)[1])


def bomb(scans: int) -> bytes:
    """Return a progressive JPEG with many scans, each of which is a pass for the decoder."""
    data = large_jpeg(4096, 3072, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    scan = b"\xff\xda\0\x08\x01\x01\0\0\0\x01\0"
    return data[:-2] + scan * scans + data[-2:]


def sees_no_harm(daemon: Daemon) -> None:
    assert processes.peak(daemon.pid) < MEMORY
    assert processes.cpu_seconds(daemon.pid) < CPU


def sees_good_camera(daemon: Daemon) -> None:
    """Wait for the picture jpeg(2), however it is rotated."""
    with Stream(daemon) as stream:
        while number_of(stream.part().body) != 2:
            pass
    assert daemon.wait_for_state("streaming")
    sees_no_harm(daemon)


LARGE = {
    "many pixels": (large_jpeg(8000, 8000), NOT_TURNED),
    "many pixels, progressive": (
        large_jpeg(8000, 8000, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        NOT_TURNED,
    ),
    "just too many": (large_jpeg(4096, 3073), NOT_TURNED),
    "most pixels there can be": (
        claiming(65535, 65535),
        "a picture had more than 50 million pixels, and|12.6 million pixels",
    ),
    "a claim": (claiming(4096, 3072), "a picture was damaged"),
    "many scans": (bomb(5000), "a picture was damaged"),
    "two headers": (jpeg(1)[:2] + jpeg(1, 640, 480)[2:-2] + jpeg(1)[2:], "a picture was damaged"),
}


@pytest.mark.parametrize(("data", "said"), LARGE.values(), ids=list(LARGE))
def test_picture_that_is_too_much_to_decode_is_left_out(
    daemon: Daemon, pipe_camera: PipeCamera, data: bytes, said: str
) -> None:
    daemon.start({**TURNED, "camera.source": pipe_camera.source})
    for _ in range(3):
        pipe_camera.show(data)
    daemon.wait_for_log(said)
    sees_no_harm(daemon)
    pipe_camera.show(jpeg(2))
    sees_good_camera(daemon)


def test_picture_that_is_too_large_in_a_folder_is_left_out(daemon: Daemon, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(large_jpeg(8000, 8000))
    daemon.start({**TURNED, "camera.source": f"file:{folder}", "camera.stall_timeout": 2})
    daemon.wait_for_log(NOT_TURNED)
    assert (
        "12.6 million pixels, which are too large to turn, for 2 s"
        in daemon.wait_for_state("offline")["detail"]
    )
    sees_no_harm(daemon)
    (folder / "1.jpg").write_bytes(jpeg(2))
    sees_good_camera(daemon)


def test_picture_of_many_pixels_is_not_shown_either(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({**SIZE, "camera.source": pipe_camera.source})
    most = claiming(10_000, MOST_PIXELS // 10_000)
    with Stream(daemon) as stream:
        pipe_camera.show(most)
        see(stream, most)
        pipe_camera.show(claiming(10_000, MOST_PIXELS // 10_000 + 1))
        daemon.wait_for_log("a picture had more than 50 million pixels, and was left out")
        pipe_camera.show(jpeg(2))
        assert stream.part().body == jpeg(2)
    assert daemon.status()["camera"]["invalid"] == 1


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
def test_the_largest_picture_that_is_turned_fits_a_small_machine(
    daemon: Daemon, pipe_camera: PipeCamera, options: tuple[int, ...]
) -> None:
    daemon.start({**TURNED, "camera.source": pipe_camera.source, "camera.hflip": True})
    pipe_camera.show(large_jpeg(4096, 3072, *options))
    camera = daemon.wait_for_state("streaming")
    assert (camera["width"], camera["height"], camera["invalid"]) == (3072, 4096, 0)
    assert processes.peak(daemon.pid) < MEMORY


def forever(*pieces: bytes, kind: str = MULTIPART) -> Iterable[bytes]:
    first, again = pieces
    yield answer(first, kind)
    while True:
        yield again


ENDLESS = {
    "a part of 2 GB": (b"--part\r\nContent-Length: 2147483647\r\n\r\n", bytes(1 << 20)),
    "a picture": (jpeg(1)[:-2], bytes(1 << 20)),
    "fill bytes": (b"\xff\xd8", b"\xff" * (1 << 20)),
    "headers of a part": (b"--part\r\n", b"X: y\r\n" * 100_000),
    "no part": (b"", b"\r\n" * 500_000),
}


@pytest.mark.parametrize("pieces", ENDLESS.values(), ids=list(ENDLESS))
def test_network_camera_that_sends_without_end(daemon: Daemon, pieces: tuple[bytes, bytes]) -> None:
    with RawCamera(lambda _: forever(*pieces)) as camera:
        daemon.start({**TURNED, "camera.source": f"http://{camera.address}/"})
        daemon.wait_for_log("has sent 32 MB without a picture")
        sees_no_harm(daemon)
        camera.become(lambda _: [answer(jpeg(2))])
        sees_good_camera(daemon)
        assert daemon.stop() == 0


def test_network_camera_with_pictures_too_large(daemon: Daemon) -> None:
    shown = [large_jpeg(8000, 8000)]
    with RawCamera(lambda _: [answer(shown[0])]) as camera:
        daemon.start({**TURNED, "camera.source": f"http://{camera.address}/"})
        daemon.wait_for_log(NOT_TURNED)
        sees_no_harm(daemon)
        shown[0] = jpeg(2)
        sees_good_camera(daemon)


def test_network_camera_that_drips_does_not_delay_the_stop(daemon: Daemon) -> None:
    def drip(_: Asked) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nX: "
        while not ended.wait(0.1):
            yield b"y"

    ended = threading.Event()
    with RawCamera(drip) as camera:
        daemon.start({**SIZE, "camera.source": f"http://{camera.address}/"})
        eventually(lambda: camera.asked, "a request")
        assert daemon.stop() == 0
        ended.set()
    assert "left behind" not in daemon.log()


@pytest.mark.parametrize(
    "data",
    [b"\xff" * (1 << 20), b"\xff\xd8" + b"\xff" * (1 << 20), b"\xff\xe0\0\2" * (1 << 18)],
    ids=["fill", "fill in a picture", "least segments"],
)
def test_pipe_that_is_flooded(daemon: Daemon, pipe_camera: PipeCamera, data: bytes) -> None:
    daemon.start({**TURNED, "camera.source": pipe_camera.source, "camera.stall_timeout": 2})
    with pipe_camera.flooding(data):
        daemon.wait_for_state("offline")
        sees_no_harm(daemon)
    pipe_camera.show(jpeg(2))
    sees_good_camera(daemon)
