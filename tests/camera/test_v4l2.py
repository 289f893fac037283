from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from unittest import mock

import cv2
import numpy as np
import pytest

from doorbelld.camera.base import CameraSettings
from doorbelld.camera.factory import open_camera
from doorbelld.camera.v4l2 import V4l2Camera
from doorbelld.drivers.errors import CameraError
from doorbelld.media import jpeg
from tests.support import pictures
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


def test_a_signal_does_not_look_like_an_unplugged_camera(device: V4l2Device) -> None:
    with Watcher(SOURCE, device.environ) as watcher:
        watcher.next("data")
        device.become("silent")
        watcher.next("none")
        while watcher.next("none")["waited"] > 0.9:
            watcher.interrupt()
        device.become("streaming")
        watcher.next("data")


def test_a_raw_picture_that_opencv_does_not_understand_is_counted() -> None:
    camera = V4l2Camera("/dev/none", CameraSettings())
    camera._capture = mock.Mock()
    camera._capture.get.return_value = 0
    camera._capture.retrieve.return_value = (False, None)
    assert camera.read(1) is None
    assert camera.invalid == 1


def test_a_raw_picture_of_another_size_than_agreed_is_counted() -> None:
    camera = V4l2Camera("/dev/none", CameraSettings())
    camera._capture = mock.Mock()
    camera._capture.get.return_value = 480
    camera._capture.retrieve.return_value = (True, np.zeros((1, 1000), np.uint8))
    assert camera.read(1) is None
    assert camera.invalid == 1


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("busy", "The camera /dev/video9 is in use by another program"),
        ("unplugged", "There is no camera at /dev/video9; check that it is plugged in"),
    ],
)
def test_says_why_it_cannot_be_opened(device: V4l2Device, state: str, said: str) -> None:
    device.become(state)
    with Watcher(SOURCE, device.environ) as watcher:
        assert watcher.next("refused")["refused"] == said


def test_says_that_opencv_cannot_read_the_cameras_format(device: V4l2Device) -> None:
    environ = {**device.environ, "FAKE_V4L2_FORMATS": "H264"}
    with Watcher(SOURCE, environ) as watcher:
        said = watcher.next("refused")["refused"]
    assert said.endswith("offers no picture format that OpenCV can read")


@pytest.mark.parametrize("path", ["/dev/null", __file__])
def test_says_that_it_is_not_a_camera(path: str) -> None:
    with pytest.raises(CameraError, match="is not a camera"):
        open_camera(f"v4l2:{path}", CameraSettings())
