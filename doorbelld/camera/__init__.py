"""The one small protocol every camera follows, and the way to open one by its source.

A camera delivers whole JPEGs, each with the moment of its capture. It is opened, read and
closed by a single thread. What goes wrong is a :class:`CameraError`, whose text is one
sentence that a person at the door understands; it is shown in the picture's place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional, Protocol


class CameraError(Exception):
    """The camera cannot deliver; the text says why in one plain sentence, no full stop."""


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
    is how long, in seconds, a driver may be silent before that counts as a fault.
    """

    width: int = 640
    height: int = 480
    framerate: float = 30.0
    quality: int = 80
    rotation: int = 0
    hflip: bool = False
    vflip: bool = False
    stall_timeout: float = 5.0


class Camera(Protocol):
    """A source of pictures. Constructing one touches no hardware."""

    invalid: int
    """How many pictures were dropped as damaged since the camera was made."""

    @property
    def name(self) -> str:
        """What it is, for a person: ``"Logitech C270 (/dev/video0)"``; never a password."""

    def open(self) -> None:
        """Claim the camera and start it. Raises CameraError and leaves nothing open."""

    def read(self, timeout: float) -> Optional[Shot]:
        """Return the next picture, or None if none came within ``timeout`` seconds.

        Never returns the same picture twice and never spins. Raises CameraError when the
        camera is gone; then only close() may follow.
        """

    def close(self) -> None:
        """Let go of everything. May be called at any time, also twice."""
