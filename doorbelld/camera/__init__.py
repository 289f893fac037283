"""The one small protocol every camera follows, and the way to open one by its source.

A camera delivers whole JPEGs, each with the moment of its capture. It is opened, read and
closed by a single thread. What goes wrong is a :class:`CameraError`, whose text is one
sentence that a person at the door understands; it is shown in the picture's place.
"""

# Each kind of camera is imported where it is opened and not before: the libraries behind
# them are large, and most are missing on any one machine.

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit


class CameraError(Exception):
    """The camera cannot deliver; the text says why in one plain sentence, no full stop."""


class CameraStuckError(CameraError):
    """The camera's library hangs inside this process; only a new process can help."""


_WAKES_UP = 12.0
"""Seconds. Door cameras that run on a battery were seen to take eight."""

_LONGEST = 300
"""Letters of a library's own words that are repeated."""


def describe(error: BaseException) -> str:
    """Return in one line what a library raised: its kind, its text, and where it came from."""
    lines = traceback.format_exception_only(type(error), error)  # never fails, unlike str()
    text = " ".join(" ".join(lines).split())[:_LONGEST]
    *_, place = traceback.extract_tb(error.__traceback__) or [None]
    return f"{text}, at {Path(place.filename).name}:{place.lineno}" if place else text


def without_secrets(url: str) -> str:
    """Return the URL without user, password, path and query, any of which may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def time_to_start(source: str, stall_timeout: float) -> float:
    """Return how many seconds the first picture may take, once the camera is opened.

    A camera in the network may have to wake up first, or to connect by a slow Wi-Fi.
    """
    is_far = source.partition(":")[0] in ("http", "https", "rtsp")
    return max(stall_timeout, _WAKES_UP if is_far else 0.0)


class Shot(NamedTuple):
    """One picture as the camera delivered it.

    ``data`` is a whole JPEG (SOI to EOI); ``captured_at`` is on ``time.monotonic()``'s clock.
    """

    data: bytes
    captured_at: float


@dataclass(frozen=True)
class CameraSettings:
    """What is asked of a camera; it may deliver another size or rate if it has no such mode.

    ``framerate`` is in frames a second, ``quality`` is the JPEG quality 1..100, ``rotation``
    is in degrees clockwise (0, 90, 180 or 270), applied after the flips. ``stall_timeout``
    is how long, in seconds, a driver may be silent before that counts as a fault. ``verify``
    is whether the certificate of a camera that speaks TLS is checked.
    """

    width: int = 640
    height: int = 480
    framerate: float = 30.0
    quality: int = 80
    rotation: int = 0
    hflip: bool = False
    vflip: bool = False
    stall_timeout: float = 5.0
    verify: bool = True


class Camera(Protocol):
    """A source of pictures. Constructing one touches no hardware."""

    @property
    def invalid(self) -> int:
        """How many pictures were dropped as damaged since the camera was made."""

    @property
    def name(self) -> str:
        """What it is, for a person: ``"Logitech C270 (/dev/video0)"``; never a password."""

    def open(self) -> None:
        """Claim the camera and start it. Raises CameraError and leaves nothing open."""

    def read(self, timeout: float) -> Shot | None:
        """Return the next picture, or None if none came within ``timeout`` seconds.

        Never returns the same picture twice and never spins. Raises CameraError when the
        camera is gone; then only close() may follow. After a MemoryError, or a TooLargeError
        for one picture that has too many pixels to be decoded, it may be read on.
        """

    def close(self) -> None:
        """Let go of everything. May be called at any time, also twice."""


def open_camera(source: str, settings: CameraSettings) -> Camera:
    """Return the camera that ``source`` names, opened.

    ``source`` is ``auto``, ``picamera2[:N]``, ``picamera[:N]``, ``v4l2:/dev/videoN``,
    ``file:PATH``, an http, https or rtsp URL, or ``pattern``. Raises CameraError when it
    cannot be opened, and ValueError when ``source`` is none of these.
    """
    camera = _make(source, settings)
    camera.open()
    return camera


def _make(source: str, settings: CameraSettings) -> Camera:
    kind, _, rest = source.partition(":")
    if source == "auto":
        return _find(settings)
    if source == "pattern":
        from doorbelld.camera.pattern import PatternCamera

        return PatternCamera(settings)
    if kind in ("picamera", "picamera2") and (not rest or rest.isdecimal()):
        return _make_pi(kind, int(rest or 0), settings)
    if kind == "v4l2" and rest:
        from doorbelld.camera.opencv import V4l2Camera

        return V4l2Camera(rest, settings)
    if kind == "file" and rest:
        return _make_file(Path(rest), settings)
    if kind in ("http", "https", "rtsp") and rest:
        return _make_network(source, settings)
    raise ValueError(f"{source!r} is no camera source")


def _find(settings: CameraSettings) -> Camera:
    """Return the first camera that is there. To look costs little where there is none."""
    from doorbelld.camera import devices, picamera, picamera2

    for kind, library in (("picamera2", picamera2), ("picamera", picamera)):
        numbers = library.connected()
        if numbers:
            return _make_pi(kind, min(numbers), settings)
    found = devices.find()
    if not found:
        raise CameraError("No camera found; check that one is plugged in")
    return _make(f"v4l2:{found[0].path}", settings)


def _make_pi(kind: str, number: int, settings: CameraSettings) -> Camera:
    if kind == "picamera":
        from doorbelld.camera.picamera import PicameraCamera

        return PicameraCamera(number, settings)
    from doorbelld.camera.picamera2 import Picamera2Camera

    if settings.rotation in (0, 180):
        return Picamera2Camera(number, settings)
    upright = replace(settings, rotation=0, hflip=False, vflip=False)
    return _turned(Picamera2Camera(number, upright), settings)


def _make_network(url: str, settings: CameraSettings) -> Camera:
    if url.startswith("rtsp:"):
        from doorbelld.camera.opencv import NetworkCamera

        return NetworkCamera(url, settings)
    from doorbelld.camera.http import HttpCamera

    return _turned(HttpCamera(url, settings), settings)


def _make_file(path: Path, settings: CameraSettings) -> Camera:
    from doorbelld.camera.mjpeg import mjpeg_camera

    camera = mjpeg_camera(path, settings)
    if camera is not None:
        return _turned(camera, settings)
    from doorbelld.camera.opencv import VideoCamera

    return VideoCamera(path, settings)


def _turned(camera: Camera, settings: CameraSettings) -> Camera:
    """Return a camera that cannot turn its pictures with what turns them, if asked for."""
    if not (settings.rotation or settings.hflip or settings.vflip):
        return camera
    from doorbelld.camera.reoriented import ReorientedCamera

    return ReorientedCamera(camera, settings)
