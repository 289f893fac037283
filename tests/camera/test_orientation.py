from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from doorbelld.camera.base import CameraSettings, Shot
from doorbelld.camera.orientation import TurnedCamera
from doorbelld.media import jpeg
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


@pytest.mark.process
@pytest.mark.parametrize("turn", ["rotation=90", "hflip=True", "vflip=True"])
def test_says_that_turning_needs_opencv(turn: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(pictures.jpeg())
    script = f"""
import sys
sys.modules["cv2"] = None
from doorbelld.camera.base import CameraSettings
from doorbelld.drivers.errors import CameraError
from doorbelld.camera.factory import open_camera
try:
    open_camera("file:{tmp_path}", CameraSettings({turn}))
except CameraError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (
        done.stdout
        == "Turning this camera's picture needs OpenCV, which is not installed, or does not load\n"
    )
