"""A picamera2 and a libcamera as far as doorbelld uses them, in plain Python.

They are for what the real library cannot show without a Raspberry Pi: its hardware encoder, a
camera that is in use or hangs. The real one is tested in ``tests/appliance``; what is here follows
its source (0.3.38). ``Output`` behaves as the library's base class does: the encoder calls start(),
then outputframe() for every frame in a thread of its own, then stop().
"""

from __future__ import annotations

import os
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


class Encoder:
    """The base class of encoders. ``encoded`` has the frames that it was given."""

    def __init__(self) -> None:
        self.firsttimestamp: int | None = None
        self._running = False
        self.encoded: list[Any] = []

    def encode(self, stream: Any, request: Any) -> None:
        del stream
        self.encoded.append(request)

    def start(self) -> None:
        self._running = True

    def stop(self) -> None:
        self._running = False


class MJPEGEncoder(Encoder):
    """The hardware encoder."""

    def __init__(self, bitrate: int | None = None) -> None:
        super().__init__()
        self.bitrate = bitrate


class LibavMjpegEncoder(MJPEGEncoder):
    """What goes by the hardware encoder's name where there is none."""


class JpegEncoder(Encoder):
    """A software encoder."""

    def __init__(self, q: int | None = None) -> None:
        super().__init__()
        self.q = q


class Transform:
    """libcamera's Transform."""

    def __init__(self, hflip: bool = False, vflip: bool = False) -> None:
        self.flips = (hflip, vflip)


class ColorSpace:
    """libcamera's ColorSpace."""

    @staticmethod
    def Sycc() -> str:  # noqa: N802 - libcamera's name
        return "sYCC"


class Picamera2:
    """The camera."""

    made: list[Picamera2]
    cameras: list[dict[str, Any]]
    properties: dict[str, Any]
    controls: dict[str, Any]
    constructor_error: Exception | None
    start_error: Exception | None
    largest_mode: int
    hangs: threading.Event | None

    def __init__(self, camera_num: int = 0) -> None:
        self.calls: list[str] = []
        self.configuration: dict[str, Any] = {}
        self.encoder: Any = None
        self.output: Any = None
        self.closed = False
        self.made.append(self)
        self.notifyme_r, self.notifyme_w = os.pipe2(os.O_NONBLOCK)
        self.notifymeread = os.fdopen(self.notifyme_r, "rb")
        if camera_num >= len(self.global_camera_info()):
            raise RuntimeError(f"No camera number {camera_num} found")
        self.found = self.global_camera_info()[camera_num]
        if self.constructor_error:
            raise self.constructor_error
        self.is_open = True
        self.camera_properties = self.properties
        self.camera_controls = self.controls
        self.camera_config: dict[str, Any] = {}

    @classmethod
    def global_camera_info(cls) -> list[dict[str, Any]]:
        return sorted(
            cls.cameras,
            key=lambda camera: ("/usb" not in camera.get("Id", ""), camera.get("Id", "")),
            reverse=True,
        )

    def create_video_configuration(
        self,
        main: dict[str, Any],
        raw: dict[str, Any] | None,
        transform: Transform,
        colour_space: Any,
        controls: dict[str, Any],
        sensor: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        return {
            "main": main,
            "raw": raw,
            "transform": transform,
            "colour_space": colour_space,
            "controls": controls,
            "sensor": sensor,
        }

    def configure(self, configuration: dict[str, Any]) -> None:
        size = (configuration.get("sensor") or {}).get("output_size", (0, 0))
        if size[0] > self.largest_mode:
            raise OSError(12, "Cannot allocate memory")
        self.configuration = self.camera_config = configuration

    def start_recording(self, encoder: Any, output: Output) -> None:
        assert isinstance(output, Output)
        self.encoder, self.output = encoder, output
        encoder.start()
        if self.start_error:
            raise RuntimeError("Camera __init__ sequence did not complete.") from self.start_error
        output.start()

    def stop_preview(self) -> None:
        self.calls.append("stop_preview")

    def stop_recording(self) -> None:
        self.calls.append("stop_recording")
        if self.hangs:
            self.hangs.wait()
        if self.output:
            self.output.stop()

    def close(self) -> None:
        """Close it; a camera that was never open keeps its pipe, as in the library."""
        self.calls.append("close")
        self.closed = True
        if self.is_open:
            self.notifymeread.close()
            os.close(self.notifyme_w)

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
        constructor_error = start_error = hangs = None
        largest_mode = 10000

    Camera.made = []
    Camera.controls = {"FrameDurationLimits": (1, 2, 3)}
    Camera.properties = {
        "PixelArraySize": (4608, 2592),
        "ScalerCropMaximum": (0, 0, 4608, 2592),
    }
    Camera.cameras = [{"Num": 0, "Model": "imx708", "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a"}]

    def package(name: str, **content: Any) -> None:
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)

    encoder = MJPEGEncoder if hardware else LibavMjpegEncoder
    package("picamera2", Picamera2=Camera)
    package("picamera2.encoders", MJPEGEncoder=encoder, JpegEncoder=JpegEncoder)
    package("picamera2.outputs", Output=Output)
    focus = types.SimpleNamespace(Continuous="continuous")
    controls = types.SimpleNamespace(AfModeEnum=focus)
    package("libcamera", Transform=Transform, ColorSpace=ColorSpace, controls=controls)
    return Camera
