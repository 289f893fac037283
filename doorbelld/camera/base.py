"""Base: the small protocol that every kind of camera follows.

A camera delivers whole JPEGs, each with the time of its capture. One thread opens, reads and
closes it. If something goes wrong, it raises :class:`CameraError` (``drivers/errors.py``), whose
text is one sentence that any user understands; the page shows it instead of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

WAKE_UP = 12.0
"""Seconds that a network camera may take to answer, and to send its first picture. Some door
cameras that run on a battery take eight."""


class Shot(NamedTuple):
    """One picture as the camera delivered it.

    ``captured_at`` is on ``time.monotonic()``'s clock. ``data`` is a whole JPEG (SOI to EOI), or
    empty if making it takes work, such as copying, turning or encoding: then ``load`` does that
    work and returns it. A picture that is not wanted is never loaded. Any thread may call
    ``load``, until the camera is closed. It raises GoneError if a newer picture has taken this
    one's place, another ValueError if the picture is damaged, TooLargeError or MemoryError.
    """

    data: bytes
    captured_at: float
    load: Callable[[], bytes] | None = None

    def jpeg(self) -> bytes:
        """Return the JPEG, loaded if necessary; raises what ``load`` raises."""
        return self.data if self.load is None else self.load()


@dataclass(frozen=True)
class CameraSettings:
    """What is asked of a camera; it may deliver another size or rate if it has no such mode.

    ``framerate`` is in frames a second, ``quality`` is the JPEG quality 1..100, ``rotation`` is
    in degrees clockwise (0, 90, 180 or 270), applied after the flips. ``stall_timeout`` is how
    many seconds a driver may be silent before that is a fault. ``verify`` is whether to check
    the certificate of a camera that speaks TLS.

    ``controls`` are settings by name (``focus``, ``exposure``, ``gain`` ...), each as the user
    wrote it: ``auto``, a number, or a word; those that stay at the camera's default are missing.
    A camera that has no such control, or not this value, logs a warning with what it has, and
    delivers pictures all the same. ``zoom`` is the part of the full picture to show, as fractions
    of its width and height: left, top, width, height. ``tuning`` is a tuning file for libcamera.
    ``framerate_dark`` is how low the frame rate may fall in the dark, for a longer exposure.
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
    controls: Mapping[str, str] = field(default_factory=dict)
    zoom: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    tuning: str | None = None
    framerate_dark: float = 10.0


class Camera(Protocol):
    """A source of pictures. The constructor touches no hardware."""

    @property
    def invalid(self) -> int:
        """How many pictures were dropped as damaged since the camera was made."""

    @property
    def name(self) -> str:
        """Its name for the user: ``"Logitech C270 (/dev/video0)"``; never a password."""

    @property
    def mode(self) -> str:
        """How the opened camera makes its pictures, for the user; empty if nothing is known.

        For example ``"MJPG"``, or ``"sensor at 1640x1232, full field of view"``.
        """

    def open(self) -> None:
        """Open the camera and start it. Raises CameraError, and then leaves nothing open."""

    def read(self, timeout: float) -> Shot | None:
        """Return the next picture, or None if none came within ``timeout`` seconds.

        Never returns the same picture twice, and never spins. Raises CameraError when the
        camera is gone; then only close() may follow. After a MemoryError reading may go on.
        """

    def close(self) -> None:
        """Release everything. May be called at any time, also twice."""
