from __future__ import annotations

import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorbelld.media import jpeg, markers
from tests.support import pictures
from tests.support.daemon import ROOT

SMALL = pictures.jpeg(1)
OTHER = pictures.jpeg(2)
BIG = pictures.big_jpeg(40)


def with_thumbnail(data: bytes, thumbnail: bytes) -> bytes:
    """Return ``data`` with an EXIF-like segment that holds another JPEG."""
    content = b"Exif\0\0" + thumbnail
    return data[:2] + b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content + data[2:]


def decode(data: bytes) -> Any:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def split(stream: bytes, chunk: int) -> tuple[list[bytes], int]:
    splitter = jpeg.Splitter()
    found = []
    for start in range(0, len(stream), chunk):
        found += splitter.feed(stream[start : start + chunk])
    return found, splitter.invalid


class TestIsWhole:
    def test_from_start_to_end_of_image(self) -> None:
        assert jpeg.is_whole(SMALL)

    @pytest.mark.parametrize("data", [b"", b"\xff\xd8", SMALL[:-1], SMALL[1:], SMALL + b"\0"])
    def test_not_if_either_end_is_missing(self, data: bytes) -> None:
        assert not jpeg.is_whole(data)


class TestSize:
    @pytest.mark.parametrize(("width", "height"), [(64, 48), (1, 1), (1920, 1080), (333, 7)])
    def test_is_that_of_the_picture(self, width: int, height: int) -> None:
        assert jpeg.size(pictures.jpeg(0, width, height)) == (width, height)

    def test_is_not_that_of_the_thumbnail(self) -> None:
        assert jpeg.size(with_thumbnail(pictures.jpeg(0, 320, 240), SMALL)) == (320, 240)

    def test_is_found_after_fill_bytes_and_markers_without_length(self) -> None:
        assert jpeg.size(SMALL[:2] + b"\xff\x01\xff\xff" + SMALL[2:]) == (64, 48)

    def test_progressive(self) -> None:
        options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
        data = bytes(cv2.imencode(".jpg", np.zeros((20, 30, 3), np.uint8), options)[1])
        assert jpeg.size(data) == (30, 20)

    @given(st.binary(max_size=100))
    def test_of_anything_else_is_none(self, data: bytes) -> None:
        assert jpeg.size(b"\xff\xd8" + data.replace(b"\xff", b"")) is None

    @given(
        st.lists(
            st.tuples(
                st.integers(2, 700),
                st.sampled_from([0, 1, 2, 0xC0, 0xC4, 0xD8, 0xD9, 0xDA, 0xDB, 0xE0, 0xFE, 0xFF]),
            ),
            max_size=4,
        ),
        st.integers(0, 700),
    )
    @settings(max_examples=300)
    def test_of_damaged_headers_is_what_the_walk_along_the_markers_says(
        self, changes: list[tuple[int, int]], length: int
    ) -> None:
        data = bytearray(SMALL[:700])
        for place, byte in changes:
            data[place % len(data)] = byte
        damaged = bytes(data[:length])
        found = markers.header(damaged)
        assert jpeg.size(damaged) == ((found.width, found.height) if found else None)

    @given(st.integers(0, len(SMALL)))
    def test_of_a_part_is_right_or_none(self, cut: int) -> None:
        assert jpeg.size(SMALL[:cut]) in (None, (64, 48))


def progressive(width: int, height: int) -> bytes:
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    return bytes(cv2.imencode(".jpg", np.zeros((height, width), np.uint8), options)[1])


def with_byte(offset: int, value: int) -> bytes:
    """Return a JPEG with one byte of its frame header changed."""
    at = SMALL.index(b"\xff\xc0") + offset
    return SMALL[:at] + bytes([value]) + SMALL[at + 1 :]


def with_scans(count: int) -> bytes:
    data = progressive(64, 48)
    scans = count - data.count(b"\xff\xda")
    return data[:-2] + b"\xff\xda\0\x08\x01\x01\0\0\0\x01\0" * scans + data[-2:]


class TestBeforeDecoding:
    def test_limits_are_those_that_were_measured(self) -> None:
        """More takes more memory than small machines have; fewer leaves out real cameras."""
        assert 4056 * 3040 <= jpeg.MOST_PIXELS_DECODED < 13_000_000
        assert 7680 * 4320 <= jpeg.MOST_PIXELS <= 50_000_000
        assert jpeg.LARGEST == 16 * 1024 * 1024

    @pytest.mark.parametrize("size", [(4096, 3073), (8000, 8000), (65535, 65535), (65535, 193)])
    def test_too_many_pixels(self, size: tuple[int, int]) -> None:
        with pytest.raises(jpeg.TooLargeError, match=f"{size[0]}x{size[1]}"):
            markers.check_before_decoding(pictures.claiming(*size))

    @pytest.mark.parametrize(
        "data",
        [
            SMALL,
            BIG,
            with_thumbnail(BIG, SMALL),
            with_scans(32),
            progressive(640, 480),
            pictures.jpeg(0, 4096, 3072),
            SMALL[:2] + b"\xff\x01\xff\xff" + SMALL[2:],
        ],
    )
    def test_what_cameras_make(self, data: bytes) -> None:
        markers.check_before_decoding(data)


