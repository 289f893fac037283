from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from doorbelld.camera.base import CameraSettings
from doorbelld.camera.factory import open_camera
from doorbelld.media import exif, jpeg
from tests.support import pictures
from tests.support.reasons import camera_error
from tests.support.v4l2 import DEVICE, V4l2Device, Watcher

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = f"v4l2:{DEVICE}"


def data_of(event: dict[str, Any]) -> bytes:
    return base64.b64decode(event["data"])


def decoded(data: bytes) -> Any:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return image


def test_passes_on_the_webcams_own_jpegs_byte_by_byte_and_in_order(device: V4l2Device) -> None:
    shown = [pictures.jpeg(number, 640, 480) for number in range(16)]
    with Watcher(SOURCE, device.environ) as watcher:
        assert watcher.next("name")["name"] == "Preloaded Camera (/dev/video9)"
        got = [shown.index(data_of(watcher.next("data"))) for _ in range(10)]
    steps = {(after - before) % 16 for before, after in zip(got, got[1:])}
    assert 0 not in steps
    assert 1 in steps
    assert watcher.errors == ""


@pytest.mark.parametrize("formats", ["YUYV", "GREY", "BGR3"])
def test_encodes_raw_pictures(device: V4l2Device, formats: str) -> None:
    environ = {**device.environ, "FAKE_V4L2_FORMATS": formats}
    with Watcher(SOURCE, environ) as watcher:
        image = decoded(data_of(watcher.next("data")))
    assert image.shape == (480, 640)
    assert image[:, :300].mean() < 100 < image[:, 340:].mean()


def test_picture_is_turned_by_the_browser_without_opencv(
    device: V4l2Device, tmp_path: Path
) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError\n")
    environ = {**device.environ, "FAKE_V4L2_FORMATS": "MJPG,YUYV", "PYTHONPATH": str(tmp_path)}
    with Watcher(SOURCE, environ, rotation=90) as watcher:
        data = base64.b64decode(watcher.next("data")["data"])
    assert exif.orientation(data) == 6
    assert jpeg.is_whole(data)


def test_turns_raw_pictures_rather_than_jpegs_if_the_camera_has_both(device: V4l2Device) -> None:
    environ = {**device.environ, "FAKE_V4L2_FORMATS": "MJPG,YUYV"}
    with Watcher(SOURCE, environ, rotation=90) as watcher:
        image = decoded(data_of(watcher.next("data")))
    assert image.shape == (640, 480)
    assert image[:300].mean() < 100 < image[340:].mean()


def test_turns_the_pictures_of_a_camera_that_has_only_jpegs(device: V4l2Device) -> None:
    with Watcher(SOURCE, device.environ, rotation=90) as watcher:
        assert jpeg.size(data_of(watcher.next("data"))) == (480, 640)


def test_turns_jpegs_if_raw_pictures_are_too_slow(device: V4l2Device) -> None:
    environ = {**device.environ, "FAKE_V4L2_FORMATS": "MJPG,YUYV", "FAKE_V4L2_RAW_FPS": "5"}
    with Watcher(SOURCE, environ, rotation=90) as watcher:
        image = decoded(data_of(watcher.next("data")))
    assert image.shape == (640, 480)
    assert image.max() - image.min() < 5


def test_never_turns_a_damaged_jpeg(device: V4l2Device) -> None:
    device.become("truncated")
    with Watcher(SOURCE, device.environ, hflip="true") as watcher:
        assert watcher.next("none")["invalid"] == 1


def test_counts_a_jpeg_that_cannot_be_decoded(v4l2_library: Path, tmp_path: Path) -> None:
    empty = V4l2Device(v4l2_library, tmp_path, [b"\xff\xd8\xff\xd9"])
    with Watcher(SOURCE, empty.environ, hflip="true") as watcher:
        assert watcher.next("none")["invalid"] == 1


def test_the_capture_time_is_the_drivers_stamp(device: V4l2Device) -> None:
    environ = {**device.environ, "FAKE_V4L2_AGE": "700"}
    with Watcher(SOURCE, environ) as watcher:
        assert 0.7 <= watcher.next("data")["age"] < 2


def test_a_stamp_from_another_clock_is_not_believed(device: V4l2Device) -> None:
    environ = {**device.environ, "FAKE_V4L2_AGE": "-86400000"}
    with Watcher(SOURCE, environ) as watcher:
        assert 0 <= watcher.next("data")["age"] < 2
    environ["FAKE_V4L2_AGE"] = "60000"
    with Watcher(SOURCE, environ) as watcher:
        assert 0 <= watcher.next("data")["age"] < 2


def test_after_a_pause_the_picture_is_a_new_one(device: V4l2Device) -> None:
    with Watcher(SOURCE, device.environ) as watcher:
        watcher.next("data")
        watcher.pause()
        watcher.next("paused")
        assert watcher.next("data")["age"] < 0.5


