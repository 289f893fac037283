"""The ``pattern`` source: a moving test card with the time of day and the frame number on it."""

from __future__ import annotations

import threading
import time
from functools import partial

from doorbelld.camera.base import CameraSettings, Shot
from doorbelld.camera.orientation import encode, need_opencv
from doorbelld.drivers.errors import GoneError
from doorbelld.media.card import PatternCard
from doorbelld.system.pace import Pace


class PatternCamera:
    """The test card, at any size and rate. Needs OpenCV."""

    name = "Test pattern"
    mode = ""

    def __init__(self, settings: CameraSettings) -> None:
        self.invalid = 0
        self._settings = settings
        self._pace = Pace(settings.framerate)
        self._card: PatternCard | None = None
        self._lock = threading.Lock()  # for the card: each picture is drawn on it
        self._number = 0

    def open(self) -> None:
        """Draw the card. Raises CameraError if OpenCV is missing."""
        need_opencv("The test pattern")
        self._card = PatternCard(self._settings.width, self._settings.height)

    def read(self, timeout: float) -> Shot | None:
        """Return the next frame, drawn when it is loaded; None if none is due in ``timeout``."""
        captured_at = self._pace.wait(timeout)
        if captured_at is None or self._card is None:
            return None
        self._number += 1
        return Shot(b"", captured_at, partial(self._draw, captured_at, self._number))

    def close(self) -> None:
        """Forget the card."""
        with self._lock:
            self._card = None

    def _draw(self, captured_at: float, number: int) -> bytes:
        with self._lock:
            if self._card is None:
                raise GoneError("The camera is closed")
            self._card.update(time.time() - (time.monotonic() - captured_at), number)
            return encode(self._card.image, self._settings)
