from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from doorbelld.camera import picamera2 as ours
from doorbelld.camera.base import CameraSettings
from doorbelld.camera.factory import open_camera
from doorbelld.drivers.errors import CameraStuckError, GoneError
from doorbelld.media import jpeg
from tests.support import picamera2_library, pictures
from tests.support.daemon import GUARD, eventually
from tests.support.processes import descriptors
from tests.support.reasons import camera_error

PICTURE, OTHER = pictures.jpeg(1), pictures.jpeg(2)


@pytest.fixture
def pi(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the class used as the Raspberry Pi's camera."""
    return picamera2_library.install(monkeypatch)


def test_asks_the_library_for_what_is_asked_of_it(pi: Any) -> None:
    camera = open_camera("picamera2:0", CameraSettings(801, 601, 25, 80, hflip=True))
    camera.close()
    [made] = pi.made
    wanted = made.configuration
    assert wanted["main"] == {"size": (800, 600), "format": "YUV420"}
    assert wanted["raw"] is None
    assert wanted["sensor"] == {"output_size": (2304, 1296)}
    assert wanted["colour_space"] == "sYCC"
    assert wanted["controls"] == {"FrameDurationLimits": (40000, 100000)}
    assert made.encoder.bitrate == int(801 * 601 * 25 * 1.5 * 0.8)
    assert wanted["transform"].flips == (True, False)
    assert made.closed
    assert not made.output.recording
    assert made.calls == ["stop_preview", "stop_recording", "close"]
    assert not made.encoder._running
    assert camera.name == "Raspberry Pi camera 0"
    assert camera.mode == "sensor at 2304x1296, full field of view, cut to 75 % of the width"


@pytest.mark.parametrize(("dark", "longest"), [(5, 200000), (25, 40000), (30, 40000)])
def test_frame_rate_falls_in_the_dark_but_never_rises(pi: Any, dark: float, longest: int) -> None:
    open_camera("picamera2", CameraSettings(framerate=25, framerate_dark=dark)).close()
    controls = pi.made[0].configuration["controls"]
    assert controls == {"FrameDurationLimits": (40000, longest)}


def test_a_camera_that_can_focus_does_so_all_the_time(pi: Any) -> None:
    pi.controls = {"FrameDurationLimits": (1, 2, 3), "AfMode": (0, 2, 0)}
    open_camera("picamera2", CameraSettings()).close()
    assert pi.made[0].configuration["controls"]["AfMode"] == "continuous"


@pytest.mark.parametrize(
    ("size", "zoom", "mode"),
    [
        ((2304, 1296), (0, 0, 1, 1), (2304, 1296)),
        ((2306, 1296), (0, 0, 1, 1), (4608, 2592)),
        ((640, 480), (0.4, 0.4, 0.2, 0.2), (4608, 2592)),
    ],
)
def test_takes_the_fast_mode_with_the_full_view_if_it_has_enough_pixels(
    pi: Any, size: tuple[int, int], zoom: tuple[float, float, float, float], mode: tuple[int, int]
) -> None:
    open_camera("picamera2", CameraSettings(*size, zoom=zoom)).close()
    assert pi.made[0].configuration["sensor"] == {"output_size": mode}


def test_a_library_without_the_sensor_argument_chooses_the_mode_by_the_raw_stream(
    pi: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(
        _: Any, *, main: Any, raw: Any, transform: Any, colour_space: Any, controls: Any
    ) -> Any:
        del main, transform, colour_space, controls
        return {"raw": raw}

    monkeypatch.setattr(pi, "create_video_configuration", create)
    camera = open_camera("picamera2", CameraSettings())
    camera.close()
    assert pi.made[0].configuration["raw"] == {"size": (2304, 1296)}
    assert camera.mode.startswith("sensor at 2304x1296")


def test_without_memory_for_the_full_view_it_goes_without(
    pi: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pi.largest_mode = 2000
    caplog.set_level("INFO")
    camera = open_camera("picamera2", CameraSettings())
    camera.close()
    assert pi.made[0].configuration["sensor"] is None
    assert camera.mode == ""
    assert "no full field of view: OSError: [Errno 12] Cannot allocate memory" in caplog.text


def test_a_sensor_without_a_size_is_left_to_the_library(pi: Any) -> None:
    pi.properties = {}
    camera = open_camera("picamera2", CameraSettings())
    camera.close()
    assert pi.made[0].configuration["sensor"] is None
    assert camera.mode == ""


@pytest.mark.parametrize(
    ("width", "height", "kind"),
    [(1920, 1080, "MJPEGEncoder"), (1922, 1080, "JpegEncoder"), (1600, 1922, "JpegEncoder")],
)
def test_pictures_too_large_for_the_hardware_encoder_take_the_software(
    pi: Any, width: int, height: int, kind: str
) -> None:
    open_camera("picamera2", CameraSettings(width, height)).close()
    assert isinstance(pi.made[0].encoder, getattr(picamera2_library, kind))


def test_an_encoder_that_is_too_slow_gets_no_more_than_two_frames_at_once(pi: Any) -> None:
    camera = open_camera("picamera2", CameraSettings())
    [made] = pi.made
    for frame in range(5):
        made.encoder.encode("main", frame)
    made.deliver(PICTURE, 0)
    for frame in range(5, 10):
        made.encoder.encode("main", frame)
    camera.close()
    assert made.encoder.encoded == [0, 1, 5]


@pytest.mark.parametrize(
    ("hflip", "vflip", "flips"),
    [(False, False, (True, True)), (True, False, (False, True)), (True, True, (False, False))],
)
def test_turning_upside_down_is_both_flips(
    pi: Any, hflip: bool, vflip: bool, flips: tuple[bool, bool]
) -> None:
    asked = CameraSettings(rotation=180, hflip=hflip, vflip=vflip)
    open_camera("picamera2", asked).close()
    assert pi.made[0].configuration["transform"].flips == flips


def test_what_the_camera_cannot_turn_is_turned_afterwards(pi: Any) -> None:
    camera = open_camera("picamera2", CameraSettings(rotation=90, hflip=True))
    pi.made[0].deliver(PICTURE, 0)
    shot = camera.read(GUARD)
    camera.close()
    assert shot
    assert jpeg.size(shot.jpeg()) == (48, 64)
    assert pi.made[0].configuration["transform"].flips == (False, False)


def test_without_hardware_it_takes_the_encoder_that_keeps_no_frames_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pi = picamera2_library.install(monkeypatch, hardware=False)
    open_camera("picamera2", CameraSettings(quality=70)).close()
    [made] = pi.made
    assert made.encoder.q == 70
    assert made.configuration["main"]["format"] == "RGB888"


class Request:
    """A frame of the library's, and how many hold it; the library itself is one of them."""

    def __init__(self, age: float) -> None:
        self.holders = 1
        self.picam2 = mock.Mock(encode_stream_name="main")
        self._moment = int((time.clock_gettime(time.CLOCK_BOOTTIME) - age) * 1e9)

    def acquire(self) -> None:
        self.holders += 1

    def release(self) -> None:
        self.holders -= 1

    def get_metadata(self) -> dict[str, int]:
        return {"SensorTimestamp": self._moment}


def test_software_encodes_a_picture_only_if_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    pi = picamera2_library.install(monkeypatch, hardware=False)
    camera = open_camera("picamera2", CameraSettings())
    encoder = pi.made[0].encoder
    requests = [Request(0.5), Request(0.25)]
    encoder.encode_func = lambda request, name: f"{requests.index(request)} of {name}".encode()
    encoder.encode("main", requests[0])
    old = camera.read(0)
    encoder.encode("main", requests[1])
    newest = camera.read(0)
    assert old
    assert newest
    assert [request.holders for request in requests] == [1, 2]
    assert (old.data, newest.data) == (b"", b"")
    assert 0.25 <= time.monotonic() - newest.captured_at < 2
    assert newest.jpeg() == b"1 of main"
    with pytest.raises(GoneError):
        old.jpeg()
    camera.close()
    assert [request.holders for request in requests] == [1, 1]
    with pytest.raises(GoneError):
        newest.jpeg()


def test_frame_that_came_before_the_start_failed_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pi = picamera2_library.install(monkeypatch, hardware=False)
    request = Request(0)

    def start_recording(self: Any, encoder: Any, output: Any) -> None:
        del self, output
        encoder.start()
        encoder.encode("main", request)
        raise RuntimeError("the second stream does not start")

    monkeypatch.setattr(pi, "start_recording", start_recording)
    with camera_error("the second stream does not start"):
        open_camera("picamera2", CameraSettings())
    assert request.holders == 1


def test_software_that_fails_to_encode_a_picture_loses_only_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pi = picamera2_library.install(monkeypatch, hardware=False)
    camera = open_camera("picamera2", CameraSettings())
    encoder = pi.made[0].encoder
    encoder.encode_func = mock.Mock(side_effect=RuntimeError("no such plane"))
    request = Request(0)
    encoder.encode("main", request)
    shot = camera.read(0)
    assert shot
    with pytest.raises(ValueError, match="the encoder failed: RuntimeError: no such plane"):
        shot.jpeg()
    camera.close()
    assert request.holders == 1


def test_gives_the_newest_frame_once_with_the_sensors_time(pi: Any) -> None:
    camera = open_camera("picamera2", CameraSettings())
    pi.made[0].deliver(PICTURE, 0.5)
    pi.made[0].deliver(OTHER, 0.25)
    shot = camera.read(GUARD)
    now = time.monotonic()
    assert shot
    assert shot.data == OTHER
    assert 0.25 <= now - shot.captured_at < 2
    assert camera.read(0.01) is None
    camera.close()


@pytest.mark.parametrize("age", [-100, 100])
def test_a_time_that_cannot_be_is_not_believed(pi: Any, age: float) -> None:
    camera = open_camera("picamera2", CameraSettings())
    before = time.monotonic()
    pi.made[0].deliver(PICTURE, age)
    shot = camera.read(GUARD)
    camera.close()
    assert shot
    assert before <= shot.captured_at <= time.monotonic()


def test_a_frame_without_a_time_has_come_now(pi: Any) -> None:
    camera = open_camera("picamera2", CameraSettings())
    before = time.monotonic()
    pi.made[0].output.outputframe(PICTURE)
    shot = camera.read(GUARD)
    camera.close()
    assert shot
    assert before <= shot.captured_at <= time.monotonic()


def test_drops_and_counts_damaged_frames(pi: Any) -> None:
    camera = open_camera("picamera2", CameraSettings())
    pi.made[0].deliver(PICTURE[:-10], 0)
    assert camera.read(0) is None
    assert camera.invalid == 1
    camera.close()


@pytest.mark.parametrize("frame", [PICTURE[:-1], PICTURE[:-2], PICTURE + bytes(7)])
def test_repairs_the_end_of_a_frame(pi: Any, frame: bytes) -> None:
    camera = open_camera("picamera2", CameraSettings())
    pi.made[0].deliver(frame, 0)
    shot = camera.read(GUARD)
    camera.close()
    assert shot
    assert shot.jpeg() == PICTURE
    assert camera.invalid == 0


def test_reports_once_that_pictures_are_cut_off_and_fails_if_all_are(
    pi: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cut = pictures.big_jpeg(600)[: 512 << 10]
    camera = open_camera("picamera2", CameraSettings())
    pi.made[0].deliver(cut, 0)
    assert camera.read(0) is None
    pi.made[0].deliver(PICTURE, 0)
    assert camera.read(0)
    pi.made[0].deliver(cut, 0)
    now = time.monotonic() + 1.9
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert camera.read(0) is None
    now += 0.2
    said = "pictures are too large for its encoder, and are cut off; lower quality or resolution"
    with camera_error(said):
        camera.read(0)
    pi.made[0].deliver(PICTURE, 0)
    assert camera.read(0)
    assert camera.read(0) is None
    camera.close()
    assert camera.invalid == 2
    assert caplog.text.count(said) == 1


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (
            RuntimeError("Failed to acquire camera: Device or resource busy"),
            "Raspberry Pi camera 0 is in use by another program",
        ),
        (OSError(16, "Device or resource busy"), "Raspberry Pi camera 0 is in use by another"),
        (
            RuntimeError("Camera(s) not found (Do not forget to…)"),
            "Raspberry Pi camera 0 is not detected; check its cable",
        ),
        (
            RuntimeError("width and height should be even"),
            "Raspberry Pi camera 0 does not start: width and height should be even",
        ),
        (
            PermissionError(13, "Permission denied", "/dev/dma_heap/linux,cma"),
            "No permission to use Raspberry Pi camera 0; the user must be in the group video",
        ),
        (OSError(12, "Cannot allocate memory"), "Raspberry Pi camera 0 has too little memory"),
        (KeyError("AeLocked"), "Raspberry Pi camera 0 does not start: KeyError: 'AeLocked'"),
        (TypeError("two\nlines"), "Raspberry Pi camera 0 does not start: TypeError: two lines"),
    ],
)
@pytest.mark.parametrize("step", ["constructor_error", "start_error"])
def test_says_why_it_does_not_start(pi: Any, step: str, cause: Exception, said: str) -> None:
    open_camera("picamera2", CameraSettings()).close()
    before = len(descriptors(os.getpid()))
    setattr(pi, step, cause)
    with camera_error() as caught:
        open_camera("picamera2", CameraSettings())
    assert str(caught.value).startswith(said)
    assert pi.made[1].closed
    assert pi.made[1].encoder is None or not pi.made[1].encoder._running
    assert len(descriptors(os.getpid())) == before
    setattr(pi, step, None)
    open_camera("picamera2", CameraSettings()).close()


def test_a_number_that_no_camera_has(pi: Any) -> None:
    said = r"^Raspberry Pi camera 3 is not detected; there is: 0 \(imx708\)$"
    with camera_error(said):
        open_camera("picamera2:3", CameraSettings())
    pi.cameras = []
    with camera_error(r"^Raspberry Pi camera 0 is not detected; check its"):
        open_camera("picamera2", CameraSettings())


def test_says_that_the_library_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    text = "numpy.dtype size changed,\\nmay indicate binary incompatibility"
    (tmp_path / "picamera2.py").write_text(f'raise ValueError("{text}")')
    said = r"^The Python library picamera2 cannot be used: numpy.dtype size changed, may indicate"
    with camera_error(said):
        open_camera("picamera2", CameraSettings())
    assert ours.connected() == {}


def test_says_that_the_library_is_too_old(pi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(picamera2_library.Picamera2, "global_camera_info")
    with camera_error(r"^The Python library picamera2 is too old"):
        open_camera("picamera2", CameraSettings())
    assert not pi.made
    assert ours.connected() == {}


def test_says_that_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with camera_error(r"^The Python library picamera2 cannot be used: "):
        open_camera("picamera2", CameraSettings())
    assert ours.connected() == {}


def test_closing_does_not_wait_for_a_library_that_hangs(
    pi: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pi.hangs = threading.Event()
    monkeypatch.setattr("doorbelld.camera.closing.PATIENCE", 0.01)
    camera = open_camera("picamera2", CameraSettings())
    camera.close()
    camera.close()
    assert "hangs while it is closed" in caplog.text
    with pytest.raises(CameraStuckError):
        open_camera("picamera2", CameraSettings())
    pi.hangs.set()
    eventually(lambda: pi.made[0].closed, "the camera is closed")


ON_BOARD = {"Num": 1, "Model": "imx708", "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a"}
OTHER_ONE = {"Num": 2, "Model": "imx219", "Id": "/base/soc/i2c0mux/i2c@0/imx219@10"}
WEBCAM = {"Num": 0, "Model": "C270", "Id": r"\_SB_.PCI0/usb1-1:1.0-046d:0825"}


def test_a_cameras_number_is_its_place_in_the_librarys_list(pi: Any) -> None:
    pi.cameras = [WEBCAM, OTHER_ONE, ON_BOARD]
    assert ours.connected() == {0: "imx708", 1: "imx219"}
    for number, expected in enumerate((ON_BOARD, OTHER_ONE)):
        open_camera(f"picamera2:{number}", CameraSettings()).close()
        assert pi.made[-1].found == expected


def test_a_webcam_in_its_list_does_not_count(pi: Any) -> None:
    pi.cameras = [WEBCAM, ON_BOARD]
    assert ours.connected() == {0: "imx708"}
    with camera_error(r"camera 1 is a USB camera; use v4l2:/dev/videoN"):
        open_camera("picamera2:1", CameraSettings())
    pi.cameras = [WEBCAM]
    assert ours.connected() == {}


def test_what_is_missing_in_the_list_does_no_harm(pi: Any) -> None:
    pi.cameras = [{"Id": "/base/imx219"}, {"Id": "/base/imx219", "Num": 0}, {"Num": 0}, {}]
    assert ours.connected() == {0: "", 1: "", 2: "", 3: ""}
    open_camera("picamera2:3", CameraSettings()).close()


def test_a_library_that_cannot_list_its_cameras_has_none(
    pi: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("libcamera is out of order")

    monkeypatch.setattr(pi, "global_camera_info", fail)
    assert ours.connected() == {}
    with camera_error(r"^Raspberry Pi camera 0 does not start: libcamera is"):
        open_camera("picamera2", CameraSettings())
