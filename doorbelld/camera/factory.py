"""Factory: opens the camera that a source names."""

# Each kind of camera is imported only when it is opened: the libraries behind them are large,
# and no machine has all of them.

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from doorbelld.camera.base import WAKE_UP, Camera, CameraSettings
from doorbelld.drivers.errors import CameraError, Reason
from doorbelld.system.limited_log import OncePerMinute

_KINDS = {
    "pattern": "the test pattern",
    "picamera": "the older camera stack",
    "v4l2": "a webcam",
    "file": "a file",
}
"""What settings are said of."""

_log = logging.getLogger(__name__)

_may_warn = OncePerMinute()
"""For the whole process: a camera that is lost every second is opened again as often."""


def time_to_start(source: str, stall_timeout: float) -> float:
    """Return how many seconds the first picture may take after the camera was opened.

    A network camera may have to wake up first, or its Wi-Fi may be slow.
    """
    is_remote = source.partition(":")[0] in ("http", "https", "rtsp")
    return max(stall_timeout, WAKE_UP if is_remote else 0.0)


def open_camera(source: str, settings: CameraSettings) -> Camera:
    """Return the camera that ``source`` names, opened.

    ``source`` is ``auto``, ``picamera2[:N]``, ``picamera[:N]``, ``v4l2:/dev/videoN``,
    ``file:PATH``, an http, https or rtsp URL, or ``pattern``. Raises CameraError when it
    cannot be opened, and ValueError if ``source`` is none of these.
    """
    camera = _make(source, settings)
    camera.open()
    return camera


def _make(source: str, settings: CameraSettings) -> Camera:
    kind, _, rest = source.partition(":")
    if source == "auto":
        return _find(settings)
    _warn_of_ignored(kind, settings)
    if source == "pattern":
        from doorbelld.camera.pattern import PatternCamera

        return PatternCamera(settings)
    if kind in ("picamera", "picamera2") and (not rest or rest.isdecimal()):
        return _make_pi(kind, int(rest or 0), settings)
    if kind == "v4l2" and rest:
        return _make_webcam(rest, settings)
    if kind == "file" and rest:
        return _make_file(Path(rest), settings)
    if kind in ("http", "https", "rtsp") and rest:
        return _make_network(source, settings)
    raise ValueError(f"{source!r} is no camera source")


def _warn_of_ignored(kind: str, settings: CameraSettings) -> None:
    """Log which settings are left out, because no camera of this kind has them."""
    ignored = [] if kind in ("v4l2", "picamera2") else [*settings.controls]
    if kind != "picamera2":
        ignored += ["zoom"] if settings.zoom != CameraSettings.zoom else []
        ignored += ["tuning"] if settings.tuning else []
    if ignored and _may_warn.is_due():
        what = _KINDS.get(kind, "a network camera")
        keys = ", ".join(ignored)
        _log.warning("[camera] %s: left out, because %s has nothing of the kind", keys, what)


def _find(settings: CameraSettings) -> Camera:
    """Return the first camera that this machine has. Looking is cheap if it has none."""
    from doorbelld.camera import picamera, picamera2
    from doorbelld.v4l2 import devices

    for kind, library in (("picamera2", picamera2), ("picamera", picamera)):
        numbers = library.connected()
        if numbers:
            return _make(f"{kind}:{min(numbers)}", settings)
    found = devices.find()
    if not found:
        raise CameraError("No camera found; check that one is plugged in", Reason.NONE)
    return _make(f"v4l2:{found[0].path}", settings)


def _make_pi(kind: str, number: int, settings: CameraSettings) -> Camera:
    if kind == "picamera":
        from doorbelld.camera.picamera import PicameraCamera

        return PicameraCamera(number, settings)
    from doorbelld.camera.orientation import zoom_before_turning
    from doorbelld.camera.picamera2 import Picamera2Camera

    if settings.rotation in (0, 180):
        return Picamera2Camera(number, settings)
    zoom = zoom_before_turning(settings)
    upright = replace(settings, rotation=0, hflip=False, vflip=False, zoom=zoom)
    return _turned(Picamera2Camera(number, upright), settings)


def _make_webcam(path: str, settings: CameraSettings) -> Camera:
    from doorbelld.camera.orientation import has_opencv
    from doorbelld.camera.v4l2 import V4l2Camera

    if not _is_turned(settings) or has_opencv():
        return V4l2Camera(path, settings)  # It can choose raw pictures, to turn and then encode.
    upright = replace(settings, rotation=0, hflip=False, vflip=False)
    return _turned(V4l2Camera(path, upright), settings)


def _make_network(url: str, settings: CameraSettings) -> Camera:
    if url.startswith("rtsp:"):
        from doorbelld.camera.video import RtspCamera

        return RtspCamera(url, settings)
    from doorbelld.camera.http import HttpCamera

    return _turned(HttpCamera(url, settings), settings)


def _make_file(path: Path, settings: CameraSettings) -> Camera:
    from doorbelld.camera.file import mjpeg_camera

    camera = mjpeg_camera(path, settings)
    if camera is not None:
        return _turned(camera, settings)
    from doorbelld.camera.video import VideoCamera

    return VideoCamera(path, settings)


def _turned(camera: Camera, settings: CameraSettings) -> Camera:
    """Return a camera that turns the pictures of another one, if the settings ask for that."""
    if not _is_turned(settings):
        return camera
    from doorbelld.camera.orientation import TurnedCamera

    return TurnedCamera(camera, settings)


def _is_turned(settings: CameraSettings) -> bool:
    return bool(settings.rotation or settings.hflip or settings.vflip)
