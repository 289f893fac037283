"""The stream as its readers get it: whole, in order, at once, in the form each needs."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from tests.support.daemon import Daemon
from tests.support.pictures import big_jpeg, jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.stream import Stream

ADVANCE = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"


@pytest.fixture
def door(daemon: Daemon, pipe_camera: PipeCamera) -> Daemon:
    """Return a daemon whose frames the test makes, with the first one on the air."""
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 3600})
    pipe_camera.show(jpeg(0))
    daemon.wait_for_state("streaming")
    return daemon


def test_newest_frame_comes_at_once_though_no_other_follows(door: Daemon) -> None:
    for _ in range(2):
        with Stream(door) as stream:
            assert stream.part().body == jpeg(0)


def test_every_frame_comes_whole_and_in_order(door: Daemon, pipe_camera: PipeCamera) -> None:
    with ExitStack() as stack:
        streams = [stack.enter_context(Stream(door)) for _ in range(20)]
        for number in [0, *range(1, 12), 3, 3, 7]:
            if number:
                pipe_camera.show(jpeg(number))
            assert [stream.part().body for stream in streams] == [jpeg(number)] * 20


def test_pictures_of_any_size_come_whole(door: Daemon, pipe_camera: PipeCamera) -> None:
    with Stream(door) as stream:
        stream.part()
        for data in (big_jpeg(3000), jpeg(1), big_jpeg(500), jpeg(2), big_jpeg(3000)):
            pipe_camera.show(data)
            part = stream.part()
            assert part.body == data
            assert int(part.headers["content-length"]) == len(data)


def test_stamp_is_the_moment_of_the_capture(door: Daemon, pipe_camera: PipeCamera) -> None:
    with Stream(door) as stream:
        stream.part()
        before = time.time()
        pipe_camera.show(jpeg(1))
        stamp = stream.part().headers["x-timestamp"]
        after = time.time()
    assert before - 0.001 <= float(stamp) <= after + 0.001
    assert len(stamp.partition(".")[2]) == 6


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/video_feed", "image/avif,image/webp,*/*;q=0.8"),
        ("/video_feed", "text/html,application/xhtml+xml"),
        ("/stream.mjpg?advance_headers=1", "*/*"),
    ],
)
def test_browsers_get_the_next_headers_with_the_picture(
    door: Daemon, pipe_camera: PipeCamera, path: str, accept: str
) -> None:
    with Stream(door, path, accept) as stream:
        assert stream.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
        assert stream.file.read(len(ADVANCE)) == ADVANCE
        for number in (0, 1, 2):
            if number:
                pipe_camera.show(jpeg(number))
            expected = jpeg(number) + b"\r\n" + ADVANCE
            # All of it has come, although the next picture has not been taken.
            assert stream.file.read(len(expected)) == expected


@pytest.mark.parametrize("accept", ["*/*", "", "application/octet-stream", "video/*"])
def test_others_get_the_length_of_every_picture(door: Daemon, accept: str) -> None:
    with Stream(door, accept=accept) as stream:
        assert stream.part().headers.keys() == {"content-type", "content-length", "x-timestamp"}


def test_fewer_frames_a_second_come_evenly(daemon: Daemon) -> None:
    daemon.start({"camera.framerate": 50})
    daemon.wait_for_state("streaming")
    with Stream(daemon, "/video_feed?fps=10") as stream, Stream(daemon) as other:
        stamps = [float(stream.part().headers["x-timestamp"]) for _ in range(13)][2:]
        for _ in range(20):
            other.part()
        row = next(row for row in daemon.status()["viewers"] if row["sent"] >= 20)
    gaps = [later - earlier for earlier, later in zip(stamps, stamps[1:])]
    assert all(0.02 * round(gap / 0.02) == pytest.approx(gap, abs=0.005) for gap in gaps)
    assert sorted(gaps)[len(gaps) // 2] == pytest.approx(0.1, abs=0.021)
    assert row["sent"] > 13


@pytest.mark.parametrize("fps", ["0", "-1", "nan", "inf", "many", "", "1e9"])
def test_senseless_rate_is_refused(door: Daemon, fps: str) -> None:
    answer, body = door.request(f"/video_feed?fps={fps}")
    assert answer.status == 400
    assert body == b"fps must be a number from 0.01 to 1000\n"
