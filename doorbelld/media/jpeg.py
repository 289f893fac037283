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


def is_whole(data: bytes) -> bool:
    """Return whether ``data`` runs from a start-of-image to an end-of-image marker."""
    return data.startswith(_SOI) and data.endswith(_EOI)


def size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) in pixels from the frame header, or None if there is none."""
    found = markers.header(data)
    return (found.width, found.height) if found else None
