"""What is shown and reported when the camera is missing, lost, silent or faulty."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from doorbelld.media import exif
from doorbelld.media import jpeg as product
from tests.support import pictures, secure
from tests.support.daemon import ROOT, Daemon, eventually
from tests.support.paths import SNAPSHOTS
from tests.support.pictures import big_jpeg, jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.raw_camera import RawCamera, answer
from tests.support.stream import Part, Stream

SHIPPED_CARD = Path(product.__file__).with_name("placeholder.jpg").read_bytes()
JSON = {"Accept": "application/json"}
MISSING = {"camera.source": "file:/nowhere/camera.mjpeg"}

HANGING = """
import os, time
from doorbelld.camera.pattern import PatternCamera
read = PatternCamera.read
def hang(self, timeout):
    while os.path.exists({flag!r}):
        time.sleep(0.05)
    return read(self, timeout)
PatternCamera.read = hang
"""
"""A sitecustomize module: the test card's driver hangs while the flag, a file, is there."""


def stamps(parts: list[Part]) -> list[float]:
    return [float(part.headers["x-timestamp"]) for part in parts]


def picture_size(data: bytes) -> tuple[int, int]:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return int(image.shape[1]), int(image.shape[0])


def next_other(stream: Stream, known: set[bytes]) -> Part:
    """Return the next picture that is not one of these."""
    while True:
        part = stream.part()
        if part.body not in known:
            return part


def camera_lines(daemon: Daemon) -> list[str]:
    """Return the log's lines about the camera, without what changes from line to line."""
    found = re.findall(r"camera (?:starting|streaming|offline): .*", daemon.log())
    return [re.sub(r"; trying again in .*", "", line) for line in found]


def test_missing_camera_is_shown_as_a_card_once_a_second(daemon: Daemon) -> None:
    daemon.start({**MISSING, "camera.resolution": "320x240"})
    with Stream(daemon) as stream:
        parts = [stream.part() for _ in range(4)]
    assert all(picture_size(part.body) == (320, 240) for part in parts)
    assert SHIPPED_CARD not in [part.body for part in parts]
    # A new viewer gets the last card at once; from then on they come at their usual rate.
    # A late card does not delay the next ones.
    shown = stamps(parts)
    assert all(0.3 < later - earlier < 2 for earlier, later in zip(shown, shown[1:]))
    assert 2.7 < shown[-1] - shown[0] < 6


def test_missing_camera_is_reported_everywhere(daemon: Daemon) -> None:
    daemon.start(MISSING)
    camera = daemon.wait_for_state("offline")
    why = "There is no file /nowhere/camera.mjpeg"
    assert camera["detail"] == why
    assert camera["reason"] == "missing"
    assert (camera["frames"], camera["fps"], camera["reopened"]) == (0, 0, 0)
    assert (camera["width"], camera["height"], camera["age_ms"]) == (None, None, None)
    answer, body = daemon.request("/snapshot.jpg", headers=JSON)
    assert answer.status == 503
    assert answer.getheader("Content-Type") == "application/json"
    assert int(answer.getheader("Retry-After") or 0) > 0
    assert answer.getheader("Cache-Control") == "no-store"
    assert json.loads(body) == {"error": why}
    answer, body = daemon.request("/healthz")
    assert (answer.status, body.decode()) == (503, f"offline: {why}\n")
    answer, _ = daemon.request("/")
    assert answer.status == 200


@pytest.mark.parametrize("accept", [None, "*/*", "image/*", "text/html,image/webp"])
def test_snapshot_without_a_picture_is_the_card_that_viewers_see(
    daemon: Daemon, accept: str | None
) -> None:
    daemon.start(MISSING)
    headers = {"Accept": accept} if accept else {}
    with Stream(daemon) as stream:
        card = stream.part().body
    for path in SNAPSHOTS:
        answer, body = daemon.request(path, headers=headers)
        assert (answer.status, body) == (503, card)
        assert answer.getheader("Content-Type") == "image/jpeg"
        assert answer.getheader("X-Timestamp") is None
        assert answer.getheader("Retry-After") == "2"
        assert answer.getheader("Cache-Control") == "no-store"
        head, nothing = daemon.request(path, "HEAD", headers)
        assert (head.status, nothing) == (503, b"")
        fields = [dict(each.getheaders()) for each in (head, answer)]
        assert {**fields[0], "Date": ""} == {**fields[1], "Date": ""}


