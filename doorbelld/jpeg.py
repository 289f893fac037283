"""JPEG: is it whole, how large is it, where does the next one start; and drawing new ones.

The first half is pure bytes. The second half needs OpenCV, which costs a tenth of a second
and some 45 MB: it is imported by the first call that cannot do without it, never before.
"""

from __future__ import annotations

import logging
import os
import re
import textwrap
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from importlib import resources
from typing import Any

_log = logging.getLogger(__name__)

_SOI = b"\xff\xd8"
_EOI = b"\xff\xd9"

_START = re.compile(rb"\xff\xd8\xff")
_AFTER_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""The first marker behind entropy-coded data, where FF 00 and FF D0..D7 are data."""

_SOS = 0xDA
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_APPLICATION = frozenset(range(0xE0, 0xF0))
_STANDALONE = frozenset([0x01, *range(0xD0, 0xD8)])
"""Markers without a length: TEM and the restart markers."""

LARGEST = 16 * 1024 * 1024
"""No camera makes a JPEG of more bytes than this (in 4K, at the best quality, it has some 8 MB):
it is a stream that has lost its way."""

_MOST_PIXELS = 50_000_000
"""More are not decoded (8K has 33 million): damaged, it may speak of any number of them."""

_READY_CARD = resources.files("doorbelld").joinpath("placeholder.jpg").read_bytes()
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


def is_whole(data: bytes) -> bool:
    """Tell whether ``data`` runs from a start-of-image to an end-of-image marker."""
    return data.startswith(_SOI) and data.endswith(_EOI)


def size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) in pixels from the frame header, or None if there is none."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _FRAME_HEADERS:
            height = int.from_bytes(data[at + 5 : at + 7], "big")
            return int.from_bytes(data[at + 7 : at + 9], "big"), height
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _STANDALONE:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


class _Walk(Enum):
    """How far a walk along a picture's markers came."""

    WHOLE = "at its end"
    BROKEN = "where no JPEG goes on like this"
    UNFINISHED = "at the end of what has arrived"


class Splitter:
    """Cuts a stream of bytes into whole JPEGs.

    It walks from marker to marker, so a thumbnail inside an APP segment is not taken for a
    picture. What is no JPEG is skipped. ``invalid`` counts pictures that began and broke
    off. It holds at most ``limit`` bytes beside the bytes of one :meth:`feed`.
    """

    def __init__(self, limit: int = LARGEST) -> None:
        self.invalid = 0
        self._limit = limit
        self._buffer = bytearray()
        self._passed = 0  # how many bytes of the stream came before the buffer's first
        self._at = 0  # how far the picture at the buffer's start has been walked
        self._sound = 0  # how much of it is to be skipped if it breaks off
        self._in_scan = False

    def feed(self, data: bytes | bytearray) -> list[bytes]:
        """Take the stream's next bytes; return the pictures they complete, oldest first."""
        return [picture for _, picture in self.cut(data)]

    def cut(self, data: bytes | bytearray) -> list[tuple[int, bytes]]:
        """The same, each picture with how many bytes of the stream came before it."""
        self._buffer += data
        pictures = []
        while self._at or self._find_start():
            reached = self._walk()
            if reached is _Walk.UNFINISHED and len(self._buffer) <= self._limit:
                break
            if reached is _Walk.WHOLE:
                pictures.append((self._passed, bytes(memoryview(self._buffer)[: self._at])))
                self._drop(self._at)
            else:
                self.invalid += 1
                self._drop(self._sound)
        return pictures

    def forget(self) -> None:
        """Drop the picture that has begun: some of the stream was lost."""
        self.invalid += bool(self._at)
        self._drop(len(self._buffer))

    def _drop(self, length: int) -> None:
        self._skip(length)
        self._at = 0
        self._in_scan = False

    def _skip(self, length: int) -> None:
        self._passed += length
        del self._buffer[:length]

    def _find_start(self) -> bool:
        """Drop what comes before the next SOI; tell whether there is one."""
        found = _START.search(self._buffer)
        if found is None:
            self._skip(max(len(self._buffer) - 2, 0))  # half of the mark may be there already
            return False
        self._skip(found.start())
        self._at = self._sound = 2
        return True

    def _walk(self) -> _Walk:
        """Walk on from marker to marker, as far as it goes."""
        while self._skip_scan() and self._marker_is_here():
            marker = self._buffer[self._at + 1]
            if self._buffer[self._at] != 0xFF or marker in (0x00, 0xD8):
                return _Walk.BROKEN
            if marker == 0xD9:
                self._at += 2
                return _Walk.WHOLE
            self._step_over(marker)
        return _Walk.UNFINISHED

    def _skip_scan(self) -> bool:
        """Go to the end of the entropy-coded data, if in it; tell whether it has come."""
        if not self._in_scan:
            return True
        found = _AFTER_SCAN.search(self._buffer, self._at)
        if found is None:
            # It may end in half a marker.
            self._at = self._sound = max(self._at, len(self._buffer) - 1)
            return False
        self._at = self._sound = found.start()
        self._in_scan = False
        return True

    def _marker_is_here(self) -> bool:
        """Tell whether the next marker has come, with its length unless it is the last."""
        return self._at + 4 <= len(self._buffer) or self._buffer.startswith(_EOI, self._at)

    def _step_over(self, marker: int) -> None:
        if marker == 0xFF:  # a fill byte
            self._at += 1
        elif marker in _STANDALONE:
            self._at += 2
        else:
            start = self._at
            self._at += 2 + int.from_bytes(self._buffer[start + 2 : start + 4], "big")
            # Where a segment is cut short, its length reaches into the next picture, which
            # is to be found there. Not so in an APP segment: the picture in there may be a
            # thumbnail, which must never be shown as if it were the picture.
            self._sound = self._at if marker in _APPLICATION else start
            self._in_scan = marker == _SOS


