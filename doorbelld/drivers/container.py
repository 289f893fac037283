"""Container: what a video file says about itself in its header, read without OpenCV.

OpenCV does not say why it cannot play a file, and which way up the picture belongs it reports
differently in each version.
"""

from __future__ import annotations

import itertools
import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_HEADER = 64 * 1024
"""Bytes: in Matroska and AVI the codecs are named in them."""

_MOST_BOXES = 10_000
"""In one box of an MP4: a damaged file may seem to have more for ever."""

ENCRYPTED = "is encrypted"

_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp")
_ENCRYPTED_CODES = ("encv", "drmi")
_MATROSKA = b"\x1a\x45\xdf\xa3"
_SOUND = re.compile(
    rb"ID3|fLaC|#!AMR|\xff[\xe2-\xff]|RIFF....WAVE|FORM....AIF|OggS(?!.*theora)", re.DOTALL
)
"""How files start that hold nothing but sound."""

_NAMES = {
    "H.264": "avc1 avc3 h264 v_mpeg4/iso/avc",
    "H.265": "hvc1 hev1 hevc h265 dvh1 dvhe v_mpegh/iso/hevc",
    "H.266": "vvc1 vvi1 v_mpegi/iso/vvc",
    "AV1": "av01 v_av1",
    "VP8": "vp08 vp80 v_vp8",
    "VP9": "vp09 vp90 v_vp9",
    "ProRes": "apch apcn apcs apco ap4h ap4x aprh aprn v_prores",
    "WebP": "webp",
}
_NAME_OF = {code: name for name, codes in _NAMES.items() for code in codes.split()}


class Box(NamedTuple):
    """A box of an MP4 or QuickTime file: its type, and where its content starts and ends."""

    kind: bytes
    start: int
    end: int


class Contents(NamedTuple):
    """What a file says about itself.

    ``fault`` is what keeps everyone from playing it, without the file's name: ``"is encrypted"``.
    ``codec`` is the video's, for the user. ``rotation`` is by how many degrees clockwise (0, 90,
    180 or 270) the picture has to be turned to be upright. What is not known is empty or None.
    """

    fault: str = ""
    codec: str = ""
    rotation: int | None = None


def look_into(path: Path) -> Contents:
    """Return what the file says about itself; nothing if it cannot be read or is of no known kind.

    A file of a known kind that is damaged counts as far as it can be understood.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_HEADER)
            if start[4:8] in _FIRST_BOXES:
                size = file.seek(0, 2)
                return _look_into_boxes(file, size)
    except (OSError, struct.error):
        return Contents()
    return _look_into_header(start)


def name_codec(code: str) -> str:
    """Return a codec's name for the user; its code if that has no name, empty if it is no text."""
    code = code.strip(" \0")
    known = _NAME_OF.get(code.lower())
    return known or (code if code.isascii() and code.isprintable() else "")


def _look_into_header(start: bytes) -> Contents:
    if start.startswith(_MATROSKA):
        found = re.search(rb"\x86[\x81-\xff](V_[A-Z0-9/_]+)", start)
        if not found and re.search(rb"\x86[\x81-\xff]A_[A-Z0-9/_]+", start):
            return Contents("has only sound")
    elif start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        found = re.search(rb"vids(\w{4})", start)
        if not found and b"auds" in start:
            return Contents("has only sound")
    elif _SOUND.match(start):
        return Contents("has only sound")
    else:
        found = None
    return Contents(codec=name_codec(found[1].decode("ascii")) if found else "")


def _look_into_boxes(file: BinaryIO, size: int) -> Contents:
    """Return the contents of an MP4 or QuickTime file, as every phone records."""
    top = list(_boxes(file, Box(b"", 0, size)))
    movie = next((box for box in top if box.kind == b"moov" and box.end <= size), None)
    if movie is None:
        if any(box.kind == b"meta" for box in top):  # HEIC and AVIF
            return Contents("has a picture, but no video")
        return Contents("is incomplete: its index, which is written last, is missing")
    kinds = set()
    for track in _boxes(file, movie):
        if track.kind != b"trak":
            continue
        kind = _content(file, track, b"mdia", b"hdlr")[8:12]
        kinds.add(kind)
        if kind == b"vide":
            return _describe(file, track, is_cut=top[-1].end > size)
    return Contents("has only sound" if b"soun" in kinds else "has no video")


def _describe(file: BinaryIO, track: Box, *, is_cut: bool) -> Contents:
    """Return what the video's track says."""
    rotation = _rotation(_content(file, track, b"tkhd"))
    # A count of entries comes first, then the first entry's size and its type.
    entries = _content(file, track, b"mdia", b"minf", b"stbl", b"stsd")
    code = entries[12:16].decode("latin-1")
    if code in _ENCRYPTED_CODES:
        return Contents(ENCRYPTED, rotation=rotation)
    fault = "is incomplete: it has been cut off" if is_cut else ""
    return Contents(fault, name_codec(code), rotation)


def _rotation(header: bytes) -> int:
    """Return the rotation in the matrix of a track header, 0 if it has none."""
    at = 52 if header[:1] == b"\1" else 40  # version 1 has longer times
    if len(header) < at + 8:
        return 0
    right, down = struct.unpack_from(">ii", header, at)  # where the picture's x axis points to
    return round(math.degrees(math.atan2(down, right)) / 90) % 4 * 90


def _content(file: BinaryIO, box: Box, *path: bytes) -> bytes:
    """Return the start of the box that is found by going down ``path``; empty if there is none."""
    for kind in path:
        found = next((inner for inner in _boxes(file, box) if inner.kind == kind), None)
        if found is None:
            return b""
        box = found
    file.seek(box.start)
    return file.read(min(box.end - box.start, _HEADER))


def _boxes(file: BinaryIO, outer: Box) -> Iterator[Box]:
    """Yield the boxes in another one. The last may end beyond it, if the file was cut off."""
    at = outer.start
    for _ in itertools.repeat(None, _MOST_BOXES):
        file.seek(at)
        header = file.read(min(16, outer.end - at))
        if len(header) < 8:
            return
        size, kind = struct.unpack_from(">I4s", header)
        start = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", header, 8)
            start = at + 16
        elif size == 0:
            size = outer.end - at
        if size < start - at:
            return
        yield Box(kind, start, at + size)
        at += size
        if at >= outer.end:
            return
