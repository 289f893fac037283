"""The ``pattern`` source: a moving test card with the time of day and the frame number on it."""

from __future__ import annotations

import time

from doorbelld.camera.base import CameraSettings, Shot
from doorbelld.camera.orientation import encode, need_opencv
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
        self._number = 0

    def open(self) -> None:
        """Draw the card. Raises CameraError if OpenCV is missing."""
        need_opencv("The test pattern")
        self._card = PatternCard(self._settings.width, self._settings.height)

    def read(self, timeout: float) -> Shot | None:
        """Return the next frame of the card, or None if it is not due within ``timeout``."""
        captured_at = self._pace.wait(timeout)
        if captured_at is None or self._card is None:
            return None
        self._number += 1
        self._card.update(time.time() - (time.monotonic() - captured_at), self._number)
        try:
            return Shot(encode(self._card.image, self._settings), captured_at)
        except ValueError:
            self.invalid += 1
            return None

    def close(self) -> None:
        """Forget the card."""
        self._card = None
