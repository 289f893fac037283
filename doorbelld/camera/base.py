"""Base: the small protocol that every kind of camera follows.

A camera delivers whole JPEGs, each with the time of its capture. One thread opens, reads and
closes it. If something goes wrong, it raises :class:`CameraError`, whose text is one sentence
that any user understands; the page shows it instead of the picture.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit


class CameraError(Exception):
    """The camera cannot deliver; the text says why in one plain sentence without full stop."""


class CameraStuckError(CameraError):
    """The camera's library hangs in this process; only a new process can help."""


_LONGEST = 300
"""Characters of a library's own message that are repeated."""


def describe(error: BaseException) -> str:
    """Return in one line an error that a library raised: its type, text and origin."""
    lines = traceback.format_exception_only(type(error), error)  # never fails, unlike str()
    text = " ".join(" ".join(lines).split())[:_LONGEST]
    *_, place = traceback.extract_tb(error.__traceback__) or [None]
    return f"{text}, at {Path(place.filename).name}:{place.lineno}" if place else text


def without_secrets(url: str) -> str:
    """Return the URL without user, password, path and query: any of them may be a secret."""
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

    ``framerate`` is in frames a second, ``quality`` is the JPEG quality 1..100, ``rotation`` is
    in degrees clockwise (0, 90, 180 or 270), applied after the flips. ``stall_timeout`` is how
    many seconds a driver may be silent before that is a fault. ``verify`` is whether to check
    the certificate of a camera that speaks TLS.
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
    """A source of pictures. The constructor touches no hardware."""

    @property
    def invalid(self) -> int:
        """How many pictures were dropped as damaged since the camera was made."""

    @property
    def name(self) -> str:
        """Its name for the user: ``"Logitech C270 (/dev/video0)"``; never a password."""

    def open(self) -> None:
        """Open the camera and start it. Raises CameraError, and then leaves nothing open."""

    def read(self, timeout: float) -> Shot | None:
        """Return the next picture, or None if none came within ``timeout`` seconds.

        Never returns the same picture twice, and never spins. Raises CameraError when the
        camera is gone; then only close() may follow. After a MemoryError, or a TooLargeError
        for one picture that has too many pixels to be decoded, reading may go on.
        """

    def close(self) -> None:
        """Release everything. May be called at any time, also twice."""
