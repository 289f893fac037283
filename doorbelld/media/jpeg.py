"""JPEG: whether it is whole, and how large it is. Pure bytes; codec.py decodes and encodes."""

from __future__ import annotations

from doorbelld.media import markers
from doorbelld.media.markers import LARGEST, MOST_PIXELS, MOST_PIXELS_DECODED, TooLargeError
from doorbelld.media.splitter import Splitter

__all__ = [
    "LARGEST",
    "MOST_PIXELS",
    "MOST_PIXELS_DECODED",
    "Splitter",
    "TooLargeError",
    "is_whole",
    "size",
]

_SOI = b"\xff\xd8"
_EOI = b"\xff\xd9"

_USUAL_SEGMENTS = 12
_USUAL = markers.APPLICATION | {markers.DHT, markers.DQT, markers.DRI, markers.COM}
"""What stands before the frame header of a camera's picture."""


def is_whole(data: bytes) -> bool:
    """Return whether ``data`` runs from a start-of-image to an end-of-image marker."""
    return data.startswith(_SOI) and data.endswith(_EOI)


def size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) in pixels from the frame header, or None if there is none."""
    # Every picture is asked for its size, and a walker costs several times as much.
    at, last = 2, len(data) - 10
    for _ in range(_USUAL_SEGMENTS):
        if at > last or data[at] != 0xFF:
            break
        marker, length = data[at + 1], data[at + 2] << 8 | data[at + 3]
        if length < 2:
            break
        if marker in markers.FRAME_HEADERS:
            return data[at + 7] << 8 | data[at + 8], data[at + 5] << 8 | data[at + 6]
        if marker not in _USUAL:
            break
        at += 2 + length
    found = markers.header(data)
    return (found.width, found.height) if found else None
