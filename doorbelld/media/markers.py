"""Markers: reads the markers of a JPEG without decoding it.

Nothing here trusts a picture: the number of markers that are read is bounded, and fill bytes and
entropy-coded data are skipped by searching for their end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

NOTHING = 0
"""No marker: the data ends."""

DHT = 0xC4
SOI = 0xD8
EOI = 0xD9
SOS = 0xDA
DQT = 0xDB
DRI = 0xDD
COM = 0xFE
APPLICATION = frozenset(range(0xE0, 0xF0))
STANDALONE = frozenset([0x01, *range(0xD0, 0xD8)])
"""Markers without a length: TEM and the restart markers."""

_MARKER = re.compile(rb"\xff[\x01-\xfe]")
"""The first marker after entropy-coded data, in which FF 00 is data."""

_MARKER_BUT_RESTART = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""The same where the picture has restart markers, FF D0..D7."""

_NOT_FILL = re.compile(rb"[^\xff]")

_SLACK = 16
"""Bytes after a segment, of fill and of markers without a length, that may belong to it."""

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

FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
HUFFMAN = frozenset([0xC0, 0xC1, 0xC2])
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
        if marker in FRAME_HEADERS:
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
        if marker in FRAME_HEADERS:
            if frame:
                raise ValueError("a JPEG with two frame headers")
            frame = _header(data, marker, at)
        scans += marker == SOS
    if frame is None or not (frame.width and frame.height) or marker != EOI:
        raise ValueError("the JPEG cannot be decoded: it is damaged")
    if frame.coding not in HUFFMAN or frame.precision != 8 or frame.components not in (1, 3, 4):
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
    """Yield each marker and where its segment begins, until the picture ends or is damaged."""
    walker = Walker()
    with suppress(ValueError):
        while walker.step(data) not in (NOTHING, SOI):
            yield walker.found[-1]
            if walker.found[-1][0] == EOI:
                return


class Walker:
    """Walks along the markers of one picture, whose bytes may still be arriving.

    The picture begins at byte 0 with SOI, which is not looked at. ``found`` has the markers so
    far, each with the place where its segment begins; ``first_scan`` of them come before the first
    entropy-coded data. ``scans`` has the start and the end of each such data; while it has not
    ended, ``in_scan`` is true, and ``scan_start`` is its start. A restart marker stands between
    every ``interval`` blocks, if that is not 0. ``at`` is how far the walk has come, ``sound`` how
    many bytes cannot be the start of another picture.
    """

    def __init__(self) -> None:
        self.at = self.sound = 2
        self.found: list[tuple[int, int]] = []
        self.scans: list[tuple[int, int]] = []
        self.in_scan = False
        self.scan_start = 0
        self.first_scan: int | None = None
        self.interval = 0
        self._scan_end = _MARKER
        self._interval_at = 0
        self._segment_end = 2

    def start_in_scan(self, start: int, found: Sequence[tuple[int, int]], interval: int) -> None:
        """Go on in the first scan, which starts at ``start``; what comes before it is known."""
        self.at = self.sound = self.scan_start = self._segment_end = start
        self.in_scan = True
        self.found = list(found)
        self.first_scan = len(found)
        self.interval = interval
        self._scan_end = _MARKER_BUT_RESTART if interval else _MARKER

    def step(self, data: bytes | bytearray) -> int:
        """Walk to the next marker, and over its segment; return the marker.

        Returns NOTHING where the data ends. Stops in front of an SOI directly after entropy-coded
        data: there the next picture begins. Raises ValueError if a picture cannot go on like this.
        """
        if self.in_scan and not self._skip_scan(data):
            return NOTHING
        if data.startswith(b"\xff\xff", self.at) and not self._skip_fill(data):
            return NOTHING
        at = self.at
        if at + 4 > len(data) and not data.startswith(b"\xff\xd9", at):
            return NOTHING
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0x00:
            raise ValueError("bytes where a marker should be")
        if marker == SOI:
            self._check_start(data)
            return SOI
        self.found.append((marker, at + 2))
        if marker == EOI:
            self.at += 2
            if not self.scans:
                raise ValueError("it ends before its first scan")
        else:
            self._step_over(marker, data)
        return marker

    def _skip_scan(self, data: bytes | bytearray) -> bool:
        """Skip entropy-coded data; return whether its end is there."""
        ahead = self._scan_end.search(data, self.at)
        if ahead is None:
            # The last byte may be half a marker.
            self.at = self.sound = max(self.at, len(data) - 1)
            return False
        self.at = self.sound = ahead.start()
        self.scans.append((self.scan_start, self.at))
        self.in_scan = False
        if self.at == self.scan_start:
            raise ValueError("a scan without data")
        if data[self.at + 1] in STANDALONE:
            raise ValueError("a marker that cannot be in a scan")
        return True

    def _skip_fill(self, data: bytes | bytearray) -> bool:
        """Skip all FF bytes before a marker but one; return whether the marker is there."""
        ahead = _NOT_FILL.search(data, self.at)
        self.at = (ahead.start() if ahead else len(data)) - 1
        self._give_up_segment()
        return ahead is not None

    def _check_start(self, data: bytes | bytearray) -> None:
        at = self.at
        after_scan = bool(self.scans) and self.scans[-1][1] == at
        if not (after_scan and data[at + 2] == 0xFF and data[at + 3] not in (0x00, SOI, EOI)):
            raise ValueError("the start of another picture in it")

    def _step_over(self, marker: int, data: bytes | bytearray) -> None:
        start = self.at
        if len(self.found) >= MOST_SEGMENTS:
            raise ValueError("too many segments")
        if marker in STANDALONE:
            self.at += 2
            self._give_up_segment()
            return
        length = int.from_bytes(data[start + 2 : start + 4], "big")
        self.at = self._segment_end = start + 2 + length
        # If a segment is cut short, its length reaches into the next picture, which has to be
        # found there. An APP segment is different: a picture in it may be a thumbnail, which
        # must never be shown as the picture.
        self.sound = self.at if marker in APPLICATION else start
        if length < 2:
            raise ValueError("a segment without a length")
        if marker == SOS:
            self._start_scan(data)
        elif marker == DRI:
            self._interval_at = start + 4

    def _start_scan(self, data: bytes | bytearray) -> None:
        self.in_scan = True
        self.scan_start = self.at
        if self.first_scan is None:
            self.first_scan = len(self.found)
        if self._interval_at:
            at = self._interval_at
            self.interval = int.from_bytes(data[at : at + 2], "big")
        self._scan_end = _MARKER_BUT_RESTART if self.interval else _MARKER

    def _give_up_segment(self) -> None:
        """Stop searching the last segment if many bytes have followed that are no segment.

        Otherwise every false start in it would lead to all of these bytes again.
        """
        if self.at - self._segment_end > _SLACK:
            self.sound = self.at
