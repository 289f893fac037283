"""Settings and tuning files on their way to the library's camera."""

from __future__ import annotations

import json
import types
from typing import TYPE_CHECKING, Any

import pytest

from doorbelld.camera.base import CameraSettings
from doorbelld.camera.factory import open_camera
from doorbelld.drivers import libcamera, tuning
from doorbelld.system.limited_log import MINUTE, OnceLog
from tests.support import picamera2_settings
from tests.support.reasons import camera_error

if TYPE_CHECKING:
    from pathlib import Path

NOIR = {"version": 2.0, "target": "pisp", "algorithms": [{"rpi.black_level": {}}]}


@pytest.fixture
def pi(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the class used as the Raspberry Pi's camera, and let nothing have been logged."""
    monkeypatch.setattr(libcamera, "_settings_log", OnceLog(libcamera.logger, MINUTE))
    found = picamera2_settings.install(monkeypatch)
    found.tuning_files = {"imx708_noir.json": NOIR}
    return found


def opened(pi: Any, settings: CameraSettings) -> Any:
    """Open a camera with these settings; return the library's camera, closed."""
    open_camera("picamera2:0", settings).close()
    return pi.made[-1]


def test_settings_are_set_before_the_camera_starts(
    pi: Any, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = {"focus": "2", "exposure": "8000", "gain": "4", "colour": "red"}
    made = opened(pi, CameraSettings(controls=wanted, zoom=(0.25, 0.25, 0.5, 0.5)))
    assert made.values == {
        "AfMode": 0,
        "LensPosition": 0.5,
        "ExposureTime": 8000,
        "ExposureTimeMode": 1,
        "AnalogueGain": 4.0,
        "AnalogueGainMode": 1,
        "FrameDurationLimits": (33333, 100000),
        "ScalerCrop": (1440, 648, 1728, 1296),
        "ScalerCrops": [(1440, 648, 1728, 1296)],
    }
    [said] = caplog.messages
    assert said.startswith("Raspberry Pi camera 0: colour = red is left out: this camera has no")


def test_without_settings_nothing_is_set(pi: Any) -> None:
    made = opened(pi, CameraSettings())
    assert made.values == made.configuration["controls"]


@pytest.mark.parametrize(
    ("settings", "corner"),
    [
        (CameraSettings(800, 600), (0, 0)),
        (CameraSettings(800, 600, rotation=180), (0, 0)),  # The sensor turns it, then it is cut.
        (CameraSettings(800, 600, rotation=90), (0, 1)),
        (CameraSettings(800, 600, rotation=270), (1, 0)),
        (CameraSettings(800, 600, rotation=90, hflip=True), (1, 1)),
        (CameraSettings(800, 600, rotation=90, vflip=True), (0, 0)),
    ],
)
def test_zoom_is_that_of_the_turned_picture(
    pi: Any, settings: CameraSettings, corner: tuple[int, int]
) -> None:
    """The part at the top left of what is shown, wherever that is before it is turned."""
    shown = vars(settings)
    made = opened(pi, CameraSettings(**{**shown, "zoom": (0, 0, 0.5, 0.5)}))
    x, y = corner
    assert made.values["ScalerCrop"] == (576 + 1728 * x, 1296 * y, 1728, 1296)


class TestTuning:
    def test_is_found_by_its_name(self, pi: Any, caplog: pytest.LogCaptureFixture) -> None:
        assert opened(pi, CameraSettings(tuning="imx708_noir.json")).tuning == NOIR
        assert opened(pi, CameraSettings()).tuning is None
        assert caplog.messages == []

    def test_is_found_by_its_path(self, pi: Any, tmp_path: Path) -> None:
        file = tmp_path / "mine.json"
        file.write_text(json.dumps(NOIR))
        assert opened(pi, CameraSettings(tuning=str(file))).tuning == NOIR

    def test_that_is_missing_is_left_out(
        self,
        pi: Any,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        folder = tmp_path / "rpi" / "pisp"
        folder.mkdir(parents=True)
        for name in ("imx708.json", "imx219.json"):
            (folder / name).touch()
        monkeypatch.setattr(tuning, "_SHARE", (tmp_path, tmp_path / "nowhere"))
        for file in ("imx708_no.json", str(tmp_path / "no.json")):
            assert opened(pi, CameraSettings(tuning=file)).tuning is None
            assert caplog.messages.pop() == (
                f"Raspberry Pi camera 0: tuning = {file} is left out: there is no such file;"
                " libcamera has imx219.json, imx708.json"
            )

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"{", "it is not JSON: "),
            (b"\xff", "it is not JSON: "),
            (b"[]", "it is not a tuning file"),
            (b'{"version": "new"}', "it is of an unknown version"),
            (b'{"version": 3.0}', "it is of an unknown version"),
            (
                b'{"version": 2.0, "target": "pisp"}',
                "it is not a tuning file: it has no algorithms",
            ),
            (b'{"rpi.agc": {}}', "it is for bcm2835, and this Raspberry Pi needs pisp"),
        ],
    )
    def test_that_is_something_else_is_left_out(
        self,
        pi: Any,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        content: bytes,
        said: str,
    ) -> None:
        file = tmp_path / "wrong.json"
        file.write_bytes(content)
        assert opened(pi, CameraSettings(tuning=str(file))).tuning is None
        [line] = caplog.messages
        start = f"Raspberry Pi camera 0: tuning = {file} is left out: {said}"
        assert line.startswith(start)

    def test_that_cannot_be_read_is_left_out(
        self, pi: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        file = tmp_path / "folder.json"
        file.mkdir()
        assert opened(pi, CameraSettings(tuning=str(file))).tuning is None
        assert caplog.messages[0].endswith("it cannot be read: Is a directory")

    def test_that_libcamera_does_not_take_is_left_out(
        self, pi: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Its pipeline then does not know the camera, and the library does not find it."""
        pi.tuning_error = IndexError("list index out of range")
        assert opened(pi, CameraSettings(tuning="imx708_noir.json")).tuning is None
        [line] = caplog.messages
        assert line.startswith(
            "Raspberry Pi camera 0: tuning = imx708_noir.json is left out: the camera fails: Index"
        )

    def test_is_not_blamed_for_a_camera_that_fails_without_it(
        self, pi: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        pi.tuning_error = IndexError("list index out of range")
        pi.cameras = []
        with camera_error("is not detected"):
            open_camera("picamera2:0", CameraSettings(tuning="imx708_noir.json"))
        assert caplog.messages == []

    def test_makes_libcamera_look_for_its_cameras_again(self, pi: Any) -> None:
        """It reads the file when it finds a camera, and ``auto`` has looked before."""

        def manager(found: str, **cameras: object) -> types.SimpleNamespace:
            return types.SimpleNamespace(_cms=found, cameras=cameras)

        pi._cm = manager("what auto found")
        assert opened(pi, CameraSettings()).manager == "what auto found"
        pi._cm = manager("what auto found")
        assert opened(pi, CameraSettings(tuning="imx708_noir.json")).manager is None
        pi._cm = manager("in use", other=object())
        assert opened(pi, CameraSettings(tuning="imx708_noir.json")).manager == "in use"
