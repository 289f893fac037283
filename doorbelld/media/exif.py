"""Exif: which way up a JPEG is to be shown. Pure bytes; browsers obey this, many programs do not.

An orientation is one of eight ways to flip and rotate a picture: 1 leaves it as it is, 2 mirrors
it, 3 turns it upside down, 6 rotates it clockwise by 90 degrees, 8 counterclockwise; 4, 5 and 7
are 3, 8 and 6 after mirroring. It stands in the Exif block, an APP1 segment before the picture.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from doorbelld.media import markers

AS_IT_IS = 1

_APP1 = 0xE1
_SIGNATURE = b"Exif\0\0"
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_TAG = 0x0112
_SHORT = 3
_ENTRY = 12
"""Bytes of an entry: tag, type, number of values, and the value, which fills half of its field."""

_TURNS = {1: (0, 0), 2: (1, 0), 3: (0, 2), 4: (1, 2), 5: (1, 3), 6: (0, 1), 7: (1, 1), 8: (0, 3)}
"""For each orientation: whether to mirror the picture, then how many quarters to rotate it."""

_ORIENTATIONS = {turns: orientation for orientation, turns in _TURNS.items()}


def orientation(data: bytes) -> int:
    """Return the orientation of a JPEG, 1..8; 1 if none is given, or it makes no sense."""
    for start, end in _blocks(data):
        return _read(data[start:end])
    return AS_IT_IS


def turned(orientation: int, rotation: int, hflip: bool, vflip: bool) -> int:
    """Return the orientation that shows a picture flipped, then rotated clockwise.

    ``orientation`` is the one that shows it upright, ``rotation`` is in degrees, a multiple of 90.
    """
    mirrored, quarters = _TURNS[orientation]
    if hflip != vflip:  # Mirroring turns the direction of a rotation round.
        mirrored, quarters = 1 - mirrored, -quarters
    quarters += 2 * vflip + rotation // 90
    return _ORIENTATIONS[mirrored, quarters % 4]


def with_orientation(data: bytes, orientation: int) -> bytes:
    """Return the JPEG with this orientation, and without any other Exif data.

    It is not decoded: the pixels are the same. If it has this orientation, it stays as it is.
    """
    blocks = list(_blocks(data))
    found = _read(data[slice(*blocks[0])]) if blocks else AS_IT_IS
    if found == orientation:
        return data
    parts, kept = [data[:2]], 2
    if orientation != AS_IT_IS:
        parts.append(_block(orientation))
    for start, end in blocks:
        parts.append(data[kept : start - 4])
        kept = end
    return b"".join([*parts, data[kept:]])


def _blocks(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the content of each Exif block starts and ends; the four bytes before belong."""
    for marker, at in markers.each_marker(data):
        if marker == markers.SOS:
            return
        if marker == _APP1 and data.startswith(_SIGNATURE, at + 2):
            yield at + 2, at + int.from_bytes(data[at : at + 2], "big")


def _block(orientation: int) -> bytes:
    """Return an APP1 segment that says this and nothing else."""
    tiff = struct.pack(">4sIHHHIH2xI", b"MM\0*", 8, 1, _TAG, _SHORT, 1, orientation, 0)
    content = _SIGNATURE + tiff
    return struct.pack(">BBH", 0xFF, _APP1, len(content) + 2) + content


def _read(block: bytes) -> int:
    """Return the orientation that an Exif block gives, whatever its bytes are."""
    tiff = block[len(_SIGNATURE) :]
    order = _BYTE_ORDERS.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return AS_IT_IS
    [at] = struct.unpack_from(f"{order}I", tiff, 4)
    directory = tiff[at:]
    if len(directory) < 2:
        return AS_IT_IS
    [count] = struct.unpack_from(f"{order}H", directory)
    entries = directory[2 : 2 + count * _ENTRY]
    whole = entries[: len(entries) // _ENTRY * _ENTRY]
    for tag, kind, values, value in struct.iter_unpack(f"{order}HHIH2x", whole):
        if tag == _TAG:
            sensible = kind == _SHORT and values == 1 and value in _TURNS
            return int(value) if sensible else AS_IT_IS
    return AS_IT_IS