class TestSplitter:
    @pytest.mark.parametrize("chunk", [1, 2, 3, 1000, 1_000_000])
    def test_finds_every_picture_however_the_stream_is_cut(self, chunk: int) -> None:
        stream = SMALL + OTHER + BIG + SMALL
        assert split(stream, chunk) == ([SMALL, OTHER, BIG, SMALL], 0)

    @pytest.mark.parametrize("chunk", [1, 7, 1_000_000])
    def test_thumbnail_is_not_taken_for_a_picture(self, chunk: int) -> None:
        picture = with_thumbnail(BIG, SMALL)
        assert split(picture + picture, chunk) == ([picture, picture], 0)

    @given(st.binary(max_size=30), st.binary(max_size=30), st.integers(1, 40))
    def test_bytes_between_pictures_are_skipped(
        self, before: bytes, between: bytes, chunk: int
    ) -> None:
        junk = before.replace(b"\xff\xd8", b""), between.replace(b"\xff\xd8", b"")
        found, _ = split(junk[0] + SMALL + junk[1] + OTHER, chunk)
        assert found == [SMALL, OTHER]

    def test_a_picture_that_breaks_off_is_counted_and_the_next_is_found(self) -> None:
        assert split(BIG[:20_000] + SMALL + OTHER, 1000) == ([SMALL, OTHER], 1)

    def test_the_thumbnail_of_a_broken_picture_is_not_shown_as_a_picture(self) -> None:
        segment_end = 2 + 2 + 2 + len(b"Exif00") + len(OTHER)
        broken = with_thumbnail(BIG, OTHER)[:segment_end] + b"no marker"
        found, invalid = split(broken + SMALL, 1000)
        assert (found, invalid) == ([SMALL], 1)

    def test_fill_bytes_and_markers_without_length_do_not_end_a_picture(self) -> None:
        odd = SMALL[:2] + b"\xff\x01\xff\xff" + SMALL[2:]
        assert split(odd + SMALL, 1) == ([odd, SMALL], 0)

    def test_a_second_scan_belongs_to_the_picture(self) -> None:
        options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
        data = bytes(cv2.imencode(".jpg", decode(BIG), options)[1])
        assert data.count(b"\xff\xda") > 1
        assert split(data + SMALL, 1000) == ([data, SMALL], 0)

    def test_too_many_segments_are_not_a_picture(self) -> None:
        many = SMALL[:2] + b"\xff\xe0\0\2" * markers.MOST_SEGMENTS + SMALL[2:]
        assert split(many + OTHER, 1000) == ([OTHER], 1)
        assert jpeg.size(many) is None
        fewer = SMALL[:2] + b"\xff\xe0\0\2" * 1000 + SMALL[2:]
        assert split(fewer + OTHER, 1000) == ([fewer, OTHER], 0)
        assert jpeg.size(fewer) == (64, 48)

    def test_restart_markers_are_data(self) -> None:
        options = [cv2.IMWRITE_JPEG_RST_INTERVAL, 1]
        data = bytes(cv2.imencode(".jpg", decode(BIG), options)[1])
        assert b"\xff\xd0" in data
        assert split(data + SMALL, 1000) == ([data, SMALL], 0)

    def test_its_memory_is_bounded(self) -> None:
        splitter = jpeg.Splitter(limit=100_000)
        endless = BIG[: BIG.index(b"\xff\xda") + 20]
        for _ in range(50):
            assert splitter.feed(endless + bytes(10_000)) == []
            endless = b""
            assert len(splitter._buffer) <= 110_000
        assert splitter.invalid == 1
        assert splitter.feed(SMALL) == [SMALL]

    @settings(max_examples=30)
    @given(
        st.lists(st.sampled_from([b"\xff", b"\xd8", b"\xd9", b"\xda", b"\0", SMALL]), max_size=60)
    )
    def test_any_bytes_are_split_in_the_same_way_however_they_arrive(
        self, pieces: list[bytes]
    ) -> None:
        stream = b"".join(pieces)
        whole, _ = split(stream, 1_000_000)
        assert split(stream, 1)[0] == whole
        assert all(jpeg.is_whole(picture) for picture in whole)


@pytest.mark.process
def test_knowing_jpegs_needs_no_opencv() -> None:
    script = """
import sys
from doorbelld.media import jpeg, markers
jpeg.Splitter().feed(b"abc"), jpeg.size(b"abc"), jpeg.is_whole(b"abc")
sys.exit("cv2" in sys.modules or "numpy" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    "data",
    [
        pictures.claiming(64, 0),
        pictures.claiming(0, 48),
        pictures.claiming(4096, 3072),
        with_byte(1, 0xC3),
        with_byte(1, 0xC9),
        with_byte(4, 12),
        with_byte(9, 2),
        with_byte(9, 5),
        SMALL[:2] + pictures.jpeg(0, 640, 480)[2:-2] + SMALL[2:],
        with_scans(33),
        with_scans(10_000),
        SMALL[:-2],
        SMALL[:2] + b"junk" + SMALL[2:],
        SMALL[:2] + b"\xff\xe0\0\2" * 3000 + SMALL[2:],
        SMALL[: SMALL.index(b"\xff\xc0") + 6],
        b"\xff\xd8\xff\xd9",
        b"",
    ],
)
def test_what_no_camera_makes_is_not_decoded(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # any of them
        markers.check_before_decoding(data)
