from __future__ import annotations

import importlib
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from doorbelld.camera import picamera as ours
from doorbelld.camera.base import CameraSettings
from doorbelld.camera.factory import open_camera
from doorbelld.drivers.errors import CameraStuckError
from tests.support import picamera_library, pictures
from tests.support.daemon import GUARD, ROOT, eventually
from tests.support.reasons import camera_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from doorbelld.camera.base import Camera


def mmal(name: str) -> int:
    """Return the GPU's number of an error."""
    number: int = getattr(importlib.import_module("picamera.mmal"), f"MMAL_{name}")
    return number


PICTURE, OTHER = pictures.jpeg(1), pictures.jpeg(2)


@pytest.fixture(scope="module")
def library() -> Any:
    return picamera_library.load()


@pytest.fixture
def pi(library: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the class used as the Raspberry Pi's camera."""
    made = picamera_library.camera_class(library)
    monkeypatch.setattr(library, "PiCamera", made)
    return made


@pytest.fixture
def camera(pi: Any) -> Iterator[Camera]:
    assert not pi.made
    found = open_camera("picamera", CameraSettings())
    yield found
    found.close()


def test_asks_the_gpu_for_what_is_asked_of_it(pi: Any) -> None:
    asked = CameraSettings(1280, 720, 25, 80, rotation=90, hflip=True, vflip=False)
    camera = open_camera("picamera:1", asked)
    camera.close()
    [made] = pi.made
    assert made.options == {
        "camera_num": 1,
        "resolution": (1280, 720),
        "framerate": 25,
        "clock_mode": "raw",
    }
    assert (made.rotation, made.hflip, made.vflip) == (90, True, False)
    assert made.recording_options["format"] == "mjpeg"
    assert made.recording_options["bitrate"] == 25_000_000
    assert made.closed
    assert camera.name == "Raspberry Pi camera 1"


def test_a_frame_is_there_with_its_last_write(pi: Any, camera: Camera) -> None:
    half = len(PICTURE) // 2
    encoder = pi.made[0]._encoders[1]
    encoder._callback(None, picamera_library.Buffer(PICTURE[:half]))
    assert camera.read(0) is None
    pi.made[0].deliver(PICTURE[half:])
    shot = camera.read(0)
    assert shot
    assert shot.data == PICTURE
    assert camera.read(0) is None


def test_of_several_frames_it_gives_the_newest(pi: Any, camera: Camera) -> None:
    pi.made[0].deliver(PICTURE)
    pi.made[0].deliver(OTHER[:100], OTHER[100:500], OTHER[500:])
    shot = camera.read(GUARD)
    assert shot
    assert shot.data == OTHER


def test_the_capture_time_is_the_gpus_in_our_clock(
    pi: Any, camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened_at = time.monotonic()
    pi.made[0].deliver(PICTURE, pts=5_000_000 - 40_000)
    shot = camera.read(GUARD)
    assert shot
    assert shot.captured_at == pytest.approx(opened_at - 0.04, abs=1)
    assert shot.captured_at < opened_at - 0.039
    # Later the clocks have drifted apart by 20 ms; that is noticed.
    now = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pi.made[0].clock = 5_000_000 + 60_020_000
    pi.made[0].deliver(PICTURE, pts=5_000_000 + 60_020_000 - 30_000)
    shot = camera.read(GUARD)
    assert shot
    assert shot.captured_at == pytest.approx(now - 0.03, abs=0.0001)


@pytest.mark.parametrize("pts", [0, 1, 9_000_000_000])
def test_without_a_credible_stamp_it_is_the_moment_of_arrival(
    pi: Any, camera: Camera, pts: int
) -> None:
    before = time.monotonic()
    pi.made[0].deliver(PICTURE, pts=pts)
    shot = camera.read(GUARD)
    assert shot
    assert before <= shot.captured_at <= time.monotonic()


def test_repairs_the_end_of_a_frame(pi: Any, camera: Camera) -> None:
    pi.made[0].deliver(PICTURE[:-2] + bytes(3))
    shot = camera.read(GUARD)
    assert shot
    assert shot.jpeg() == PICTURE


def test_drops_and_counts_damaged_frames(pi: Any, camera: Camera) -> None:
    pi.made[0].deliver(PICTURE[:-10])
    assert camera.read(0) is None
    assert camera.invalid == 1
    pi.made[0].deliver(PICTURE)
    assert camera.read(0)


def test_a_sensor_that_falls_silent_is_just_silent(camera: Camera) -> None:
    assert camera.read(0.01) is None


def test_an_error_of_the_encoder_is_reported(
    library: Any, pi: Any, camera: Camera, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = pi.made[0]._encoders[1]
    encoder.exception = library.PiCameraMMALError(mmal("EIO"), "encoder")
    encoder.event.set()
    with camera_error(r"^Raspberry Pi camera 0 has stopped: encoder: I/O"):
        camera.read(0)
    camera.close()
    assert pi.made[0].closed  # the library leaves it open when its encoder met an error
    assert not caplog.messages


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        ("PiCameraMMALError", ("ENOSPC", "x"), "is in use by another program"),
        ("PiCameraError", ("Camera is not enabled. Try…",), "is not enabled; raspi-config can"),
        ("PiCameraError", ("Camera is not detected",), "is not detected; check its cable"),
        ("PiCameraValueError", ("Bad framerate",), "does not start: Bad framerate"),
    ],
)
def test_says_why_it_does_not_start(
    library: Any, pi: Any, kind: str, arguments: tuple[Any, ...], said: str
) -> None:
    if kind == "PiCameraMMALError":
        arguments = (mmal(arguments[0]), *arguments[1:])
    pi.start_error = getattr(library, kind)(*arguments)
    with camera_error(f"^Raspberry Pi camera 0 {said}"):
        open_camera("picamera", CameraSettings())


def test_a_number_that_no_camera_has(pi: Any) -> None:
    pi.start_error = IndexError("invalid index")
    with camera_error(r"^Raspberry Pi camera 7 is not detected"):
        open_camera("picamera:7", CameraSettings())


def test_closing_does_not_wait_for_a_library_that_hangs(
    pi: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pi.hangs = threading.Event()
    monkeypatch.setattr("doorbelld.camera.closing.PATIENCE", 0.01)
    camera = open_camera("picamera", CameraSettings())
    camera.close()
    camera.close()
    assert "hangs while it is closed" in caplog.text
    with pytest.raises(CameraStuckError):
        open_camera("picamera", CameraSettings())
    pi.hangs.set()
    eventually(lambda: pi.made[0].closed, "the camera is closed")


@pytest.mark.process
def test_says_that_it_works_on_a_raspberry_pi_only() -> None:
    script = """
from doorbelld.camera.base import CameraSettings
from doorbelld.drivers.errors import CameraError
from doorbelld.camera.factory import open_camera
try:
    open_camera("picamera", CameraSettings())
except CameraError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "picamera works on a Raspberry Pi only\n"


def test_says_that_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera", None)
    with camera_error(r"^The Python library picamera is not installed$"):
        open_camera("picamera", CameraSettings())
    assert ours.connected() == {}


def test_knows_which_cameras_are_connected(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    info = mock.MagicMock()
    known = info.return_value.__enter__.return_value.control.params.__getitem__.return_value
    monkeypatch.setattr("picamera.mmalobj.MMALCameraInfo", info)
    known.cameras = [mock.Mock(camera_name=b"imx477"), mock.Mock(spec=[])]
    known.num_cameras = 1
    assert ours.connected() == {0: "imx477"}
    known.num_cameras = 2
    assert ours.connected() == {0: "imx477", 1: ""}
    known.num_cameras = 0
    assert ours.connected() == {}
    info.side_effect = library.PiCameraMMALError(mmal("ENOMEM"), "no component")
    assert ours.connected() == {}
