"""The real picamera 1.13 without a Raspberry Pi.

Only the GPU is missing: its two C libraries are stubs, so that the package imports, and
:class:`Camera` leaves out what would talk to it. Frames go through the library's own video
encoder class, which keeps the frame's data and writes to the output.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import threading
import types
import warnings
from typing import Any
from unittest import mock


class _Stub:
    """A C library that has every function."""

    def __getattr__(self, name: str) -> Any:
        function = types.SimpleNamespace()
        setattr(self, name, function)
        return function


@functools.cache
def load() -> Any:
    """Return the package."""
    real = ctypes.CDLL

    def load_library(name: str, *arguments: Any) -> Any:
        gpu = name in ("libmmal.so", "libbcm_host.so")
        return _Stub() if gpu else real(name, *arguments)

    with mock.patch("ctypes.CDLL", load_library), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is from 2017
        return importlib.import_module("picamera")


class Buffer:
    """A piece of an encoded frame, as the GPU hands it over."""

    def __init__(self, data: bytes, flags: int = 0, pts: int = 0) -> None:
        self.data = data
        self.length = len(data)
        self.flags = flags
        self.pts = pts


def camera_class(library: Any) -> Any:
    """Return a class in the place of ``picamera.PiCamera``; ``made`` has its instances."""
    encoders = importlib.import_module("picamera.encoders")

    class Encoder(encoders.PiCookedVideoEncoder):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.event, self.exception = threading.Event(), None
            self.outputs_lock = threading.Lock()
            self.outputs: dict[Any, Any] = {}
            self._next_output: list[Any] = []
            self._intra_period = 1
            self.parent = self.camera_port = self.output_port = None
            self.encoder = self.resizer = None
            frames = importlib.import_module("picamera.frames")
            self.frame = frames.PiVideoFrame(
                index=0,
                frame_type=None,
                frame_size=0,
                video_size=0,
                split_size=0,
                timestamp=0,
                complete=False,
            )

    class Camera(library.PiCamera):  # type: ignore[misc]
        made: list[Any] = []  # noqa: RUF012 - a new list for every class made here
        start_error: Exception | None = None
        clock = 5_000_000
        hangs: threading.Event | None = None
        hflip = vflip = False
        rotation = 0

        def __init__(self, **options: Any) -> None:
            self.options = options
            self._camera = self._camera_exception = self._preview = self._splitter = None
            self._encoders: dict[int, Any] = {}
            self._overlays: list[Any] = []
            self._encoders_lock = threading.Lock()
            if self.start_error:
                raise self.start_error
            self._camera = mock.Mock()
            self.made.append(self)

        @property
        def timestamp(self) -> int:
            return self.clock

        def start_recording(self, output: Any, **options: Any) -> None:
            self.recording_options = options
            self._encoders[1] = Encoder()
            self._encoders[1]._open_output(output)

        def deliver(self, *parts: bytes, pts: int = 0) -> None:
            """Let the GPU hand over a frame in these parts, the last one marked as last."""
            end = importlib.import_module("picamera.mmal").MMAL_BUFFER_HEADER_FLAG_FRAME_END
            for part in parts[:-1]:
                self._encoders[1]._callback(None, Buffer(part, 0, pts))
            self._encoders[1]._callback(None, Buffer(parts[-1], end, pts))

        def close(self) -> None:
            if self.hangs:
                self.hangs.wait()
            super().close()

    return Camera
