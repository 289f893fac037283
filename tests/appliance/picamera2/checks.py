"""Checks of our camera with the real library, each in a process of its own.

``checks.py NAME`` runs the function NAME and prints what it returns as JSON.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from doorbelld.camera import picamera2 as ours
from doorbelld.camera.base import CameraSettings
from doorbelld.camera.factory import open_camera
from doorbelld.drivers.errors import CameraError

TIMEOUT = 10.0
SENSORS = {
    "v1": ((2592, 1944), ((640, 480), (1296, 972), (1920, 1080), (2592, 1944)), "SGBRG10_CSI2P"),
    "v2": ((3280, 2464), ((640, 480), (1640, 1232), (1920, 1080), (3280, 2464)), "SRGGB10_CSI2P"),
    "v3": ((4608, 2592), ((1536, 864), (2304, 1296), (4608, 2592)), "SBGGR10_CSI2P"),
    "hq": ((4056, 3040), ((2028, 1080), (2028, 1520), (4056, 3040)), "SBGGR12_CSI2P"),
}
"""The Raspberry Pi's cameras: their pixels, their modes, and the format of these."""


def numbers() -> Any:
    """Return the sensor behind each number, as listed and as opened, and what is not there."""
    opened = {}
    for number in ours.connected():
        camera: Any = open_camera(f"picamera2:{number}", CameraSettings())
        opened[number] = camera._camera.camera_properties["Model"]
        camera.close()
    return {"listed": ours.connected(), "opened": opened, "missing": attempt("picamera2:3")}


def many_openings() -> Any:
    """Return what fifteen openings leave behind, and how long they took."""
    attempt()
    before, seconds, ages = left_behind(), [], []
    for _ in range(15):
        started_at = time.monotonic()
        camera = open_camera("picamera2", CameraSettings())
        seconds.append(time.monotonic() - started_at)
        shot = camera.read(TIMEOUT)
        assert shot
        ages.append(time.monotonic() - shot.captured_at)
        camera.close()
    return {
        "before": before,
        "after": left_behind(),
        "slowest_open": max(seconds),
        "oldest": max(ages),
    }


def failures() -> Any:
    """Let each step of the library fail, and then work; return what happened."""
    attempt()
    module = importlib.import_module("picamera2.picamera2")
    heap = importlib.import_module("picamera2.allocators.dmaallocator")
    library = module.Picamera2
    steps = [
        (module.Helpers, "__init__", 60),  # before there is a camera
        (library, "_initialize_camera", 60),
        (library, "create_still_configuration", 60),  # in the constructor, with an open camera
        (heap.DmaHeap, "__init__", 8),  # in the constructor, at its end
        (library, "configure_", 8),
        (library, "start_encoder", 8),
        (library, "start_", 8),
        (library, "_make_requests", 8),  # libcamera runs, and the library does not know
        (library, "start_preview", 8),
    ]
    return {name: failure(owner, name, times) for owner, name, times in steps}


def failure(owner: Any, name: str, times: int) -> Any:
    """Return what one step that fails leaves behind, and what comes after it."""
    before = left_behind()
    with mock.patch.object(owner, name, side_effect=LookupError("injected")):
        said = sorted({attempt() for _ in range(times)})
    return {"before": before, "after": left_behind(), "said": said, "then": attempt()}


def dead_event_thread() -> Any:
    """Return how long it takes to close a camera whose event thread has died."""
    camera = open_camera("picamera2", CameraSettings())
    assert camera.read(TIMEOUT)
    library: Any = camera
    thread = library._camera._preview.thread
    with mock.patch.object(type(library._camera), "process_requests", side_effect=LookupError):
        thread.join(TIMEOUT)
    assert not thread.is_alive()
    started_at = time.monotonic()
    camera.close()
    return {"seconds": time.monotonic() - started_at, "then": attempt()}


