"""Markers: reads the markers of a JPEG without decoding it.

Nothing here trusts a picture: the number of markers that are read is bounded, and fill bytes and
entropy-coded data are skipped by searching for their end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

SOI = 0xD8
EOI = 0xD9
SOS = 0xDA
APPLICATION = frozenset(range(0xE0, 0xF0))
STANDALONE = frozenset([0x01, *range(0xD0, 0xD8)])
"""Markers without a length: TEM and the restart markers."""

AFTER_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""The first marker after entropy-coded data, in which FF 00 and FF D0..D7 are data."""

NOT_FILL = re.compile(rb"[^\xff]")

MOST_SEGMENTS = 2000
"""Segments that a picture may have. A colour profile has up to 255, and a hundred scans with a
table each are 200. A picture with more is an attempt to cost time."""

LARGEST = 16 * 1024 * 1024
"""Bytes that a JPEG may have. A camera makes about 8 MB in 4K at the best quality; more means that
the stream is damaged."""

MOST_PIXELS = 50_000_000
"""Pictures with more pixels are not shown (8K has 33 million): no phone could draw them."""

MOST_PIXELS_DECODED = 4096 * 3072
"""Pictures with more pixels are not decoded. It is enough for 4K and for the largest camera of a
Raspberry Pi (4056x3040). To decode, turn and encode that many takes about 120 MB, which a machine
with 512 MB can spare."""

_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HUFFMAN = frozenset([0xC0, 0xC1, 0xC2])
"""Baseline, extended and progressive. Cameras use no others."""

_MOST_SCANS = 32
"""Encoders make about ten. The decoder goes through the whole picture for each."""

_PIXELS_A_BYTE = 256
"""The most that is possible: each block of 64 pixels takes at least two bits. With fewer bytes
most of the picture is missing, and the decoder would spend full time on filling it in."""


class TooLargeError(ValueError):
    """The picture has too many pixels to be decoded."""


class Header(NamedTuple):
    """The frame header: the picture's size in pixels, and how it is coded."""

    width: int
    height: int
    coding: int
    precision: int
    components: int


def header(data: bytes) -> Header | None:
    """Return the first frame header, or None if there is none before the entropy-coded data."""
    for marker, at in each_marker(data):
        if marker in _FRAME_HEADERS:
            return _header(data, marker, at)
        if marker == SOS:
            break
    return None


def check_before_decoding(data: bytes) -> None:
    """Check that decoding a JPEG takes no more than a bounded amount of memory and time.

    Raises TooLargeError, or ValueError if it is damaged or of a kind that no camera makes.
    """
    frame, scans, marker = None, 0, 0
    for marker, at in each_marker(data):
        if marker in _FRAME_HEADERS:
            if frame:
                raise ValueError("a JPEG with two frame headers")
            frame = _header(data, marker, at)
        scans += marker == SOS
    if frame is None or not (frame.width and frame.height) or marker != EOI:
        raise ValueError("the JPEG cannot be decoded: it is damaged")
    if frame.coding not in _HUFFMAN or frame.precision != 8 or frame.components not in (1, 3, 4):
        raise ValueError("a JPEG of a kind that is not decoded")
    pixels = frame.width * frame.height
    if pixels > MOST_PIXELS_DECODED:
        raise TooLargeError(f"a JPEG of {frame.width}x{frame.height} pixels is not decoded")
    if scans > _MOST_SCANS:
        raise ValueError(f"a JPEG with {scans} scans")
    if len(data) * _PIXELS_A_BYTE < pixels:
        raise ValueError("a JPEG of which most is missing")


def _header(data: bytes, marker: int, at: int) -> Header | None:
    """Return the frame header whose segment begins at ``at``, None if it is cut off."""
    if at + 8 > len(data):
        return None
    height, width = (int.from_bytes(data[at + i : at + i + 2], "big") for i in (3, 5))
    return Header(width, height, marker, data[at + 2], data[at + 7])


def each_marker(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield each marker and where its segment begins, until the picture is damaged."""
    at = 2
    for _ in range(MOST_SEGMENTS):
        found = NOT_FILL.search(data, at)
        if found is None or found.start() == at:
            return
        at = found.end()
        marker = data[at - 1]
        if marker in (0x00, SOI):
            return
        yield marker, at
        if marker in STANDALONE:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        if marker == EOI or length < 2:
            return
        at += length
        if marker == SOS:
            end = AFTER_SCAN.search(data, at)
            if end is None:
                return
            at = end.start()
