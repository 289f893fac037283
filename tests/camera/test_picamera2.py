from __future__ import annotations

import sys
import threading
import time
from typing import Any

import pytest

from doorbelld.camera import picamera2 as ours
from doorbelld.camera.base import CameraSettings
from doorbelld.camera.factory import open_camera
from doorbelld.drivers.errors import CameraError, CameraStuckError
from doorbelld.media import jpeg
from tests.support import picamera2_library, pictures
from tests.support.daemon import GUARD, eventually

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
    assert wanted["controls"] == {"FrameDurationLimits": (40000, 40000)}
    assert made.encoder.bitrate == int(801 * 601 * 25 * 1.5 * 0.8)
    assert wanted["transform"].flips == (True, False)
    assert made.closed
    assert not made.output.recording
    assert camera.name == "Raspberry Pi camera 0"


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


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        ("Failed to acquire camera: Device or resource busy", "is in use by another program"),
        ("Camera(s) not found (Do not forget to…)", "is not detected; check its cable"),
        ("width and height should be even", "does not start: width and height should be even"),
    ],
)
def test_says_why_it_does_not_start(pi: Any, cause: str, said: str) -> None:
    pi.start_error = RuntimeError(cause)
    with pytest.raises(CameraError, match=f"^Raspberry Pi camera 0 {said}"):
        open_camera("picamera2", CameraSettings())
    assert pi.made[0].closed


def test_a_number_that_no_camera_has(pi: Any) -> None:
    assert pi.cameras
    with pytest.raises(CameraError, match=r"^Raspberry Pi camera 3 is not detected"):
        open_camera("picamera2:3", CameraSettings())


def test_says_that_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(CameraError, match=r"^The Python library picamera2 cannot be used: "):
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


def test_a_webcam_in_its_list_does_not_count(pi: Any) -> None:
    on_board = {"Num": 1, "Model": "imx708", "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a"}
    webcam = {"Num": 0, "Model": "C270", "Id": r"\_SB_.PCI0/usb1-1:1.0-046d:0825"}
    pi.cameras = [webcam, on_board]
    assert ours.connected() == {1: "imx708"}
    pi.cameras = [webcam]
    assert ours.connected() == {}
