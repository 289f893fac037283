"""Opening a camera by its source."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from doorbelld.camera import factory
from doorbelld.camera.base import CameraSettings
from doorbelld.camera.factory import open_camera
from doorbelld.system.limited_log import OncePerMinute
from doorbelld.v4l2 import devices
from doorbelld.v4l2.devices import Device
from tests.support import picamera2_library, picamera_library
from tests.support.daemon import ROOT
from tests.support.reasons import camera_error


@pytest.mark.parametrize(
    "source",
    ["", "webcam", "v4l2", "v4l2:", "file:", "http:", "picamera:x", "picamera2:-1", "ftp://a/b"],
)
def test_an_unknown_source_is_a_value_error(source: str) -> None:
    with pytest.raises(ValueError, match="is no camera source"):
        open_camera(source, CameraSettings())


@pytest.mark.parametrize(
    ("source", "what", "keys"),
    [
        ("v4l2:/dev/none", "a webcam", "zoom, tuning"),
        ("file:/nowhere", "a file", "focus, zoom, tuning"),
        ("rtsp://127.0.0.1:1/", "a network camera", "focus, zoom, tuning"),
        ("picamera", "the older camera stack", "focus, zoom, tuning"),
    ],
)
def test_settings_that_no_camera_of_the_kind_has_are_said_once(
    source: str,
    what: str,
    keys: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(factory, "_may_warn", OncePerMinute())
    monkeypatch.setitem(sys.modules, "picamera", None)
    settings = CameraSettings(
        controls={"focus": "auto"}, zoom=(0, 0, 0.5, 0.5), tuning="imx219_noir.json"
    )
    for asked in (CameraSettings(), settings, settings):
        with camera_error():
            open_camera(source, asked)
    said = f"[camera] {keys}: left out, because {what} has nothing of the kind"
    assert caplog.messages == [said]


class TestAuto:
    @pytest.fixture(autouse=True)
    def nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let no camera be there, whatever this machine has."""
        monkeypatch.setitem(sys.modules, "picamera2", None)
        picamera_library.load()  # its parts stay imported, whatever becomes of the whole
        monkeypatch.setitem(sys.modules, "picamera", None)
        monkeypatch.setattr(devices, "find", list)

    def test_without_a_camera_says_so(self) -> None:
        with camera_error(r"^No camera found; check that one is plugged in"):
            open_camera("auto", CameraSettings())

    def test_takes_picamera2_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        picamera2 = picamera2_library.install(monkeypatch)
        self.connect_picamera(monkeypatch)
        open_camera("auto", CameraSettings()).close()
        assert len(picamera2.made) == 1

    def test_takes_picamera_if_picamera2_sees_no_camera(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        picamera2_library.install(monkeypatch).cameras = []
        picamera = self.connect_picamera(monkeypatch)
        monkeypatch.setattr(devices, "find", lambda: [Device("/dev/none", "Webcam")])
        open_camera("auto", CameraSettings()).close()
        assert len(picamera.made) == 1

    def test_takes_the_first_webcam_last(self, monkeypatch: pytest.MonkeyPatch) -> None:
        webcams = [Device("/dev/none1", "First"), Device("/dev/none2", "Second")]
        monkeypatch.setattr(devices, "find", lambda: webcams)
        with camera_error(r"^There is no camera at /dev/none1;"):
            open_camera("auto", CameraSettings())

    def test_a_camera_that_is_there_but_fails_is_not_passed_over(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        picamera2_library.install(monkeypatch).start_error = RuntimeError("busy")
        self.connect_picamera(monkeypatch)
        with camera_error("in use by another program"):
            open_camera("auto", CameraSettings())

    def connect_picamera(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        library = picamera_library.load()
        monkeypatch.setitem(sys.modules, "picamera", library)
        made = picamera_library.camera_class(library)
        monkeypatch.setattr(library, "PiCamera", made)
        monkeypatch.setattr("doorbelld.camera.picamera.connected", lambda: {0: "ov5647"})
        return made

    @pytest.mark.process
    def test_looking_for_a_camera_loads_no_opencv(self) -> None:
        script = """
import sys
from doorbelld.camera.base import CameraSettings
from doorbelld.drivers.errors import CameraError
from doorbelld.v4l2 import devices
from doorbelld.camera.factory import open_camera
devices.find = list
try:
    open_camera("auto", CameraSettings())
except CameraError:
    sys.exit("cv2" in sys.modules or "numpy" in sys.modules)
"""
        subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