def test_snapshot_before_the_first_picture_is_the_ready_made_card(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 3600})
    answer, body = daemon.request("/snapshot.jpg")
    assert (answer.status, answer.getheader("Content-Type")) == (503, "image/jpeg")
    assert body == SHIPPED_CARD
    accept = {"Accept": "application/json, text/plain, */*"}
    answer, body = daemon.request("/snapshot.jpg", headers=accept)
    assert (answer.status, json.loads(body)) == (503, {"error": "starting the camera"})


def test_card_without_opencv_is_the_shipped_one(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('no OpenCV on this machine')\n")
    daemon.start(MISSING, environ={"PYTHONPATH": str(tmp_path)})
    with Stream(daemon) as stream:
        parts = [stream.part() for _ in range(3)]
    assert [part.body for part in parts] == [SHIPPED_CARD] * 3


def test_pictures_need_no_opencv(daemon: Daemon, pipe_camera: PipeCamera, tmp_path: Path) -> None:
    for module in ("cv2", "numpy"):
        (tmp_path / f"{module}.py").write_text("raise ImportError\n")
    daemon.start({"camera.source": pipe_camera.source}, environ={"PYTHONPATH": str(tmp_path)})
    with Stream(daemon) as stream:
        for number in range(3):
            pipe_camera.show(jpeg(number))
            assert stream.part().body == jpeg(number)
    assert daemon.status()["camera"]["width"] == 64


def test_without_opencv_the_picture_says_which_way_up_it_is_shown(
    daemon: Daemon, pipe_camera: PipeCamera, tmp_path: Path
) -> None:
    for module in ("cv2", "numpy"):
        (tmp_path / f"{module}.py").write_text("raise ImportError\n")
    settings = {"camera.source": pipe_camera.source, "camera.rotation": 90}
    daemon.start(settings, environ={"PYTHONPATH": str(tmp_path)})
    upright = exif.with_orientation(jpeg(7), 6)
    with Stream(daemon) as stream:
        pipe_camera.show(jpeg(7))
        assert stream.part().body == upright
    assert daemon.request("/snapshot.jpg")[1] == upright
    found = cv2.imdecode(np.frombuffer(upright, np.uint8), cv2.IMREAD_COLOR)
    assert found.shape[:2] == (64, 48)
    assert daemon.log().count("turning its picture needs OpenCV") == 1
    assert "turned by the browser" in daemon.status()["camera"]["detail"]


def test_test_card_without_opencv_says_what_is_missing(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError\n")
    daemon.start({"camera.source": "pattern"}, environ={"PYTHONPATH": str(tmp_path)})
    camera = daemon.wait_for_state("offline")
    assert (
        camera["detail"]
        == "The test pattern needs OpenCV, which is not installed, or does not load"
    )


def test_before_the_first_picture_the_camera_is_starting(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 3600})
    assert daemon.status()["camera"]["state"] == "starting"
    answer, body = daemon.request("/healthz")
    assert (answer.status, body) == (503, b"starting: starting the camera\n")
    assert daemon.request("/snapshot.jpg")[0].status == 503
    with Stream(daemon) as stream:
        pipe_camera.show(jpeg(3))
        assert stream.part().body == jpeg(3)
    assert daemon.request("/healthz")[0].status == 200


def test_lost_camera_is_found_again_while_viewers_stay(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source})
    with Stream(daemon) as stream:
        pipe_camera.show(jpeg(1))
        assert stream.part().body == jpeg(1)
        before = daemon.status()["camera"]
        pipe_camera.disconnect()
        card = stream.part()
        assert picture_size(card.body) == (640, 480)
        lost = daemon.wait_for_state("offline")
        assert "has stopped" in lost["detail"]
        assert lost["reason"] == "silent"
        assert lost["since"] >= before["since"]
        assert lost["fps"] == 0
        assert daemon.request("/healthz")[0].status == 503
        assert daemon.request("/snapshot.jpg")[0].status == 503
        pipe_camera.show(jpeg(2))
        assert next_other(stream, {card.body}).body == jpeg(2)
        found = daemon.wait_for_state("streaming")
        assert (found["reopened"], found["frames"], found["invalid"]) == (1, 2, 0)
        assert found["since"] >= lost["since"]
        assert daemon.request("/snapshot.jpg")[1] == jpeg(2)
        assert daemon.status()["watching"] == 1


