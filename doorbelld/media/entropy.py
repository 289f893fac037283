"""Entropy: how far the coded data of a scan reaches, found without decoding a pixel.

A picture that lost its second half looks like one whose camera writes no end marker. Only its
Huffman codes show the difference: whether there is one for every block.
"""

from __future__ import annotations

import functools
import math
import re
from array import array
from collections.abc import Sequence
from typing import NamedTuple

_BASELINE = frozenset([0xC0, 0xC1])
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_RESTARTS = bytes(range(0xD0, 0xD8))
_BLOCK = 64
"""Coefficients."""

_MOST_CHECKED = 512 * 1024
"""Bytes. Python takes about 0.2 seconds for as many, which is enough for one picture."""

_REFILL = 16
"""Bytes."""

_ENOUGH = 16 + 31
"""Bits: a code, and the most that a code and its number take together."""


def _dht(*tables: str) -> bytes:
    payload = b"".join(map(bytes.fromhex, tables))
    return b"\xff\xc4" + (len(payload) + 2).to_bytes(2, "big") + payload


STANDARD_TABLES = _dht(
    # Class and number, how many codes there are of each length, and their symbols.
    "00 00010501010101010100000000000000 000102030405060708090a0b",
    "10 0002010303020403050504040000017d 01020300041105122131410613516107"
    "227114328191a1082342b1c11552d1f02433627282090a161718191a25262728"
    "292a3435363738393a434445464748494a535455565758595a63646566676869"
    "6a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7"
    "a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2"
    "e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa",
    "01 00030101010101010101010000000000 000102030405060708090a0b",
    "11 00020102040403040705040400010277 0001020311040521310612415107617113"
    "22328108144291a1b1c109233352f0156272d10a162434e125f11718191a2627"
    "28292a35363738393a434445464748494a535455565758595a63646566676869"
    "6a737475767778797a82838485868788898a92939495969798999aa2a3a4a5a6"
    "a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2"
    "e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa",
)
"""A DHT segment with the Huffman tables of Annex K of the JPEG standard. Motion JPEG of the AVI
kind, which some webcams send, leaves them out."""


class Scan(NamedTuple):
    """How the first scan of a picture is coded.

    ``blocks`` has, for each block of a unit (MCU), the numbers of its tables for the first
    coefficient and for the others. A restart marker stands between every ``interval`` units, if
    that is not 0. ``units`` is 0 if the scan has only a part of the components.
    """

    blocks: tuple[tuple[int, int], ...]
    units: int
    interval: int
    is_baseline: bool


