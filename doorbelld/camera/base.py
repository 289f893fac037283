"""Camera: the one small protocol that every kind of camera follows.

A camera delivers whole JPEGs, each with the moment of its capture. It is opened, read and
closed by a single thread. What goes wrong is a :class:`CameraError`, whose text is one
sentence that a person at the door understands; it is shown in the picture's place.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit


class CameraError(Exception):
    """The camera cannot deliver; the text says why in one plain sentence, no full stop."""


class CameraStuckError(CameraError):
    """The camera's library hangs inside this process; only a new process can help."""


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