@pytest.mark.parametrize("damage", ["garbage", "truncated"])
def test_drops_and_counts_damaged_jpegs(device: V4l2Device, damage: str) -> None:
    with Watcher(SOURCE, device.environ) as watcher:
        watcher.next("data")
        device.become(damage)
        first, second = watcher.next("none"), watcher.next("none")
        device.become("streaming")
        last = watcher.next("data")
    assert first["invalid"] == 1
    assert second["invalid"] == 2
    assert last["invalid"] >= 2
    assert jpeg.is_whole(data_of(last))


def test_cuts_off_the_zeros_some_webcams_send_behind_a_jpeg(device: V4l2Device) -> None:
    device.become("padded")
    with Watcher(SOURCE, device.environ) as watcher:
        event = watcher.next("data")
    assert jpeg.is_whole(data_of(event))
    assert event["invalid"] == 0


@pytest.mark.parametrize("stray", [b"", b"\xff", b"\xff\xd9 and the last picture's rest"])
def test_repairs_the_end_of_a_jpeg(v4l2_library: Path, tmp_path: Path, stray: bytes) -> None:
    picture = pictures.jpeg(5, 640, 480)
    device = V4l2Device(v4l2_library, tmp_path, [picture[:-2] + stray])
    with Watcher(SOURCE, device.environ) as watcher:
        event = watcher.next("data")
    assert data_of(event) == picture
    assert event["invalid"] == 0


def test_puts_the_huffman_tables_into_a_jpeg(v4l2_library: Path, tmp_path: Path) -> None:
    bare = pictures.without_tables(pictures.jpeg(5, 640, 480))
    device = V4l2Device(v4l2_library, tmp_path, [bare])
    with Watcher(SOURCE, device.environ) as watcher:
        assert data_of(watcher.next("data")) == pictures.with_standard_tables(bare)


def test_a_silent_camera_is_waited_for_without_spinning(device: V4l2Device) -> None:
    device.become("silent")
    with Watcher(SOURCE, device.environ) as watcher:
        assert watcher.next("none")["waited"] > 0.5
        assert watcher.next("none")["waited"] > 0.5
        device.become("streaming")
        watcher.next("data")
        device.become("silent")
        assert watcher.next("none")["waited"] > 0.5


def test_says_that_it_was_unplugged(device: V4l2Device) -> None:
    with Watcher(SOURCE, device.environ) as watcher:
        watcher.next("data")
        device.become("unplugged")
        said = watcher.next("error")["error"]
    assert said == "Preloaded Camera (/dev/video9) was unplugged"
    assert watcher.errors == ""


def test_says_that_it_has_stopped_working(device: V4l2Device) -> None:
    with Watcher(SOURCE, device.environ) as watcher:
        watcher.next("data")
        device.become("broken")
        said = watcher.next("error")["error"]
    assert said == "Preloaded Camera (/dev/video9) has stopped working"


def test_signals_do_not_look_like_an_unplugged_camera(device: V4l2Device) -> None:
    with Watcher(SOURCE, device.environ) as watcher:
        watcher.next("data")
        device.become("silent")
        for _ in range(3):
            watcher.interrupt()
            assert watcher.next("none")["invalid"] == 0
        device.become("streaming")
        watcher.next("data")


def test_a_camera_that_is_ready_without_a_picture_has_stopped_working(device: V4l2Device) -> None:
    with Watcher(SOURCE, device.environ) as watcher:
        watcher.next("data")
        device.become("dead")
        said = watcher.next("error")["error"]
    assert said == "Preloaded Camera (/dev/video9) has stopped working"


def test_a_raw_picture_of_another_size_than_agreed_is_counted(device: V4l2Device) -> None:
    environ = {**device.environ, "FAKE_V4L2_FORMATS": "YUYV"}
    device.become("truncated")
    with Watcher(SOURCE, environ) as watcher:
        assert watcher.next("none")["invalid"] == 1


@pytest.mark.parametrize("formats", ["MJPG", "YUYV,MJPG", "YUYV,JPEG"])
def test_jpegs_need_no_opencv(device: V4l2Device, tmp_path: Path, formats: str) -> None:
    for library in ("cv2", "numpy"):
        (tmp_path / f"{library}.py").write_text("raise ImportError")
    environ = {"FAKE_V4L2_FORMATS": formats, "PYTHONPATH": str(tmp_path)}
    with Watcher(SOURCE, {**device.environ, **environ}) as watcher:
        assert watcher.next("mode")["mode"] == f"{formats[-4:]}, 30 fps"
        assert jpeg.size(data_of(watcher.next("data"))) == (640, 480)