def test_each_change_of_state_is_one_line_in_the_log(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 2})
    for number in range(2):
        pipe_camera.show(jpeg(number))
        daemon.wait_for_state("streaming")
        pipe_camera.disconnect()
        daemon.wait_for_state("offline")
        with Stream(daemon) as stream:
            for _ in range(3):  # Two cards later the camera has been tried again without success.
                stream.part()
    up = f"camera streaming: Pipe {pipe_camera.source[5:]}, 64x48"
    gone = f"camera offline: The program writing pictures to {pipe_camera.source[5:]} has stopped"
    silent = f"camera offline: Pipe {pipe_camera.source[5:]} has sent no picture for 2 s"
    lines = camera_lines(daemon)
    assert [line for line in lines if line != silent] == [up, gone, up, gone]
    assert lines.count(silent) <= 2


def test_silent_camera_is_offline_until_it_speaks(daemon: Daemon, pipe_camera: PipeCamera) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 2})
    pipe_camera.show(jpeg(1))
    daemon.wait_for_state("streaming")
    camera = daemon.wait_for_state("offline")
    assert camera["detail"].endswith("has sent no picture for 2 s")
    assert camera["reason"] == "silent"
    pipe_camera.disconnect()
    pipe_camera.show(jpeg(2))
    camera = daemon.wait_for_state("streaming")
    assert camera["frames"] == 2
    assert camera["reopened"] >= 1


def test_cards_go_on_while_a_silent_camera_is_tried(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    """The stream must not look dead during an attempt, which lasts the stall timeout."""
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 4})
    with Stream(daemon) as stream:
        pipe_camera.connect()
        shown = stamps([stream.part() for _ in range(5)])
    assert all(0.9 < later - earlier < 3 for earlier, later in zip(shown, shown[1:]))


def test_picture_after_the_card_is_shown_at_once(daemon: Daemon, pipe_camera: PipeCamera) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 2})
    with Stream(daemon) as stream:
        card = stream.part()
        # Whenever the daemon opens the pipe, the picture is there.
        pipe_camera.show(jpeg(1))
        assert next_other(stream, {card.body}).body == jpeg(1)
        pipe_camera.show(jpeg(2))
        assert stream.part().body == jpeg(2), "no card in between"


def test_garbage_is_never_shown(daemon: Daemon, pipe_camera: PipeCamera) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 0.5})
    pipe_camera.show(b"GIF89a" + b"\0\xff garbage" * 10_000)
    assert daemon.wait_for_state("offline")["frames"] == 0
    with Stream(daemon) as stream:
        card = stream.part().body
        assert picture_size(card) == (640, 480)
        pipe_camera.disconnect()
        pipe_camera.show(b"garbage" + jpeg(1) + b"garbage")
        assert next_other(stream, {card}).body == jpeg(1)


