"""Picture: decides what a picture is, and repairs what cameras and phones leave out or add.

Whatever is behind the end of a picture is cut off: zeros, line breaks, a film, a second picture.
A missing end marker is added, and so are the Huffman tables that Motion JPEG leaves out: without
them Safari draws nothing. A picture that is damaged inside is refused. A good one stays as it is.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from doorbelld.media import entropy, markers
from doorbelld.media.entropy import Scan
from doorbelld.media.markers import Walker

_SOI = b"\xff\xd8\xff"
_EOI = b"\xff\xd9"

_MOST_BEFORE = 64
"""Bytes in front of a picture that are skipped, such as line breaks."""

_LONGEST_KEPT = 64 * 1024
"""Bytes of a header that are kept, to recognize the same header in the next picture."""

_BOUNDARY = re.compile(rb"\r?\n--[ -~\r\n]*\Z")
_LONGEST_BOUNDARY = 512
"""Bytes: a boundary, and the headers of the next part."""

_MOST_ZEROS = 4
"""Bytes: a scan may end with some zeros of its own."""

_TRUSTED = 300
"""Pictures without an end marker that are shown after one in which every block was there. To
look at every block takes some ten milliseconds."""


class _Head(NamedTuple):
    """What comes before the entropy-coded data of a picture.

    ``found`` are its markers, and where their segments begin. Where the Huffman tables are missing
    but needed, ``tables_at`` is where the standard ones belong, else it is 0.
    """

    data: bytes
    found: tuple[tuple[int, int], ...]
    scan: Scan
    tables_at: int

    @property
    def tables(self) -> list[int]:
        """The places of its DHT segments."""
        return [at for marker, at in self.found if marker == markers.DHT]


def mend(data: bytes) -> bytes:
    """Return the picture that is in ``data``, from SOI to EOI, as every browser can draw it.

    Returns ``data`` itself if there is nothing to repair. Raises ValueError, with the reason, if
    there is no picture in it, or a damaged one.
    """
    return Checker().mend(data)


class Checker:
    """Checks and repairs the pictures of one camera. Any thread may use it.

    It saves work by what it knows of the last pictures: a camera's pictures often have the same
    header, and all of them have an end marker, or none.
    """

    def __init__(self) -> None:
        self._head: _Head | None = None
        self._trusted = 0
        self._usual = 0

    def mend(self, data: bytes) -> bytes:
        """Do what the function of the same name does."""
        if not data.startswith(_SOI):
            before = data.find(_SOI, 0, _MOST_BEFORE + len(_SOI))
            if before < 0:
                raise ValueError("not a JPEG")
            data = data[before:]
        walker = self.start(data)
        while walker.step(data) not in (markers.NOTHING, markers.SOI, markers.EOI):
            pass
        return self.finish(data, walker)

    def start(self, data: bytes | bytearray) -> Walker:
        """Return a walker for the picture at the start of ``data``."""
        walker = Walker()
        head = self._head
        if head is not None and data.startswith(head.data):
            walker.start_in_scan(len(head.data), head.found, head.scan.interval)
        return walker

    def finish(self, data: bytes, walker: Walker) -> bytes:
        """Return the picture that ``walker`` has walked along to its end, repaired.

        Raises ValueError if it is damaged.
        """
        head = self._read_head(data, walker)
        if walker.found and walker.found[-1][0] == markers.EOI:
            self._trusted = 0
            if walker.at < len(data):
                data = data[: walker.at]
        else:
            data = self._with_end(data, walker, head)
        if head.scan.interval:
            for start, end in walker.scans or [(walker.scan_start, len(data))]:
                units = head.scan.units if start == len(head.data) else 0
                entropy.check_restarts(data, start, end, units, head.scan.interval)
        if len(data) > markers.LARGEST:
            raise ValueError(f"larger than {markers.LARGEST // 2**20} MB")
        if head.tables_at:
            data = data[: head.tables_at] + entropy.STANDARD_TABLES + data[head.tables_at :]
        return data

    def _read_head(self, data: bytes, walker: Walker) -> _Head:
        """Return the picture's head. Raises ValueError if it is not complete."""
        start = walker.scans[0][0] if walker.scans else walker.scan_start
        if not start or start >= len(data):
            raise ValueError("it breaks off before its entropy-coded data")
        before, after = walker.found[: walker.first_scan], walker.found[walker.first_scan :]
        if any(marker in markers.FRAME_HEADERS for marker, _ in after):
            raise ValueError("a second frame header")
        head = self._head
        if head is not None and data.startswith(head.data):
            return head
        frames = [each for each in before if each[0] in markers.FRAME_HEADERS]
        if len(frames) != 1:
            raise ValueError(f"{len(frames)} frame headers")
        at = before[-1][1]
        scan = entropy.read_scan(data, frames[0], at, walker.interval)
        lacks_tables = scan.is_baseline and all(marker != markers.DHT for marker, _ in before)
        head = _Head(data[:start], tuple(before), scan, at - 2 if lacks_tables else 0)
        if start <= _LONGEST_KEPT:
            self._head = head
        return head

    def _with_end(self, data: bytes, walker: Walker, head: _Head) -> bytes:
        """Return the picture with an end marker. Raises ValueError if more is missing."""
        if not walker.in_scan:
            if walker.scans[-1][1] != walker.at:
                raise ValueError("it breaks off between its scans")
            data = data[: walker.at]  # Here the next picture starts.
        if len(data) > markers.LARGEST:
            raise ValueError("it has no end")
        data = _without_padding(data)
        if self._trusted and 2 * len(data) > self._usual:
            self._trusted -= 1
            return data + _EOI
        end = entropy.end_of_scan(data, head.tables, head.scan, len(head.data))
        self._trusted, self._usual = _TRUSTED, end
        return data[:end] + _EOI


def _without_padding(data: bytes) -> bytes:
    """Return entropy-coded data without what cannot belong to it at its end."""
    tail = len(data) - _LONGEST_BOUNDARY
    boundary = _BOUNDARY.search(data, max(tail, 0))
    if boundary:
        data = data[: boundary.start()]
    if data.endswith(b"\xff"):
        return data.rstrip(b"\xff")  # Half an end marker.
    return data[: len(data.rstrip(b"\0")) + _MOST_ZEROS]
