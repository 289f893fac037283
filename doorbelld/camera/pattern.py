"""A moving test card with the time of day and the frame number on it: a camera for trying out.

The card is drawn once. For each frame only the digits, which are drawn beforehand too, and
a sweeping bar are put in their places; encoding is what a frame costs.
"""

from __future__ import annotations

import time
from typing import Any

from doorbelld.camera.base import CameraError, CameraSettings, Shot
from doorbelld.media import jpeg
from doorbelld.system.pace import Pace

_BARS = (
    (191, 191, 191),
    (0, 191, 191),
    (191, 191, 0),
    (0, 191, 0),
    (191, 0, 191),
    (0, 0, 191),
    (191, 0, 0),
)
_PANEL = (28, 22, 20)
_DIGIT = (240, 240, 240)
_SWEEP = (80, 180, 250)
_COLUMNS = 11  # "12:34:56.7" and a margin of half a digit on both sides
_SWEEP_SECONDS = 2.0


class PatternCamera:
    """The test card, at any size and rate. Needs OpenCV."""

    name = "Test pattern"

    def __init__(self, settings: CameraSettings) -> None:
        self.invalid = 0
        self._settings = settings
        self._pace = Pace(settings.framerate)
        self._card: Any = None
        self._glyphs: dict[str, Any] = {}
        self._number = 0
        # Digits are 1.6 times as high as wide; two lines and the bars have to fit.
        self._wide = max(1, min(settings.width // _COLUMNS, settings.height // 5))
        self._high = max(1, self._wide * 8 // 5)

    def open(self) -> None:
        """Draw the card. Raises CameraError if OpenCV is missing."""
        try:
            jpeg.load_opencv()
        except ImportError as error:
            raise CameraError(f"The test pattern needs OpenCV{jpeg.why_not(error)}") from error
        self._glyphs = {text: self._draw_glyph(text) for text in "0123456789:. "}
        self._card = self._draw_card()

    def read(self, timeout: float) -> Shot | None:
        """Return the next frame of the card, or None if it is not due within ``timeout``."""
        captured_at = self._pace.wait(timeout)
        if captured_at is None:
            return None
        self._number += 1
        now = time.time() - (time.monotonic() - captured_at)
        self._update(now)
        asked = self._settings
        try:
            image = jpeg.turn(self._card, asked.rotation, asked.hflip, asked.vflip)
            return Shot(jpeg.encode(image, asked.quality), captured_at)
        except ValueError:
            self.invalid += 1
            return None

    def close(self) -> None:
        """Forget the card."""
        self._card = None
        self._glyphs = {}

    def _update(self, now: float) -> None:
        """Put time, number and the sweeping bar of this moment (Unix seconds) on the card."""
        clock = time.strftime("%H:%M:%S", time.localtime(now)) + f".{int(now * 10) % 10}"
        top = (self._settings.height - 2 * self._high) // 2
        self._write(clock, top)
        self._write(f"{self._number:06d}".rjust(_COLUMNS - 1), top + self._high)
        self._sweep(now % _SWEEP_SECONDS / _SWEEP_SECONDS)

    def _write(self, text: str, top: int) -> None:
        left = (self._settings.width - len(text) * self._wide) // 2
        for column, letter in enumerate(text):
            x = max(left + column * self._wide, 0)
            place = self._card[max(top, 0) : top + self._high, x : x + self._wide]
            place[:] = self._glyphs[letter][: place.shape[0], : place.shape[1]]

    def _sweep(self, part: float) -> None:
        width, height = self._settings.width, self._settings.height
        thick = max(1, width // 20)
        track = self._card[height - max(1, height // 12) :]
        track[:] = _PANEL
        x = int(part * max(width - thick, 0))
        track[:, x : x + thick] = _SWEEP

    def _draw_glyph(self, letter: str) -> Any:
        import numpy as np

        cv2 = jpeg.load_opencv()
        cell = np.full((self._high, self._wide, 3), _PANEL, np.uint8)
        font, scale = cv2.FONT_HERSHEY_DUPLEX, self._wide / 23
        thick = max(1, round(scale * 1.6))
        (wide, high), _ = cv2.getTextSize(letter, font, scale, thick)
        at = ((self._wide - wide) // 2, (self._high + high) // 2)
        cv2.putText(cell, letter, at, font, scale, _DIGIT, thick, cv2.LINE_AA)
        return cell

    def _draw_card(self) -> Any:
        import numpy as np

        width, height = self._settings.width, self._settings.height
        card = np.empty((height, width, 3), np.uint8)
        for number, colour in enumerate(_BARS):
            left = number * width // len(_BARS)
            card[:, left : (number + 1) * width // len(_BARS)] = colour
        middle, half = height // 2, self._high + self._high // 3
        card[max(middle - half, 0) : middle + half] = _PANEL
        return card