def load_opencv() -> Any:
    """Return the ``cv2`` module. Raises ImportError if it is not installed or cannot load.

    OpenCV reads its settings from the environment once, while it is imported, so this is
    the only place that imports it.
    """
    # Without this a silent V4L2 camera holds read() for ten seconds.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "1")
    # OpenCV prints warnings of its own, with whole URLs in them, past our log.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # Over UDP a lost packet of an rtsp camera tears the picture; other sources ignore this.
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
    try:
        import cv2
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # of another version of numpy, say, it raises what it likes
        raise ImportError(f"OpenCV does not load: {error}") from error
    return cv2


@contextmanager
def _faults_as_value_errors(cv2: Any) -> Iterator[None]:
    try:
        yield
    except cv2.error as error:
        raise ValueError(f"OpenCV cannot: {error}") from error


def encode(image: Any, quality: int) -> bytes:
    """Return ``image`` (uint8; height x width, or height x width x 3 in BGR) as a JPEG.

    Raises ValueError if the encoder fails, or no JPEG can be as large.
    """
    cv2 = load_opencv()
    with _faults_as_value_errors(cv2):
        encoded, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not encoded:
        raise ValueError("a picture that cannot be encoded")
    return bytes(data)


def turn(image: Any, rotation: int, hflip: bool, vflip: bool) -> Any:
    """Return ``image`` flipped, then rotated clockwise by 0, 90, 180 or 270 degrees.

    Raises ValueError if OpenCV fails at it.
    """
    cv2 = load_opencv()
    with _faults_as_value_errors(cv2):
        if hflip or vflip:
            image = cv2.flip(image, -1 if hflip and vflip else int(hflip))
        if rotation:
            turns = (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)
            image = cv2.rotate(image, turns[rotation // 90 - 1])
    return image


def reorient(data: bytes, rotation: int, hflip: bool, vflip: bool, quality: int) -> bytes:
    """Decode a JPEG, turn it as :func:`turn` does, and encode it again.

    If there is nothing to turn, it is returned as it is, and OpenCV is not needed. Raises
    ValueError if ``data`` cannot be decoded.
    """
    if not (rotation or hflip or vflip):
        return data
    cv2 = load_opencv()
    import numpy as np

    width, height = size(data) or (0, 0)
    if width * height > _MOST_PIXELS:
        raise ValueError("the JPEG has too many pixels")
    raw = np.frombuffer(data, np.uint8)
    with _faults_as_value_errors(cv2):
        image = cv2.imdecode(raw, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise ValueError("the JPEG cannot be decoded")
    return encode(turn(image, rotation, hflip, vflip), quality)


def placeholder(name: str, what: str, since_text: str, width: int, height: int) -> bytes:
    """Return the card that is shown while there is no picture, as a JPEG.

    ``name`` is the camera's, ``what`` says in plain words what is wrong, ``since_text`` since
    when; text that is not ASCII is transliterated. Where it cannot be drawn, for want of
    OpenCV or of memory, it is a card made beforehand, 640x480, which says only that there is
    no picture.
    """
    try:
        return _draw_card(name, what, since_text, width, height)
    except Exception:  # noqa: BLE001  # one card there must be
        _log.debug("the card cannot be drawn", exc_info=True)
        return _READY_CARD


def _draw_card(name: str, what: str, since_text: str, width: int, height: int) -> bytes:
    """Draw the lines one below the other, as large as they all fit."""
    load_opencv()
    import numpy as np

    image = np.full((height, width, 3), _BACKGROUND, np.uint8)
    scale = min(width / 640, height / 360)
    while True:
        lines = _card_lines(name, what, since_text, scale, width * 0.9)
        used = sum(line[1] for line in lines) * 46
        if used <= height * 0.94 or scale < 0.2:
            break
        scale *= 0.9
    _write_lines(image, lines, (height - used) / 2)
    return encode(image, 85)


def _card_lines(
    name: str, what: str, since_text: str, scale: float, room: float
) -> list[tuple[str, float, tuple[int, int, int]]]:
    """Return (text, font scale, colour) a line; no line is wider than ``room`` pixels."""
    blocks = (
        (name, 1.3 * scale, _BRIGHT),
        (what, 1.05 * scale, _WARM),
        (since_text, 0.85 * scale, _CALM),
        ("doorbelld keeps trying", 0.85 * scale, _CALM),
    )
    lines: list[tuple[str, float, tuple[int, int, int]]] = []
    for text, size_, colour in blocks:
        letters = max(int(room / (19 * size_)), 4)  # a letter is about 19 pixels at scale 1
        wrapped = textwrap.wrap(_ascii(text), letters)
        lines.extend((line, size_, colour) for line in wrapped)
    return lines


def _write_lines(
    image: Any, lines: list[tuple[str, float, tuple[int, int, int]]], top: float
) -> None:
    cv2 = load_opencv()
    font = cv2.FONT_HERSHEY_DUPLEX
    for text, scale, colour in lines:
        thick = max(1, round(scale * 1.4))
        (wide, _), _ = cv2.getTextSize(text, font, scale, thick)
        at = (int((image.shape[1] - wide) / 2), int(top + 33 * scale))
        cv2.putText(image, text, at, font, scale, colour, thick, cv2.LINE_AA)
        top += 46 * scale


def _ascii(text: str) -> str:
    """Spell ``text`` with the letters the font has: é as e, ß as ss, a dash as -."""
    plain = unicodedata.normalize("NFKD", text.translate(_SPELLINGS))
    kept = (" " if c.isspace() else c for c in plain if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" else "?" for c in kept)