def test_raw_pictures_need_opencv(device: V4l2Device, tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError")
    environ = {"FAKE_V4L2_FORMATS": "YUYV", "PYTHONPATH": str(tmp_path)}
    with Watcher(SOURCE, {**device.environ, **environ}) as watcher:
        said = watcher.next("refused")["refused"]
    assert said == "This camera needs OpenCV, which is not installed, or does not load"


def test_jpegs_that_a_library_would_make_are_not_taken(device: V4l2Device) -> None:
    environ = {**device.environ, "FAKE_V4L2_FORMATS": "MJPG*YUYV"}
    with Watcher(SOURCE, environ) as watcher:
        assert watcher.next("mode")["mode"] == "YUYV, encoded here, 30 fps"


@pytest.mark.parametrize("rates", ["unnamed", "refused"])
def test_a_driver_that_names_no_frame_rate_keeps_all_its_pictures(
    device: V4l2Device, rates: str
) -> None:
    environ = {**device.environ, "FAKE_V4L2_RATES": rates, "FAKE_V4L2_FPS": "10"}
    shown = [pictures.jpeg(number, 640, 480) for number in range(16)]
    with Watcher(SOURCE, environ) as watcher:
        assert watcher.next("mode")["mode"] == "MJPG"
        got = [shown.index(data_of(watcher.next("data"))) for _ in range(15)]
    steps = [(after - before) % 16 for before, after in zip(got, got[1:])]
    assert steps.count(1) > 10


def test_takes_the_nearest_size(device: V4l2Device) -> None:
    environ = {**device.environ, "FAKE_V4L2_SIZES": "1920x1080,1280x720,640x360,160x120"}
    with Watcher(SOURCE, environ, width=1200, height=800) as watcher:
        watcher.next("data")
    assert device.log[0] == "S_FMT MJPG 1280x720"


def test_two_buffers_are_enough(device: V4l2Device) -> None:
    environ = {**device.environ, "FAKE_V4L2_BUFFERS": "2"}
    with Watcher(SOURCE, environ) as watcher:
        assert watcher.rest()["rested"] > 5
        watcher.pause()
        watcher.next("paused")
        assert watcher.next("data")["age"] < 0.5


@pytest.mark.parametrize(("state", "why"), [("flagged", "error flag"), ("empty", "no bytes")])
def test_what_the_driver_calls_damaged_is_counted_and_never_shown(
    device: V4l2Device, state: str, why: str
) -> None:
    device.become(state)
    shown = [pictures.jpeg(number, 640, 480) for number in range(16)]
    with Watcher(SOURCE, device.environ) as watcher:
        got = [shown.index(data_of(watcher.next("data"))) for _ in range(8)]
        invalid = watcher.next("data")["invalid"]
        rested = watcher.rest()["rested"]
    assert not any(number % 2 for number in got), why
    assert invalid >= 4
    assert rested <= 20, "those without a load are left out as well"


def test_the_stamp_of_an_unknown_clock_is_not_believed(device: V4l2Device) -> None:
    environ = {**device.environ, "FAKE_V4L2_AGE": "700", "FAKE_V4L2_CLOCK": "unknown"}
    with Watcher(SOURCE, environ) as watcher:
        assert 0 <= watcher.next("data")["age"] < 0.7
        watcher.pause()
        watcher.next("paused")
        assert 0 <= watcher.next("data")["age"] < 0.7


@pytest.mark.parametrize("formats", ["MJPG", "YUYV"])
def test_a_picture_can_be_loaded_until_the_next_one_is_there(
    device: V4l2Device, formats: str
) -> None:
    with Watcher(SOURCE, {**device.environ, "FAKE_V4L2_FORMATS": formats}) as watcher:
        watcher.next("data")
        watcher.load_late()
        assert watcher.next("older")["older"] == "GoneError"
        assert watcher.next("newer")["newer"] == ""
        assert watcher.next("closed")["closed"] == "GoneError"
        watcher.next("data")


def test_raw_pictures_that_no_one_wants_are_not_encoded(device: V4l2Device) -> None:
    with Watcher(SOURCE, {**device.environ, "FAKE_V4L2_FORMATS": "YUYV"}) as watcher:
        watcher.next("data")
        rested = watcher.rest()
    assert rested["rested"] > 5
    assert rested["cpu"] / rested["rested"] < 0.001, "to encode one takes two milliseconds"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("busy", "The camera /dev/video9 is in use by another program"),
        ("taken", "The camera /dev/video9 is in use by another program"),
        ("unplugged", "There is no camera at /dev/video9; check that it is plugged in"),
        (
            "crowded",
            (
                "Preloaded Camera (/dev/video9) gets too little USB bandwidth;"
                " use another USB port, or a lower resolution or framerate"
            ),
        ),
    ],
)
def test_says_why_it_cannot_be_opened(device: V4l2Device, state: str, said: str) -> None:
    device.become(state)
    with Watcher(SOURCE, device.environ) as watcher:
        assert watcher.next("refused")["refused"] == said


def test_says_that_one_buffer_is_too_few(device: V4l2Device) -> None:
    with Watcher(SOURCE, {**device.environ, "FAKE_V4L2_BUFFERS": "1"}) as watcher:
        said = watcher.next("refused")["refused"]
    assert said.endswith("/dev/video9 cannot be used: its driver gives only 1 of 2 buffers")


def test_says_that_opencv_cannot_read_the_cameras_format(device: V4l2Device) -> None:
    environ = {**device.environ, "FAKE_V4L2_FORMATS": "H264"}
    with Watcher(SOURCE, environ) as watcher:
        said = watcher.next("refused")["refused"]
    assert said.endswith("offers no picture format that OpenCV can read")


@pytest.mark.parametrize("path", ["/dev/null", __file__])
def test_says_that_it_is_not_a_camera(path: str) -> None:
    with camera_error("is not a camera"):
        open_camera(f"v4l2:{path}", CameraSettings())
