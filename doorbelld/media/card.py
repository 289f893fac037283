"""Cards: the pictures that are drawn here, the test card and the placeholder."""

from __future__ import annotations

import logging
import textwrap
import time
import unicodedata
from pathlib import Path
from typing import Any, NamedTuple

from doorbelld.media import codec

_log = logging.getLogger(__name__)

READY_MADE = Path(__file__).with_name("placeholder.jpg").read_bytes()
"""Read at once: when it is needed, there may be neither memory nor a file descriptor."""

_BACKGROUND = (30, 24, 22)
_BRIGHT = (235, 235, 235)
_CALM = (170, 160, 155)
_WARM = (120, 190, 250)

_SPELLINGS = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d"}
    | {"\u2013": "-", "\u2014": "-", "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'}
)
"""Letters that Unicode's own decomposition leaves as they are."""

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
_TRYING = "doorbelld keeps trying"
_COLUMNS = 11  # "12:34:56.7" and a margin of half a digit on both sides
_SWEEP_SECONDS = 2.0


def placeholder(
    name: str, what: str, since_text: str, width: int, height: int, *, is_trying: bool = True
) -> bytes:
    """Return the card that is shown while there is no picture, as a JPEG.

    ``name`` is the camera's, ``what`` says in plain words what is wrong, ``since_text`` since
    when; text that is not ASCII is transliterated. ``is_trying`` adds that this
    daemon keeps trying. If it cannot be drawn, because OpenCV or
    memory is missing, returns a ready-made card, 640x480, which says only that there is no
    picture.
    """
    try:
        more = _TRYING if is_trying else ""
        return _draw_placeholder((name, what, since_text, more), width, height)
    except Exception:  # noqa: BLE001  # There must always be a card.
        _log.debug("the card cannot be drawn", exc_info=True)
        return READY_MADE


class _Line(NamedTuple):
    """A line of text, its size in OpenCV's font scale, and its colour."""

    text: str
    scale: float
    colour: tuple[int, int, int]


def _draw_placeholder(texts: tuple[str, str, str, str], width: int, height: int) -> bytes:
    """Draw the lines one below the other, as large as they all fit."""
    image = codec.blank(width, height, _BACKGROUND)
    scale = min(width / 640, height / 360)
    while True:
        lines = _lines(texts, scale, width * 0.9)
        used = sum(line.scale for line in lines) * 46
        if used <= height * 0.94 or scale < 0.2:
            break
        scale *= 0.9
    _write_lines(image, lines, (height - used) / 2)
    return codec.encode(image, 85)


def _lines(texts: tuple[str, str, str, str], scale: float, widest: float) -> list[_Line]:
    """Return the lines of the placeholder; none is wider than ``widest`` pixels."""
    name, what, since_text, more = texts
    blocks = (
        _Line(name, 1.3 * scale, _BRIGHT),
        _Line(what, 1.05 * scale, _WARM),
        _Line(since_text, 0.85 * scale, _CALM),
        _Line(more, 0.85 * scale, _CALM),
    )
    lines: list[_Line] = []
    for block in blocks:
        letters = max(int(widest / (19 * block.scale)), 4)  # 19 pixels a letter at scale 1
        wrapped = textwrap.wrap(_ascii(block.text), letters)
        lines.extend(block._replace(text=line) for line in wrapped)
    return lines


def _write_lines(image: Any, lines: list[_Line], top: float) -> None:
    cv2 = codec.load_opencv()
    font = cv2.FONT_HERSHEY_DUPLEX
    for text, scale, colour in lines:
        thick = max(1, round(scale * 1.4))
        (wide, _), _ = cv2.getTextSize(text, font, scale, thick)
        at = (int((image.shape[1] - wide) / 2), int(top + 33 * scale))
        cv2.putText(image, text, at, font, scale, colour, thick, cv2.LINE_AA)
        top += 46 * scale


def _ascii(text: str) -> str:
    """Spell ``text`` with the letters that the font has: é as e, ß as ss, a dash as -."""
    plain = unicodedata.normalize("NFKD", text.translate(_SPELLINGS))
    kept = (" " if c.isspace() else c for c in plain if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" else "?" for c in kept)


class PatternCard:
    """A moving test card with the time of day and a number on it. Raises ImportError.

    It is drawn once. For each picture only the digits, which are drawn beforehand too, and a
    sweeping bar are copied into ``image``.
    """

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        # Digits are 1.6 times as high as wide; two lines and the bars have to fit.
        self._wide = max(1, min(width // _COLUMNS, height // 5))
        self._high = max(1, self._wide * 8 // 5)
        self._glyphs = {text: self._draw_glyph(text) for text in "0123456789:. "}
        self.image = self._draw()

    def update(self, now: float, number: int) -> None:
        """Put the time (Unix seconds), the number and the bar at this moment on the card."""
        clock = time.strftime("%H:%M:%S", time.localtime(now)) + f".{int(now * 10) % 10}"
        top = (self._height - 2 * self._high) // 2
        self._write(clock, top)
        self._write(f"{number:06d}".rjust(_COLUMNS - 1), top + self._high)
        self._sweep(now % _SWEEP_SECONDS / _SWEEP_SECONDS)

    def _write(self, text: str, top: int) -> None:
        left = (self._width - len(text) * self._wide) // 2
        for column, letter in enumerate(text):
            x = max(left + column * self._wide, 0)
            place = self.image[max(top, 0) : top + self._high, x : x + self._wide]
            place[:] = self._glyphs[letter][: place.shape[0], : place.shape[1]]

    def _sweep(self, part: float) -> None:
        thick = max(1, self._width // 20)
        track = self.image[self._height - max(1, self._height // 12) :]
        track[:] = _PANEL
        x = int(part * max(self._width - thick, 0))
        track[:, x : x + thick] = _SWEEP

    def _draw_glyph(self, letter: str) -> Any:
        cv2 = codec.load_opencv()
        cell = codec.blank(self._wide, self._high, _PANEL)
        font, scale = cv2.FONT_HERSHEY_DUPLEX, self._wide / 23
        thick = max(1, round(scale * 1.6))
        (wide, high), _ = cv2.getTextSize(letter, font, scale, thick)
        at = ((self._wide - wide) // 2, (self._high + high) // 2)
        cv2.putText(cell, letter, at, font, scale, _DIGIT, thick, cv2.LINE_AA)
        return cell

    def _draw(self) -> Any:
        card = codec.blank(self._width, self._height, _PANEL)
        for number, colour in enumerate(_BARS):
            left = number * self._width // len(_BARS)
            card[:, left : (number + 1) * self._width // len(_BARS)] = colour
        middle, half = self._height // 2, self._high + self._high // 3
        card[max(middle - half, 0) : middle + half] = _PANEL
        return card