def test_truncated_picture_is_dropped_and_counted(daemon: Daemon, pipe_camera: PipeCamera) -> None:
    daemon.start({"camera.source": pipe_camera.source})
    whole = big_jpeg(40)
    with Stream(daemon) as stream:
        for length in (len(whole) // 2, 200, len(whole) - 2000):
            pipe_camera.show(whole[:length])
            pipe_camera.show(jpeg(1))
            assert stream.part().body == jpeg(1)
    camera = eventually(
        lambda: [one for one in [daemon.status()["camera"]] if one["invalid"] == 3],
        "three invalid pictures",
    )[0]
    assert camera["frames"] == 3
    assert camera["reopened"] == 0


def test_pictures_in_a_folder_are_repaired(daemon: Daemon, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    phone = pictures.phone_picture(jpeg(1), jpeg(9), jpeg(8))
    bare = pictures.without_tables(jpeg(3))
    files = [phone, jpeg(2)[:-2] + bytes(4), bare, jpeg(5)[:-30]]
    for number, data in enumerate(files):
        (folder / f"{number}.jpg").write_bytes(data)
    daemon.start({"camera.source": f"file:{folder}", "camera.framerate": 50})
    shown = {phone[: -len(jpeg(8))], jpeg(2), pictures.with_standard_tables(bare)}
    with Stream(daemon) as stream:
        while shown:
            shown.discard(stream.part().body)
        assert jpeg(8) not in {stream.part().body for _ in range(20)}
    assert daemon.status()["camera"]["invalid"] > 0
    assert "a picture was damaged" in daemon.log()


def test_invalid_pictures_are_counted_over_all_openings(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source})
    for count in (1, 2):
        pipe_camera.show(jpeg(1)[:200] + jpeg(2))
        assert daemon.wait_for_state("streaming")["invalid"] == count
        pipe_camera.disconnect()
        assert daemon.wait_for_state("offline")["invalid"] == count


def test_frame_rate_is_true_from_the_first_second_though_frames_come_in_bursts(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source})
    for _ in range(2):
        with Stream(daemon) as stream:
            parts = []
            for number in range(40):
                pipe_camera.show(jpeg(number))
                parts.append(next_other(stream, set() if number else {b""}))
            camera = daemon.status()["camera"]
            shown = stamps(parts[-20:])
            true = 19 / (shown[-1] - shown[0])
            assert 0.2 * true < camera["fps"] < 5 * true
        pipe_camera.disconnect()
        daemon.wait_for_state("offline")


def test_hanging_driver_is_reported_although_its_thread_cannot(
    daemon: Daemon, tmp_path: Path
) -> None:
    flag = tmp_path / "hang"
    (tmp_path / "sitecustomize.py").write_text(HANGING.format(flag=str(flag)))
    path = f"{tmp_path}:{ROOT}"
    daemon.start({"camera.stall_timeout": 0.5}, environ={"PYTHONPATH": path})
    daemon.wait_for_state("streaming")
    flag.touch()
    camera = daemon.wait_for_state("offline")
    assert camera["detail"] == "The camera's driver hangs"
    assert camera["reason"] == "hangs"
    assert camera["fps"] == 0
    answer, body = daemon.request("/healthz")
    assert (answer.status, body) == (503, b"offline: The camera's driver hangs\n")
    answer, body = daemon.request("/snapshot.jpg", headers=JSON)
    assert (answer.status, json.loads(body)) == (503, {"error": "The camera's driver hangs"})
    flag.unlink()
    daemon.wait_for_state("streaming")
    assert daemon.request("/healthz")[0].status == 200


@pytest.mark.parametrize("rotation", [0, 90])
def test_size_in_the_status_is_that_of_the_pictures(daemon: Daemon, rotation: int) -> None:
    daemon.start({"camera.resolution": "320x160", "camera.rotation": rotation})
    camera = daemon.wait_for_state("streaming")
    size = (camera["width"], camera["height"])
    assert size == picture_size(daemon.request("/snapshot.jpg")[1])
    assert size == ((160, 320) if rotation else (320, 160))


def test_camera_that_has_signed_its_own_certificate_plays_if_verify_is_no(
    daemon: Daemon, tmp_path: Path
) -> None:
    configuration = tmp_path / "camera.conf"
    context = secure.server_context(secure.make_pair(tmp_path))
    with RawCamera(lambda _: [answer(jpeg(3))], context) as camera:
        source = f"[camera]\nsource = https://{camera.address}/\n"
        configuration.write_text(source)
        daemon.start({"camera.source": None}, arguments=["--config", str(configuration)])
        lost = daemon.wait_for_state("offline")
        assert "its certificate is not trusted (self" in lost["detail"]
        assert "; verify = no plays it unchecked" in lost["detail"]
        assert lost["reason"] == "settings"
        configuration.write_text(f"{source}verify = no\n")
        daemon.send(signal.SIGHUP)
        daemon.wait_for_state("streaming")
        camera_says = f"https://{camera.address}: its certificate is not checked"
        assert daemon.log().count(camera_says) == 1
        daemon.stop()