def slow_encoder() -> Any:
    """Return the age of the oldest picture of an encoder that needs 100 ms for each."""
    attempt()
    core = threading.Lock()
    kind = importlib.import_module("picamera2.encoders").JpegEncoder
    encode = kind.encode_func

    def encode_slowly(encoder: Any, request: Any, name: str) -> Any:
        with core:
            time.sleep(0.1)
        return encode(encoder, request, name)

    ages = []
    with mock.patch.object(kind, "encode_func", encode_slowly):
        camera = open_camera("picamera2", CameraSettings())
        for _ in range(20):
            shot = camera.read(TIMEOUT)
            assert shot
            shot.jpeg()
            ages.append(time.monotonic() - shot.captured_at)
        camera.close()
    return sorted(ages)


def at_rest() -> Any:
    """Return how many of 20 pictures are encoded if only the last one is wanted, and its start."""
    attempt()
    kind = importlib.import_module("picamera2.encoders").JpegEncoder
    with mock.patch.object(kind, "encode_func", autospec=True) as encode:
        encode.return_value = b"a picture"
        camera = open_camera("picamera2", CameraSettings())
        for _ in range(20):
            shot = camera.read(TIMEOUT)
            assert shot
        before = encode.call_count
        assert shot
        data = shot.jpeg()
        camera.close()
    return {"before": before, "after": encode.call_count, "data": data.decode()}


def sensors() -> Any:
    """Return the mode that the library chooses, for each camera and some sizes of the picture."""
    attempt()
    return {
        f"{name} {width}x{height}": mode(name, width, height)
        for name in SENSORS
        for width, height in ((640, 480), (1280, 720), (1920, 1080))
    }


def mode(name: str, width: int, height: int) -> Any:
    """Return the size of the mode, and what we say about it."""
    camera: Any = ours.Picamera2Camera(0, CameraSettings(width, height))
    with pretended(name):
        camera.open()
        found = camera._camera.camera_config["sensor"]["output_size"]
    camera.close()
    return [list(found), camera.mode]


@contextmanager
def pretended(name: str) -> Iterator[None]:
    """Let the virtual camera have the sensor of a camera: the library scores its modes."""
    pixels, sizes, pixel_format = SENSORS[name]
    library = importlib.import_module("picamera2").Picamera2
    properties = {
        "ColorFilterArrangement": 0,
        "PixelArraySize": pixels,
        "ScalerCropMaximum": (0, 0, *pixels),
    }
    modes = [{"format": pixel_format, "size": size} for size in sizes]
    known = mock.patch.object(library, "camera_properties", properties)
    with known, mock.patch.object(library, "_get_raw_modes", return_value=modes):
        yield


def colours() -> Any:
    """Return the colour space that libcamera was asked for."""
    attempt()
    camera: Any = ours.Picamera2Camera(0, CameraSettings())
    library = importlib.import_module("picamera2").Picamera2
    real = library.configure_
    asked = []

    def configure(theirs: Any, configuration: Any) -> None:
        asked.append(str(configuration["colour_space"]))
        real(theirs, configuration)

    with mock.patch.object(library, "configure_", configure):
        camera.open()
    camera.close()
    return asked


def log_lines() -> Any:
    """Open and close the camera, let it fail three times, and use it while it is in use."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    log = logging.getLogger(__name__)
    for _ in range(3):
        attempt()
    log.info("now it fails")
    library = importlib.import_module("picamera2").Picamera2
    with mock.patch.object(library, "_get_raw_modes", side_effect=LookupError("injected")):
        for _ in range(3):
            attempt()
    log.info("now it is in use")
    camera = open_camera("picamera2", CameraSettings())
    said = {attempt() for _ in range(3)}
    camera.close()
    return sorted(said)


def attempt(source: str = "picamera2") -> str:
    """Open the camera; return the error, or "works" if it delivers a picture."""
    try:
        camera = open_camera(source, CameraSettings())
    except CameraError as error:
        return str(error)
    shot = camera.read(TIMEOUT)
    camera.close()
    return "works" if shot else "no picture"


def left_behind() -> Any:
    """Return how many descriptors and threads this process has."""
    return [len(list(Path("/proc/self/fd").iterdir())), threading.active_count()]


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