def read_scan(data: bytes, frame: tuple[int, int], at: int, interval: int) -> Scan:
    """Return how the scan is coded whose segment begins at ``at``.

    ``frame`` is the marker of the frame header, and where its segment begins. Raises ValueError if
    the two do not fit together: then no browser shows the picture.
    """
    coding, start = frame
    header = data[start : start + int.from_bytes(data[start : start + 2], "big")]
    if len(header) < 8 or len(header) != 8 + 3 * header[7]:
        raise ValueError("a frame header of the wrong length")
    height, width = (int.from_bytes(header[i : i + 2], "big") for i in (3, 5))
    sampling = {header[i]: divmod(header[i + 1], 16) for i in range(8, len(header), 3)}
    if not (width and height):
        raise ValueError("no size in the frame header")
    length, count = int.from_bytes(data[at : at + 2], "big"), data[at + 2]
    if not 1 <= count <= 4 or length != 6 + 2 * count:
        raise ValueError("a scan header of the wrong length")
    chosen = [(data[i], *divmod(data[i + 1], 16)) for i in range(at + 3, at + 3 + 2 * count, 2)]
    if any(component not in sampling for component, _, _ in chosen):
        raise ValueError("a scan of a component that is not there")
    if not all(1 <= h <= 4 and 1 <= v <= 4 for h, v in sampling.values()):
        raise ValueError("a frame header that makes no sense")
    widest, highest = (max(each) for each in zip(*sampling.values()))
    if len(sampling) == 1:  # Then a unit is one block.
        sampling, widest, highest = {header[8]: (1, 1)}, 1, 1
    units = -(-width // (8 * widest)) * -(-height // (8 * highest))
    blocks = tuple(
        (first, others)
        for component, first, others in chosen
        for _ in range(math.prod(sampling[component]))
    )
    is_whole = len(chosen) == len(sampling)
    return Scan(blocks, units if is_whole else 0, interval, coding in _BASELINE)


def check_restarts(data: bytes, start: int, end: int, units: int, interval: int) -> None:
    """Check the restart markers in a scan.

    They count from 0 to 7, over and over. Where one is missing, a part of the picture was lost.
    Raises ValueError. ``units`` is how many there are, 0 if that is not known.
    """
    there = b"".join(_RESTART.findall(data, start, end))
    if there != (_RESTARTS * (len(there) // 8 + 1))[: len(there)]:
        raise ValueError("a part is missing: its restart markers are out of order")
    if units and len(there) < (units - 1) // interval:
        raise ValueError("a part is missing: it has too few restart markers")


def end_of_scan(data: bytes, tables: Sequence[int], scan: Scan, start: int) -> int:
    """Return where the last unit of a scan ends that starts at ``start``, and has no end marker.

    ``tables`` are the places of the DHT segments. The last unit may have lost a byte or two:
    some drivers cut them off. Raises ValueError if more than that is missing.
    """
    if not (scan.is_baseline and scan.units) or len(data) - start > _MOST_CHECKED:
        return len(data)
    left = scan.units
    if scan.interval:
        restarts = [found.end() for found in _RESTART.finditer(data, start)]
        left -= len(restarts) * scan.interval
        start = restarts[-1] if restarts else start
    if left <= 0:
        return len(data)
    known = _read_tables(data, tables)
    try:
        blocks = [
            (_table(*known[first], False), _table(*known[0x10 + others], True))
            for first, others in scan.blocks
        ]
    except KeyError as error:
        raise ValueError("a Huffman table is missing") from error
    coded = data[start:].replace(b"\xff\0", b"\xff")
    units, used = _decode(coded, blocks, left)
    if units < left - 1:
        raise ValueError("it breaks off before its last block")
    used = min(used, len(coded))
    return min(start + used + coded.count(b"\xff", 0, used), len(data))


def _decode(coded: bytes, blocks: Sequence[tuple[_Table, _Table]], units: int) -> tuple[int, int]:
    """Return how many of so many units are there, and how many bytes they take."""
    bits = bits_left = at = 0
    for unit in range(units):
        for first, others in blocks:
            table, known = first, 0
            while known < _BLOCK:
                if bits_left < _ENOUGH:
                    more = coded[at : at + _REFILL].ljust(_REFILL, b"\0")
                    bits = (bits & ((1 << bits_left) - 1)) << 8 * _REFILL
                    bits |= int.from_bytes(more, "big")
                    bits_left += 8 * _REFILL
                    at += _REFILL
                entry = table[(bits >> (bits_left - 16)) & 0xFFFF]
                if not entry:
                    raise ValueError("a code that is in no Huffman table")
                bits_left -= entry & 31
                known += entry >> 5
                table = others
        if 8 * at - bits_left > 8 * len(coded):
            return unit, len(coded)
    return units, at - bits_left // 8


_Table = Sequence[int]
"""For the next 16 bits: how many coefficients its code stands for, times 32, and how many bits
the code and its number take. 0 if it is no code."""


def _read_tables(data: bytes, places: Sequence[int]) -> dict[int, tuple[bytes, bytes]]:
    """Return the Huffman tables by class and number; the standard ones if there are no places.

    Each is how many codes there are of each length, and their symbols: a header may replace its
    tables many thousand times, so only those that are used are built.
    """
    known: dict[int, tuple[bytes, bytes]] = {}
    for place in places or [2]:
        segments = data if places else STANDARD_TABLES
        at, end = place + 2, place + int.from_bytes(segments[place : place + 2], "big")
        while at < end:
            kind, lengths, start = segments[at], segments[at + 1 : at + 17], at + 17
            at = start + sum(lengths)
            if at > end:
                raise ValueError("a Huffman table that is cut off")
            known[kind] = lengths, segments[start:at]
    return known


@functools.lru_cache(maxsize=4)
def _table(lengths: bytes, symbols: bytes, is_for_others: bool) -> _Table:
    table = array("H")
    number = 0
    for length, count in enumerate(lengths, 1):
        if len(table) + (count << (16 - length)) > 1 << 16:
            raise ValueError("a Huffman table with too many codes")
        for symbol in symbols[number : number + count]:
            run, size = divmod(symbol, 16) if is_for_others else (0, symbol % 16)
            known = _BLOCK if is_for_others and size == 0 and run < 15 else run + 1
            table += array("H", [known * 32 + length + size]) * (1 << (16 - length))
        number += count
    return table + array("H", [0]) * ((1 << 16) - len(table))
