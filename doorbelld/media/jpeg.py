"""JPEG: checks whether a picture is whole and how large it is; turns pictures and draws new ones.

Pure bytes are in :mod:`doorbelld.media.markers` and :mod:`doorbelld.media.splitter`. The rest
needs OpenCV, which takes a tenth of a second and about 45 MB: it is imported by the first call
that needs it, never before.
"""

from __future__ import annotations

import logging
import os
import sys
import textwrap
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from doorbelld.media import markers, room
from doorbelld.media.markers import LARGEST, MOST_PIXELS, MOST_PIXELS_DECODED, TooLargeError
from doorbelld.media.room import NoRoomError
from doorbelld.media.splitter import Splitter

__all__ = [
    "LARGEST",
    "MOST_PIXELS",
    "MOST_PIXELS_DECODED",
    "Splitter",
    "TooLargeError",
    "encode",
    "is_whole",
    "load_opencv",
    "placeholder",
    "reorient",
    "size",
    "turn",
    "why_not",
]

_log = logging.getLogger(__name__)

_SOI = b"\xff\xd8"
_EOI = b"\xff\xd9"

_READY_CARD = Path(__file__).with_name("placeholder.jpg").read_bytes()
"""Read at once: when it is needed, there may be neither memory nor a file descriptor."""

_ROOM_FOR_OPENCV = 250 * 2**20
"""Bytes of address space: its libraries and those of numpy take 225 MB before it does anything."""

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
    found = markers.header(data)
    return (found.width, found.height) if found else None


def load_opencv() -> Any:
    """Return the ``cv2`` module. Raises ImportError if it is not installed or cannot load.

    OpenCV reads its settings from the environment once, while it is imported, so this is
    the only place that imports it. It is not even tried with too little room: numpy's OpenBLAS
    then asks for memory again and again, for ever.
    """
    if "cv2" not in sys.modules:
        room.make_sure_of(_ROOM_FOR_OPENCV, "OpenCV")
    _prepare_environment()
    try:
        import cv2
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # of another version of numpy, say, it raises what it likes
        raise ImportError(f"OpenCV does not load: {error}") from error
    return cv2


def why_not(error: ImportError) -> str:
    """Return the end of a sentence that says why there is no OpenCV, with its comma."""
    if isinstance(error, NoRoomError):
        return f", and {error}"
    return ", which is not installed, or does not load"


def _prepare_environment() -> None:
    # Without this a silent V4L2 camera holds read() for ten seconds.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "1")
    # OpenCV prints warnings of its own, with whole URLs in them, past our log.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # Over UDP a lost packet of an rtsp camera tears the picture; other sources ignore this.
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
    # Each thread of OpenBLAS takes memory when it is loaded, and nothing here needs them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


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
    TooLargeError, or ValueError if ``data`` cannot be decoded.
    """
    if not (rotation or hflip or vflip):
        return data
    cv2 = load_opencv()
    import numpy as np

    markers.check_before_decoding(data)
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
