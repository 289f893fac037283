from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from doorbelld.camera.base import CameraSettings, Shot
from doorbelld.camera.factory import open_camera
from doorbelld.camera.orientation import TurnedCamera
from doorbelld.media import exif, jpeg
from doorbelld.system.limited_log import OncePerMinute
from tests.support import pictures
from tests.support.daemon import ROOT

if TYPE_CHECKING:
    from pathlib import Path


class Script:
    """A camera that returns the given shots."""

    name = "Script"
    mode = "as it is"
    invalid = 3

    def __init__(self, *shots: Shot | None) -> None:
        self._shots = list(shots)
        self.calls: list[str] = []

    def open(self) -> None:
        self.calls.append("open")

    def read(self, timeout: float) -> Shot | None:
        self.calls.append(f"read {timeout}")
        return self._shots.pop(0)

    def close(self) -> None:
        self.calls.append("close")


def test_turns_the_picture_and_leaves_the_rest_to_the_camera() -> None:
    script = Script(Shot(pictures.jpeg(5), 12.5), None)
    camera = TurnedCamera(script, CameraSettings(rotation=270))
    camera.open()
    shot = camera.read(0.5)
    nothing = camera.read(1)
    camera.close()
    assert shot
    data = shot.jpeg()
    assert jpeg.size(data) == (48, 64)
    assert pictures.number_of(data) == 5
    assert shot.captured_at == 12.5
    assert nothing is None
    assert (camera.name, camera.mode) == ("Script", "as it is")
    assert script.calls == ["open", "read 0.5", "read 1", "close"]


def test_a_picture_that_cannot_be_decoded_is_an_error_when_it_is_loaded() -> None:
    camera = TurnedCamera(Script(Shot(b"\xff\xd8\xff\xd9", 1.0)), CameraSettings(hflip=True))
    shot = camera.read(1)
    assert shot
    with pytest.raises(ValueError, match="damaged"):
        shot.jpeg()


@pytest.fixture
def no_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let OpenCV not be installed, and let nothing have been logged in the last minute."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setattr("doorbelld.camera.orientation._may_warn", OncePerMinute())


TURNS = [
    CameraSettings(rotation=90),
    CameraSettings(rotation=180),
    CameraSettings(rotation=270, vflip=True),
    CameraSettings(hflip=True),
    CameraSettings(vflip=True),
]


@pytest.mark.usefixtures("no_opencv")
@pytest.mark.parametrize("asked", TURNS)
@pytest.mark.parametrize("before", [1, 6])
def test_without_opencv_the_picture_says_how_it_is_to_be_turned(
    asked: CameraSettings, before: int
) -> None:
    picture = exif.with_orientation(pictures.jpeg(5), before)
    script = Script(Shot(picture, 12.5), Shot(b"", 13.5, lambda: picture))
    camera = TurnedCamera(script, asked)
    camera.open()
    wanted = exif.turned(before, asked.rotation, asked.hflip, asked.vflip)
    for _ in range(2):
        shot = camera.read(0.5)
        assert shot
        assert shot.jpeg() == exif.with_orientation(pictures.jpeg(5), wanted)
    assert camera.mode == "as it is, turned by the browser"
    camera.close()


@pytest.mark.usefixtures("no_opencv")
def test_without_opencv_the_log_says_who_sees_it_turned(caplog: pytest.LogCaptureFixture) -> None:
    camera = TurnedCamera(Script(), CameraSettings(rotation=90))
    for _ in range(3):
        camera.open()
        camera.close()
    [said] = caplog.messages
    assert said == (
        "Script: turning its picture needs OpenCV, which is not installed, or does not load;"
        " browsers turn it themselves, but many other programs will show it unturned;"
        " for those, install python3-opencv"
    )


def test_opencv_is_used_as_soon_as_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = TurnedCamera(Script(Shot(pictures.jpeg(5), 12.5)), CameraSettings(rotation=90))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "cv2", None)
        camera.open()
    camera.close()
    camera.open()
    shot = camera.read(1)
    assert shot
    assert jpeg.size(shot.jpeg()) == (48, 64)
    assert camera.mode == "as it is"


@pytest.mark.process
@pytest.mark.parametrize("turn", ["rotation=90", "hflip=True", "vflip=True"])
def test_pictures_from_files_need_no_opencv_to_be_turned(turn: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(pictures.jpeg())
    script = f"""
import sys
sys.modules["cv2"] = sys.modules["numpy"] = None
from doorbelld.camera.base import CameraSettings
from doorbelld.camera.factory import open_camera
from doorbelld.media import exif
camera = open_camera("file:{tmp_path}", CameraSettings({turn}))
print(exif.orientation(camera.read(30).jpeg()))
camera.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == {"rotation=90": "6\n", "hflip=True": "2\n", "vflip=True": "4\n"}[turn]


@pytest.mark.usefixtures("no_opencv")
def test_without_opencv_a_webcam_is_asked_for_jpegs_that_are_not_turned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def webcam(path: str, settings: CameraSettings) -> Script:
        asked.append((path, settings))
        return Script(Shot(pictures.jpeg(5), 12.5))

    monkeypatch.setattr("doorbelld.camera.v4l2.V4l2Camera", webcam)
    camera = open_camera("v4l2:/dev/video0", CameraSettings(rotation=90, hflip=True))
    shot = camera.read(1)
    assert shot
    assert shot.jpeg() == exif.with_orientation(pictures.jpeg(5), 7)
    assert asked == [("/dev/video0", CameraSettings())]
