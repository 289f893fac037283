"""A picamera2 and a libcamera as far as doorbelld uses them, in plain Python.

``Output`` behaves as the library's base class does: the encoder calls start(), then
outputframe() for every frame in a thread of its own, then stop().
"""

from __future__ import annotations

import sys
import threading
import time
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


class Output:
    """The base class of outputs."""

    def __init__(self, pts: str | None = None) -> None:
        self.recording = False
        self.ptsoutput = pts

    def start(self) -> None:
        self.recording = True

    def stop(self) -> None:
        self.recording = False

    def outputframe(
        self,
        frame: bytes,
        keyframe: bool = True,
        timestamp: int | None = None,
        packet: Any = None,
        audio: bool = False,
    ) -> None:
        raise NotImplementedError


class MJPEGEncoder:
    """The hardware encoder."""

    def __init__(self, bitrate: int | None = None) -> None:
        self.bitrate = bitrate
        self.firsttimestamp: int | None = None


class LibavMjpegEncoder(MJPEGEncoder):
    """What goes by the hardware encoder's name where there is none."""


class JpegEncoder:
    """A software encoder."""

    def __init__(self, q: int | None = None) -> None:
        self.q = q
        self.firsttimestamp: int | None = None


class Transform:
    """libcamera's Transform."""

    def __init__(self, hflip: bool = False, vflip: bool = False) -> None:
        self.flips = (hflip, vflip)


class Picamera2:
    """The camera."""

    made: list[Picamera2]
    cameras: list[dict[str, Any]]
    start_error: Exception | None
    hangs: threading.Event | None

    def __init__(self, camera_num: int = 0) -> None:
        self.cameras[camera_num]
        self.number = camera_num
        self.configuration: dict[str, Any] = {}
        self.encoder: Any = None
        self.output: Any = None
        self.closed = False
        self.made.append(self)

    @classmethod
    def global_camera_info(cls) -> list[dict[str, Any]]:
        return cls.cameras

    def create_video_configuration(self, **options: Any) -> dict[str, Any]:
        return options

    def configure(self, configuration: dict[str, Any]) -> None:
        self.configuration = configuration

    def start_recording(self, encoder: Any, output: Output) -> None:
        if self.start_error:
            raise RuntimeError("Camera __init__ sequence did not complete.") from self.start_error
        assert isinstance(output, Output)
        self.encoder, self.output = encoder, output
        output.start()

    def stop_recording(self) -> None:
        if self.hangs:
            self.hangs.wait()
        if self.output:
            self.output.stop()

    def close(self) -> None:
        self.closed = True

    def deliver(self, data: bytes, age: float) -> None:
        """Encode a frame that the sensor took ``age`` seconds ago, in another thread."""
        moment = int((time.clock_gettime(time.CLOCK_BOOTTIME) - age) * 1e6)
        if self.encoder.firsttimestamp is None:
            self.encoder.firsttimestamp = moment
        arguments = (data, True, moment - self.encoder.firsttimestamp)
        thread = threading.Thread(target=self.output.outputframe, args=arguments)
        thread.start()
        thread.join()


def install(monkeypatch: pytest.MonkeyPatch, *, hardware: bool = True) -> Any:
    """Put the packages where ``import`` finds them; return the camera's class."""

    class Camera(Picamera2):
        start_error = None
        hangs = None

    Camera.made = []
    Camera.cameras = [{"Num": 0, "Model": "imx708", "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a"}]

    def package(name: str, **content: Any) -> None:
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)

    encoder = MJPEGEncoder if hardware else LibavMjpegEncoder
    package("picamera2", Picamera2=Camera)
    package("picamera2.encoders", MJPEGEncoder=encoder, JpegEncoder=JpegEncoder)
    package("picamera2.outputs", Output=Output)
    package("libcamera", Transform=Transform)
    return Camera
