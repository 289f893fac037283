from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorbelld.media import codec, exif, jpeg
from tests.support import pictures
from tests.support.cost import assert_cheap

ALL = range(1, 9)
TURNS = [
    (rotation, hflip, vflip)
    for rotation in (0, 90, 180, 270)
    for hflip in (False, True)
    for vflip in (False, True)
]
PLAIN = pictures.jpeg(3)


def corners() -> bytes:
    """Return a JPEG whose four corners differ."""
    image = np.zeros((32, 64, 3), np.uint8)
    image[:16, :32], image[:16, 32:], image[16:, :32] = 240, 160, 80
    return bytes(cv2.imencode(".jpg", image)[1])


def shown(data: bytes) -> Any:
    """Return a picture as a program that obeys its orientation shows it."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return image


def alike(one: Any, other: Any) -> bool:
    return bool(one.shape == other.shape and np.abs(one.astype(int) - other).max() < 20)


def segment(content: bytes, marker: int = 0xE1) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def tiff(order: str, *entries: bytes, count: int | None = None, at: int = 8) -> bytes:
    """Return an Exif block with these entries; ``order`` is < or > as in struct."""
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", at)
    number = struct.pack(f"{order}H", len(entries) if count is None else count)
    return b"Exif\0\0" + start + number + b"".join(entries) + bytes(4)


def entry(order: str, value: int, *, tag: int = 0x0112, kind: int = 3, values: int = 1) -> bytes:
    return struct.pack(f"{order}HHIHH", tag, kind, values, value, 0)


def with_segments(*segments: bytes) -> bytes:
    return PLAIN[:2] + b"".join(segments) + PLAIN[2:]


class TestOrientation:
    def test_of_a_picture_without_exif_is_1(self) -> None:
        assert exif.orientation(PLAIN) == 1

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("value", ALL)
    def test_is_read_in_either_byte_order(self, order: str, value: int) -> None:
        entries = [entry(order, 9, tag=0x0100), entry(order, value), entry(order, 9, tag=0x0131)]
        data = with_segments(segment(b"JFIF\0", 0xE0), segment(tiff(order, *entries)))
        assert exif.orientation(data) == value

    @pytest.mark.parametrize(
        "block",
        [
            b"",
            b"Exif\0\0",
            b"Exif\0\0MM\0*",
            b"Exif\0\0XX\0*" + bytes(100),
            b"http://ns.adobe.com/xap/1.0/\0" + tiff(">", entry(">", 6)),
            tiff(">", entry(">", 0)),
            tiff(">", entry(">", 9)),
            tiff(">", entry(">", 6, kind=4)),
            tiff(">", entry(">", 6, values=2)),
            tiff(">", entry(">", 6), at=0xFFFFFFFF),
            tiff(">", entry(">", 6), count=0),
            tiff(">", entry(">", 6))[:-6],
            tiff(">", count=0xFFFF),
        ],
    )
    def test_that_makes_no_sense_is_1(self, block: bytes) -> None:
        data = with_segments(segment(block))
        assert exif.orientation(data) == 1
        assert exif.orientation(exif.with_orientation(data, 6)) == 6

    def test_after_the_picture_is_not_read(self) -> None:
        assert exif.orientation(PLAIN[:-2] + segment(tiff(">", entry(">", 6))) + PLAIN[-2:]) == 1

    @given(st.binary(max_size=60), st.sampled_from([b"", b"Exif\0\0MM\0*", b"Exif\0\0II*\0\x08\0"]))
    def test_of_whatever_bytes_is_one_of_eight(self, rest: bytes, start: bytes) -> None:
        for data in (with_segments(segment(start + rest)), PLAIN[:2] + rest, start + rest):
            assert exif.orientation(data) in ALL
            exif.with_orientation(data, 6)

    @settings(deadline=None)
    @given(st.integers(0, 70000))
    def test_of_a_picture_that_is_cut_off_is_one_of_eight(self, length: int) -> None:
        data = with_segments(segment(tiff("<", *[entry("<", 1, tag=1)] * 5000, entry("<", 8))))
        assert exif.orientation(data[:length]) in (1, 8)

    def test_takes_little_time_whatever_the_exif_data(self) -> None:
        full = segment(tiff(">", *[entry(">", 6, tag=1)] * 5400, count=0xFFFF))
        data = with_segments(*[full] * 200)
        assert_cheap(lambda: exif.orientation(data))
        assert_cheap(lambda: exif.with_orientation(data, 6))


class TestTurned:
    @pytest.mark.parametrize("orientation", ALL)
    @pytest.mark.parametrize(("rotation", "hflip", "vflip"), TURNS)
    def test_shows_the_picture_turned(
        self, orientation: int, rotation: int, hflip: bool, vflip: bool
    ) -> None:
        data = exif.with_orientation(corners(), orientation)
        wanted = codec.turn(shown(data), rotation, hflip, vflip)
        turned = exif.turned(orientation, rotation, hflip, vflip)
        assert alike(shown(exif.with_orientation(data, turned)), wanted)


class TestWithOrientation:
    @pytest.mark.parametrize("orientation", ALL)
    def test_can_be_read_again(self, orientation: int) -> None:
        data = exif.with_orientation(PLAIN, orientation)
        assert exif.orientation(data) == orientation
        assert jpeg.is_whole(data)
        assert jpeg.size(data) == jpeg.size(PLAIN)
        assert len(data) - len(PLAIN) == (0 if orientation == 1 else 36)

    @pytest.mark.parametrize("before", ALL)
    @pytest.mark.parametrize("after", ALL)
    def test_takes_the_place_of_the_one_before(self, before: int, after: int) -> None:
        data = exif.with_orientation(exif.with_orientation(PLAIN, before), after)
        assert data == exif.with_orientation(PLAIN, after)

    def test_leaves_everything_but_exif_data(self) -> None:
        first, second, profile, note = (
            segment(tiff("<", entry("<", 3))),
            segment(tiff(">", entry(">", 6))),
            segment(b"ICC_PROFILE\0\1\1", 0xE2),
            segment(b"http://ns.adobe.com/xap/1.0/\0"),
        )
        data = with_segments(profile, first, note, b"\xff", second)
        turned = exif.with_orientation(data, 8)
        ours = exif.with_orientation(b"\xff\xd8\xff\xd9", 8)[2:-2]
        assert turned == with_segments(ours, profile, note, b"\xff")
