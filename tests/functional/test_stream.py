"""The stream as clients get it: complete, in order, at once, in the form each one needs."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.numbered_pictures import film, numbered, read_number
from tests.support.paths import STREAMS
from tests.support.pictures import big_jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.stream import Stream
from tests.support.viewer_group import Viewer, ViewerGroup

BOUNDARY = b"--frame\r\n"
NEXT = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"
CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
SAFARI = "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,*/*;q=0.5"
OLD_FIREFOX = "image/png,image/*;q=0.8,*/*;q=0.5"
ADDRESS_BAR = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

MOZILLA = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"


@pytest.fixture
def door(daemon: Daemon, pipe_camera: PipeCamera) -> Daemon:
    """Return a daemon whose frames the test makes, and that shows number 0."""
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 3600})
    pipe_camera.show(numbered(0))
    daemon.wait_for_state("streaming")
    return daemon


def stamps(viewer: Viewer) -> list[float]:
    return [float(part.headers["x-timestamp"]) for part in viewer.parts]


def with_query(path: str, query: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}{query}"


@pytest.mark.parametrize("path", STREAMS)
def test_newest_frame_comes_at_once_though_no_other_follows(
    door: Daemon, pipe_camera: PipeCamera, path: str
) -> None:
    with Stream(door, path) as first:
        assert first.part().body == numbered(0)
        pipe_camera.show(numbered(1))
        assert first.part().body == numbered(1)
        with Stream(door, path) as second:
            assert second.part().body == numbered(1)
            pipe_camera.show(numbered(2))
            assert first.part() == second.part()


def test_viewer_that_joins_before_the_first_frame_gets_it(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 3600})
    with ViewerGroup(daemon) as group:
        group.join(5)
        group.wait(lambda: all(one.status == 200 for one in group.viewers), "the answers")
        assert [row["sent"] for row in daemon.wait_for_viewers(5)] == [0] * 5
        pipe_camera.show(numbered(7))
        group.wait_for_parts(1)
        assert [one.bodies for one in group.viewers] == [[numbered(7)]] * 5


@pytest.mark.parametrize("accept", ["*/*", "", "multipart/x-mixed-replace", "video/*"])
def test_programs_get_length_and_stamp_of_every_picture(
    door: Daemon, pipe_camera: PipeCamera, accept: str
) -> None:
    for path in (*STREAMS, "/video_feed?advance_headers=0"):
        with Stream(door, path, accept) as stream:
            first = stream.part()
            pipe_camera.show(numbered(len(path)))
            for part in (first, stream.part()):
                assert list(part.headers) == ["content-type", "content-length", "x-timestamp"]
                assert int(part.headers["content-length"]) == len(part.body)
            assert part.body == numbered(len(path))


def test_programs_get_the_next_boundary_with_every_picture(
    door: Daemon, pipe_camera: PipeCamera
) -> None:
    """Many look for it, whatever Content-Length says: without it they are one picture late."""
    for number, path in enumerate(STREAMS):
        with Stream(door, path) as stream:
            assert stream.file.read(len(BOUNDARY)) == BOUNDARY
            for picture in (numbered(number), numbered(number + 1)):
                head = b"".join(iter(stream.file.readline, b"\r\n"))
                assert f"Content-Length: {len(picture)}\r\n".encode() in head
                # All of this comes before the next picture is taken.
                assert stream.file.read(len(picture + BOUNDARY) + 2) == (
                    picture + b"\r\n" + BOUNDARY
                )
                if picture == numbered(number):
                    pipe_camera.show(numbered(number + 1))


@pytest.mark.parametrize(
    ("query", "accept", "agent"),
    [
        ("", JAVA, "Java/17.0.15"),
        ("", JAVA, "Mozilla/5.0"),
        ("", "image/*", "Door/1 CFNetwork/1496 Darwin/23"),
        ("", "image/*", ""),
        ("advance_headers=0", CHROME, MOZILLA),
        ("advance_headers=0", ADDRESS_BAR, MOZILLA),
        ("advance_headers=0&fps=50", "*/*", "curl/8"),
    ],
)
def test_accept_alone_does_not_make_a_program_a_browser(
    door: Daemon, query: str, accept: str, agent: str
) -> None:
    headers = f"User-Agent: {agent}\r\n" if agent else ""
    for path in STREAMS:
        with Stream(door, with_query(path, query), accept, headers) as stream:
            part = stream.part()
            assert int(part.headers["content-length"]) == len(part.body)


def test_client_without_an_accept_header_is_a_program(door: Daemon) -> None:
    with ViewerGroup(door) as group:
        group.join()
        group.wait_for_parts(1)
        assert group.viewers[0].parts[0].body == numbered(0)


@pytest.mark.parametrize(
    ("query", "accept", "agent"),
    [
        ("", CHROME, MOZILLA),
        ("", SAFARI, MOZILLA),
        ("", OLD_FIREFOX, MOZILLA),
        ("", ADDRESS_BAR, MOZILLA),
        ("", CHROME, ""),
        ("advance_headers=1", "*/*", "curl/8"),
        ("advance_headers=1", JAVA, "Java/17.0.15"),
    ],
)
def test_browsers_get_the_next_headers_with_every_picture(
    door: Daemon, pipe_camera: PipeCamera, query: str, accept: str, agent: str
) -> None:
    shown = numbered(0)
    headers = f"User-Agent: {agent}\r\n" if agent else ""
    for path in STREAMS:
        with Stream(door, with_query(path, query), accept, headers) as stream:
            assert stream.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
            assert stream.file.read(len(NEXT)) == NEXT
            for picture in (shown, numbered(1, 300), numbered(2), numbered(3, 1)):
                if picture != shown:
                    pipe_camera.show(picture)
                shown = picture
                # All of this comes before the next picture is taken.
                assert stream.file.read(len(picture + NEXT) + 2) == picture + b"\r\n" + NEXT


def test_both_forms_show_the_same_at_the_same_time(door: Daemon, pipe_camera: PipeCamera) -> None:
    with Stream(door) as program, Stream(door, accept=CHROME) as browser:
        assert browser.file.read(len(NEXT)) == NEXT
        for number in range(10):
            if number:
                pipe_camera.show(numbered(number))
            body = program.part().body
            assert body == numbered(number)
            assert browser.file.read(len(body + NEXT) + 2) == body + b"\r\n" + NEXT


def test_stamp_is_the_moment_of_the_capture_and_the_same_for_all(
    door: Daemon, pipe_camera: PipeCamera
) -> None:
    with Stream(door) as one, Stream(door, "/stream") as other:
        one.part()
        other.part()
        for number in range(1, 5):
            before = time.time()
            pipe_camera.show(numbered(number))
            stamp = one.part().headers["x-timestamp"]
            after = time.time()
            # The daemon converts between two clocks, which takes a moment.
            assert before - 0.01 <= float(stamp) <= after + 0.01
            assert len(stamp.partition(".")[2]) == 6, "microseconds"
            assert other.part().headers["x-timestamp"] == stamp


def test_stamp_of_the_first_picture_is_not_the_moment_of_joining(door: Daemon) -> None:
    with Stream(door) as one:
        stamp = one.part().headers["x-timestamp"]
    joined = time.time()
    with Stream(door) as other:
        assert other.part().headers["x-timestamp"] == stamp
    assert float(stamp) < joined


def test_every_viewer_gets_every_frame_whole_and_in_order(
    door: Daemon, pipe_camera: PipeCamera
) -> None:
    with ViewerGroup(door) as group:
        group.join(30)
        group.join(10, "/stream.mjpg", buffer=4096)
        group.wait_for_parts(1)
        for number in range(1, 40):
            pipe_camera.show(numbered(number, number))
            group.wait_for_parts(number + 1)
        shown = [numbered(number, number) for number in range(40)]
        for viewer in group.viewers:
            assert viewer.bodies == shown
            assert stamps(viewer) == sorted(stamps(viewer))


def test_pictures_of_any_size_come_whole_one_after_the_other(
    door: Daemon, pipe_camera: PipeCamera
) -> None:
    sizes = [1, 3000, 0, 100, 3000, 1, 1, 3072, 16, 400, 0]
    with ViewerGroup(door) as group:
        group.join(4)
        group.join(2, buffer=16 * 1024)
        group.wait_for_parts(1)
        for number, size in enumerate(sizes, 1):
            pipe_camera.show(numbered(number, size))
            group.wait_for_parts(number + 1)
        shown = [numbered(0), *(numbered(number, size) for number, size in enumerate(sizes, 1))]
        assert max(len(body) for body in shown) >= 3 * 1024 * 1024
        assert all(viewer.bodies == shown for viewer in group.viewers)


def test_picture_in_which_anything_may_stand_is_passed_on_as_it_is(
    door: Daemon, pipe_camera: PipeCamera
) -> None:
    trap = b"\r\n--frame--\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8\xff\xd9"
    picture = numbered(1)
    picture = picture[:2] + b"\xff\xfe" + (len(trap) + 2).to_bytes(2, "big") + trap + picture[2:]
    with Stream(door) as stream:
        stream.part()
        for data in (picture, big_jpeg(100), picture):
            pipe_camera.show(data)
            assert stream.part().body == data


def test_film_is_never_torn_nor_runs_backwards(daemon: Daemon, tmp_path: Path) -> None:
    count = 500
    path = film(tmp_path / "film.mjpeg", count)
    daemon.start({"camera.source": f"file:{path}", "camera.framerate": 60})
    daemon.wait_for_state("streaming")
    with ViewerGroup(daemon) as group:
        for fps in range(15, 75, 2):
            group.join(1, f"/stream?fps={fps}")
        group.wait_for_parts(20)
        for viewer in group.viewers:
            numbers = [read_number(body) for body in viewer.bodies]
            assert viewer.bodies == [numbered(number) for number in numbers]
            steps = [(later - one) % count for one, later in zip(numbers, numbers[1:])]
            assert all(0 < step < count // 2 for step in steps), numbers


def test_capped_viewer_gets_so_many_frames_evenly_spaced(daemon: Daemon, tmp_path: Path) -> None:
    source = film(tmp_path / "film.mjpeg", 500)
    daemon.start({"camera.source": f"file:{source}", "camera.framerate": 30})
    daemon.wait_for_state("streaming")
    rates = (10, 15, 20)
    with ViewerGroup(daemon) as group:
        (free,) = group.join()
        capped = {
            (path, fps): group.join(1, with_query(path, f"fps={fps}"))[0]
            for path in STREAMS
            for fps in rates
        }
        group.wait(lambda: all(len(one.parts) > 20 for one in capped.values()), "20 for each")
        last = max(stamps(viewer)[-1] for viewer in capped.values())
        group.wait(lambda: stamps(free)[-1] >= last, "the last one for the one without a cap")
    for (path, fps), viewer in capped.items():
        # The picture at joining was taken some time before.
        shown = stamps(viewer)[1:]
        assert set(shown) <= set(stamps(free)), "the same frames, only fewer"
        single = [later - earlier for earlier, later in zip(shown, shown[1:])]
        double = [later - earlier for earlier, later in zip(shown, shown[2:])]
        # The median, because the machine may be busy for a moment.
        assert statistics.median(double) == pytest.approx(2 / fps, abs=0.005), path
        # 20 of 30 means one frame, then two: there is nothing in between.
        even = 0.4 if fps == 20 else 0.1
        assert statistics.median_low(single) == pytest.approx(1 / fps, rel=even), path


def test_cap_may_be_anything_sensible(door: Daemon) -> None:
    for fps in ("0.01", "1000", "29.97", "1e2", "60"):
        with Stream(door, f"/video_feed?fps={fps}") as stream:
            assert stream.status == 200
            assert stream.part().body == numbered(0)


def test_cap_far_below_the_cameras_rate_does_not_hold_back_the_first_frame(
    door: Daemon, pipe_camera: PipeCamera
) -> None:
    with Stream(door, "/stream?fps=0.01") as capped, Stream(door) as free:
        assert capped.part().body == numbered(0)
        free.part()
        for number in range(1, 6):
            pipe_camera.show(numbered(number))
            assert free.part().body == numbered(number)
        # Frames left out by its own cap do not count as dropped.
        door.wait_for_counts(("", 1, 0), ("", 6, 0))
    with Stream(door, "/stream?fps=0.01") as later:
        assert later.part().body == numbered(5)


@pytest.mark.parametrize("path", STREAMS)
def test_cap_that_makes_no_sense_is_refused(doorbell: Daemon, path: str) -> None:
    for fps in ("0", "-1", "nan", "inf", "many", "", "1e9", "1,5"):
        answer, body = doorbell.request(with_query(path, f"fps={fps}"))
        assert answer.status == 400
        assert body == b"fps must be a number from 0.01 to 1000\n"
    assert doorbell.status()["watching"] == 0


def test_key_names_the_viewer_in_the_status(door: Daemon) -> None:
    keys = {"kitchen": "kitchen", "x" * 64: "x" * 64, "K%C3%BCche": "Küche", "a+b": "a b", "": ""}
    with ViewerGroup(door) as group:
        for path in STREAMS:
            for key in keys:
                group.join(1, with_query(path, f"key={key}"))
        group.wait_for_parts(1)
        rows = door.wait_for_viewers(len(STREAMS) * len(keys))
        assert Counter(row["key"] for row in rows) == dict.fromkeys(keys.values(), len(STREAMS))
        for key, shown in keys.items():
            named = door.status(f"?key={key}")["viewers"]
            assert [row["key"] for row in named] == [shown] * len(STREAMS)


@pytest.mark.parametrize("path", STREAMS)
def test_head_has_the_headers_and_makes_no_viewer(doorbell: Daemon, path: str) -> None:
    answer, body = doorbell.request(path, "HEAD")
    assert (answer.status, body) == (200, b"")
    with Stream(doorbell, path) as stream:
        got = stream.headers
        doorbell.wait_for_viewers(1)
    doorbell.wait_for_viewers(0)
    headers = {name.lower(): value for name, value in answer.getheaders()}
    assert {**headers, "date": ""} == {**got, "date": ""}
