"""The picamera2 of :mod:`picamera2_library` with a camera module 3 whose settings can be set."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import picamera2_library
from tests.support.libcamera_offers import ENUMERATIONS, V3_NEW, V3_PROPERTIES

if TYPE_CHECKING:
    import pytest


def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put the packages where ``import`` finds them; return the camera's class.

    ``values`` of a camera are the controls that it starts with, ``tuning`` is what its constructor
    got, and ``manager`` what the library had found by then. With ``tuning_error`` the class
    refuses every tuning; ``tuning_files`` are in its folder.
    """
    base = picamera2_library.install(monkeypatch)

    class Camera(base):  # type: ignore[misc, valid-type]
        tuning_error: Exception | None = None
        tuning_files: dict[str, Any] = {}  # noqa: RUF012
        platform = types.SimpleNamespace(name="PISP")

        def __init__(self, camera_num: int = 0, tuning: Any = None) -> None:
            if tuning is not None and self.tuning_error:
                raise self.tuning_error
            self.manager = getattr(getattr(self, "_cm", None), "_cms", None)
            super().__init__(camera_num)
            self.tuning = tuning
            self.values: dict[str, Any] = {}
            self.camera_controls = V3_NEW
            self.camera_properties = V3_PROPERTIES

        @classmethod
        def load_tuning_file(cls, tuning_file: str, dir: str | None = None) -> Any:  # noqa: A002
            if dir is not None:
                return json.loads(Path(dir, tuning_file).read_bytes())
            if tuning_file not in cls.tuning_files:
                raise RuntimeError("Tuning file not found")
            return cls.tuning_files[tuning_file]

        def create_video_configuration(self, **options: Any) -> dict[str, Any]:
            return options

        def configure(self, configuration: dict[str, Any]) -> None:
            super().configure(configuration)
            self.values = dict(configuration.get("controls", {}))

        def set_controls(self, controls: dict[str, Any]) -> None:
            assert controls.keys() <= self.camera_controls.keys()
            self.values.update(controls)

    enumerations = {f"{name}Enum": kind for name, kind in ENUMERATIONS.items()}
    monkeypatch.setattr(sys.modules["picamera2"], "Picamera2", Camera)
    monkeypatch.setattr(
        sys.modules["libcamera"], "controls", types.SimpleNamespace(**enumerations), raising=False
    )
    return Camera
