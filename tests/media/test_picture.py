"""What a picture is, whatever a camera or a phone puts into it, behind it, or leaves out."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorbelld.media import entropy, jpeg, markers
from doorbelld.media.entropy import STANDARD_TABLES
from doorbelld.media.picture import Checker, mend
from doorbelld.media.splitter import Splitter
from tests.support import pictures
from tests.support.cost import assert_cheap, cpu_bound
from tests.support.fuzzing import examples
from tests.support.pictures import segment, with_segments

PICTURE = pictures.encoded(pictures.scene())
OTHER = pictures.jpeg(2)
OPTIMIZED = pictures.encoded(pictures.scene(), cv2.IMWRITE_JPEG_OPTIMIZE, 1)
GREY = pictures.encoded(pictures.scene()[:, :, 0])
SCAN = PICTURE.index(b"\xff\xda") + 14
RESTARTS = pictures.with_restarts()
APP0 = slice(2, 20)
JFIF = PICTURE[APP0]
EXIF = segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08" + bytes(6) + OTHER)


def decoded(data: bytes) -> Any:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def with_byte(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]


def after(data: bytes, marker: int, offset: int) -> int:
    """Return a place in the segment of a marker."""
    return data.index(bytes([0xFF, marker])) + offset


SAMPLINGS = [0x411111, 0x221111, 0x211111, 0x121111, 0x111111]
GOOD = {
    "baseline": PICTURE,
    "optimized": OPTIMIZED,
    "grey": GREY,
    "progressive": pictures.progressive(),
    "restart markers": RESTARTS,
    "a restart marker after each unit": pictures.with_restarts(1),
    "four components": pictures.cmyk(),
    "thumbnail": with_segments(PICTURE, EXIF),
    "another thumbnail": with_segments(PICTURE, segment(0xED, OTHER * 3)),
    "many segments": with_segments(PICTURE, *[segment(0xE5, bytes(30))] * 1000),
    "long segments": with_segments(PICTURE, *[segment(0xEA, bytes(60_000))] * 3),
    "colour profile": with_segments(PICTURE, segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(3000))),
    "JFIF after Exif": PICTURE[:2] + EXIF + PICTURE[2:],
    "a comment first": with_segments(PICTURE, segment(0xFE, b"\xff\xd8\xff\xd9")),
    "no JFIF": PICTURE[:2] + PICTURE[20:],
    "AVI": PICTURE[:2] + segment(0xE0, b"AVI1" + bytes(10)) + PICTURE[20:],
    "fill bytes": PICTURE[:20] + b"\xff\xff\xff" + PICTURE[20:-2] + b"\xff\xff" + PICTURE[-2:],
    "a marker without length": PICTURE[:2] + b"\xff\x01" + PICTURE[2:],
    "a comment behind the scan": PICTURE[:-2] + segment(0xFE, b"text") + PICTURE[-2:],
    "arithmetic coding": with_byte(PICTURE, after(PICTURE, 0xC0, 1), 0xC9),
    "lossless": with_byte(PICTURE, after(PICTURE, 0xC0, 1), 0xC3),
    "12 bits": with_byte(PICTURE, after(PICTURE, 0xC0, 4), 12),
    "zeros in the scan": pictures.huge_jpeg(1),
    **{
        f"sampling {each:x}": pictures.encoded(
            pictures.scene(), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, each
        )
        for each in SAMPLINGS
    },
}
NO_SECOND = ("arithmetic coding", "lossless", "12 bits")

BEHIND = {
    "zeros": bytes(5),
    "many zeros": bytes(100_000),
    "fill bytes": b"\xff" * 50,
    "line breaks": b"\r\n",
    "a line break and a zero": b"\n\0",
    "a byte": b"\xd9",
    "a second end": b"\xff\xd9",
    "the next picture's start": b"\xff\xd8",
    "half a picture": OTHER[:200],
    "a picture": OTHER,
    "two pictures": PICTURE + OTHER,
    "a phone's notes": b"\0\0\x01\n\x0e\0\0\0Image_UTC_Data1574SEFH\0\0\0\x18\0\0\0SEFT",
    "a film": b"\0\0\0\x18ftypmp42" + PICTURE[500:] * 20 + b"\xff\xd9",
    "the last picture's rest": PICTURE[700:],
    "markers": b"\xff\xe0\xff\xc0\xff\xda\xff\xd0",
}
WITHOUT_END = {
    "nothing": b"",
    "half an end": b"\xff",
    "fill bytes": b"\xff" * 20,
    "zeros": bytes(1000),
    "a line break": b"\r\n",
    "a stray byte": b"\x55",
    "a boundary": b"\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 1234\r\n\r\n",
    "the next picture": OTHER,
    "half the next picture": OTHER[:100],
}


class TestGoodPicture:
    @pytest.mark.parametrize("data", GOOD.values(), ids=list(GOOD))
    def test_stays_as_it_is(self, data: bytes) -> None:
        checker = Checker()
        for _ in range(3):
            assert checker.mend(data) is data
        assert Splitter().feed(data) == [data]

    @pytest.mark.parametrize("behind", BEHIND.values(), ids=list(BEHIND))
    @pytest.mark.parametrize("kind", GOOD)
    def test_loses_what_is_behind_it(self, kind: str, behind: bytes) -> None:
        checker = Checker()
        for _ in range(2):
            assert checker.mend(GOOD[kind] + behind) == GOOD[kind]

    def test_loses_line_breaks_before_it(self) -> None:
        assert mend(b"\r\n\r\n" + PICTURE) == PICTURE
        with pytest.raises(ValueError, match="not a JPEG"):
            mend(b" " * 100 + PICTURE)

    def test_of_several_is_the_first(self) -> None:
        data = pictures.phone_picture(PICTURE, OTHER, OTHER + OTHER)
        assert mend(data) == data[: -2 * len(OTHER)]
        assert jpeg.size(mend(data)) == (160, 120)


CODED = sorted(set(GOOD) - {*NO_SECOND, "zeros in the scan", "a comment behind the scan"})


class TestPictureWithoutEndMarker:
    @pytest.mark.parametrize("tail", WITHOUT_END.values(), ids=list(WITHOUT_END))
    @pytest.mark.parametrize("kind", CODED)
    def test_gets_one(self, kind: str, tail: bytes) -> None:
        whole = GOOD[kind].replace(b"\xff\xff\xff\xd9", b"\xff\xd9")
        found = mend(whole[:-2] + tail)
        if kind == "progressive":  # Its end cannot be found so well.
            assert found.startswith(whole[:-2])
            assert (decoded(found) == decoded(whole)).all()
        else:
            assert found == whole

    def test_gets_one_if_its_coding_is_unknown(self) -> None:
        for kind in NO_SECOND[:2]:
            assert mend(GOOD[kind][:-2]) == GOOD[kind]

    def test_may_have_lost_a_byte_more(self) -> None:
        """OpenCV before 4.11 cuts off up to three bytes."""
        found = mend(PICTURE[:-3])
        assert found == PICTURE[:-3] + b"\xff\xd9"
        assert np.abs(decoded(found).astype(int) - decoded(PICTURE)).mean() < 1

    @pytest.mark.parametrize("number", range(16))
    def test_may_end_in_a_zero(self, number: int) -> None:
        whole = pictures.jpeg(number)
        assert mend(whole[:-2]) == whole
        assert mend(whole[:-2] + bytes(9)) == whole

    @pytest.mark.parametrize("kind", [*CODED, "12 bits"])
    def test_must_have_all_its_blocks(self, kind: str) -> None:
        data = GOOD[kind]
        if kind in ("progressive", "four components"):
            return
        start = data.rindex(b"\xff\xda") + 14
        for part in (0.1, 0.5, 0.9):
            cut = data[: start + int((len(data) - start) * part)]
            for tail in (b"", b"\xff", bytes(9), OTHER, b"\r\n--frame\r\n\r\n"):
                with pytest.raises(ValueError, match=r"breaks off|is missing|no Huffman table"):
                    mend(cut + tail)
            splitter = Splitter()
            assert splitter.feed(cut + OTHER) == [OTHER]
            assert splitter.invalid == 1

    def test_is_trusted_if_the_last_one_had_all_its_blocks(self) -> None:
        checker = Checker()
        for _ in range(3):
            assert checker.mend(PICTURE[:-2]) == PICTURE
        with cpu_bound(len(PICTURE), 0.001):
            assert checker.mend(PICTURE[:-2]) == PICTURE
        with pytest.raises(ValueError, match="breaks off"):
            checker.mend(PICTURE[: len(PICTURE) // 3])
        # Another kind of camera may follow, or the same one with another firmware.
        assert checker.mend(PICTURE) == PICTURE
        with pytest.raises(ValueError, match="breaks off"):
            checker.mend(PICTURE[:-1000])

    def test_in_a_stream_ends_where_the_next_one_starts(self) -> None:
        for between in (b"", b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n"):
            splitter = Splitter()
            stream = (between + PICTURE[:-2]) * 5
            assert splitter.feed(stream) == [PICTURE] * 4
            assert [piece.picture for piece in splitter.end()] == [PICTURE]
            assert splitter.invalid == 0

    def test_is_counted_if_the_stream_ends_inside_it(self) -> None:
        for cut in (10, 300, SCAN, len(PICTURE) // 2):
            splitter = Splitter()
            assert splitter.feed(PICTURE + PICTURE[:cut]) == [PICTURE]
            assert splitter.end() == []
            assert splitter.invalid == 1

    def test_at_the_end_of_a_stream_does_not_hide_a_picture(self) -> None:
        splitter = Splitter()
        claim = b"\xff\xd8\xff\xdb\xff\xff"  # a segment that claims 64 KiB
        assert splitter.feed(claim + OTHER) == []
        assert [piece.picture for piece in splitter.end()] == [OTHER]
        assert splitter.invalid == 1


class TestPictureWithoutTables:
    @pytest.mark.parametrize("kind", ["baseline", "grey", "restart markers", "AVI", "thumbnail"])
    def test_gets_the_standard_ones(self, kind: str) -> None:
        data = GOOD[kind]
        tables = data.index(b"\xff\xc4\0")
        if kind == "thumbnail":
            tables = data.index(b"\xff\xc4\0", len(EXIF))
        bare = data[:tables] + pictures.without_tables(data[tables:])
        for each in (bare, bare[:-2], bare + bytes(5)):
            found = mend(each)
            assert found.index(b"\xff\xc4", tables) > found.index(b"\xff\xc0")
            assert (decoded(found) == decoded(data)).all()
            assert mend(found) is found
        assert Splitter().feed(bare) == [mend(bare)]

    def test_gets_none_if_they_are_not_known_to_fit(self) -> None:
        data = pictures.without_tables(pictures.progressive())
        assert mend(data) is data


def moved_restarts(data: bytes) -> bytes:
    """Return the picture without one of the pieces between its restart markers."""
    start = data.index(b"\xff\xd2")
    return data[:start] + data[data.index(b"\xff\xd3", start) :]


DAMAGED = {
    "nothing": b"",
    "a start": b"\xff\xd8",
    "a start and an end": b"\xff\xd8\xff\xd9",
    "another kind": b"\x89PNG\r\n\x1a\n",
    "text": b"<html>",
    "no frame header": PICTURE[: after(PICTURE, 0xC0, 0)] + PICTURE[after(PICTURE, 0xC0, 19) :],
    "two frame headers": OTHER[:2] + PICTURE[2:-2] + OTHER[2:],
    "a frame header behind the scan": PICTURE[:-2] + segment(0xC0, bytes(15)) + PICTURE[-2:],
    "no scan": PICTURE[: after(PICTURE, 0xDA, 0)] + b"\xff\xd9",
    "a scan without data": PICTURE[:SCAN] + b"\xff\xd9",
    "a scan without data and end": PICTURE[:SCAN],
    "no width": pictures.claiming(0, 48),
    "no height": pictures.claiming(64, 0),
    "height behind the scan": pictures.claiming(64, 0)[:-2] + b"\xff\xdc\0\4\0\x30\xff\xd9",
    "a segment beyond the end": PICTURE[:20] + b"\xff\xe3\xff\xff" + PICTURE[20:],
    "a segment without length": PICTURE[:20] + b"\xff\xe3\0\0" + PICTURE[20:],
    "no marker": PICTURE[:20] + b"no marker" + PICTURE[20:],
    "too many segments": with_segments(PICTURE, *[segment(0xE5, b"")] * 2000),
    "cut in its header": PICTURE[:100],
    "cut between its scans": pictures.progressive()[
        : pictures.progressive().rindex(b"\xff\xc4") + 10
    ],
    "half of it before another one": PICTURE[: len(PICTURE) // 2] + PICTURE,
    "a start in the scan": PICTURE[:SCAN] + b"\xff\xd8" + PICTURE[SCAN:],
    "a marker in the scan": PICTURE[: SCAN + 50] + b"\xff\xc7" + PICTURE[SCAN + 50 :],
    "a restart marker that cannot be": PICTURE[: SCAN + 50] + b"\xff\xd0" + PICTURE[SCAN + 50 :],
    "a piece lost": moved_restarts(RESTARTS),
    "the last piece lost": RESTARTS[: RESTARTS.rindex(b"\xff\xd0")] + b"\xff\xd9",
    "eight pieces lost": RESTARTS[: RESTARTS.index(b"\xff\xd0")]
    + RESTARTS[RESTARTS.index(b"\xff\xd0", RESTARTS.index(b"\xff\xd1")) :],
    "all pieces lost": RESTARTS[: RESTARTS.index(b"\xff\xd0")] + b"\xff\xd9",
    "a frame header of another length": with_byte(PICTURE, after(PICTURE, 0xC0, 3), 14),
    "a scan of another component": with_byte(PICTURE, after(PICTURE, 0xDA, 5), 9),
    "a scan of no component": with_byte(PICTURE, after(PICTURE, 0xDA, 4), 0),
    "a scan of too many components": with_byte(PICTURE[: SCAN + 99], after(PICTURE, 0xDA, 4), 255),
    "another number of components": with_byte(PICTURE, after(PICTURE, 0xC0, 9), 4),
    "no sampling": with_byte(PICTURE, after(PICTURE, 0xC0, 11), 0),
    "more than 16 MB": pictures.huge_jpeg(17),
    "more than 16 MB and no end": pictures.huge_jpeg(17)[:-2],
}


WITHOUT_TABLE = {
    "none of this number": with_byte(GREY, after(GREY, 0xDA, 6), 0x11),
    "too many codes": with_byte(GREY, after(GREY, 0xC4, 5), 9),
    "too many codes, of which some are there": GREY.replace(
        segment(0xC4, STANDARD_TABLES[4:33]), segment(0xC4, bytes([0, 9]) + bytes(24))
    ),
    "cut off": with_byte(GREY, after(GREY, 0xC4, 3), 0x1E),
    "no codes": GREY[: after(GREY, 0xC4, 5)] + bytes(28) + GREY[after(GREY, 0xC4, 33) :],
}
"""Pictures with a Huffman table that nothing can be decoded with."""


class TestDamagedPicture:
    @pytest.mark.parametrize("data", WITHOUT_TABLE.values(), ids=list(WITHOUT_TABLE))
    def test_is_refused_if_its_end_cannot_be_found(self, data: bytes) -> None:
        with pytest.raises(ValueError, match=r"Huffman table|where a marker should be"):
            mend(data[:-2])

    def test_may_have_more_restart_markers_than_its_size_says(self) -> None:
        data = pictures.claiming(160, 16, RESTARTS)
        assert mend(data) is data
        assert mend(data[:-2]) == data

    @pytest.mark.parametrize("data", DAMAGED.values(), ids=list(DAMAGED))
    def test_is_refused(self, data: bytes) -> None:
        checker = Checker()
        checker.mend(PICTURE)
        for check in (mend, checker.mend):
            with pytest.raises(ValueError, match=r".") as caught:
                check(data)
            assert str(caught.value)

    @pytest.mark.parametrize("kind", [each for each in DAMAGED if len(DAMAGED[each]) > 50])
    def test_is_counted_in_a_stream_and_the_next_is_found(self, kind: str) -> None:
        splitter = Splitter()
        found = splitter.feed(DAMAGED[kind] + bytes(65536) + OTHER)
        assert found[-1] == OTHER
        assert splitter.invalid > 0


def mended(data: bytes) -> bytes | None:
    try:
        return mend(data)
    except ValueError:
        return None


CHANGES = st.tuples(st.integers(0, SCAN + 60) | st.integers(0, 20_000), st.integers(0, 255))


@given(
    st.sampled_from([PICTURE, PICTURE[:-2], RESTARTS[:-2], GREY[: SCAN + 50], pictures.cmyk()]),
    st.lists(CHANGES, max_size=4),
)
@examples(300)
def test_whatever_bytes_change_it_is_repaired_or_refused(
    data: bytes, changes: list[tuple[int, int]]
) -> None:
    for at, value in changes:
        data = with_byte(data, at % len(data), value)
    assert_cheap(lambda: mended(data), len(data))
    found = mended(data)
    if found is not None:
        assert jpeg.is_whole(found)
        assert mend(found) is found


def test_a_good_picture_costs_little() -> None:
    data, checker = pictures.big_jpeg(200), Checker()
    with cpu_bound(16 * 1024, 0.5):
        for _ in range(500):
            checker.mend(data)


def test_tables_that_are_replaced_by_others_cost_nothing() -> None:
    data = pictures.jpeg(1)[:-2]
    lengths = bytes([1, *[0] * 15])
    replaced = b"".join(b"\0" + lengths + bytes([number % 12]) for number in range(1000))
    at = data.index(b"\xff\xc4")
    entropy._table.cache_clear()
    mended = mend(data[:at] + segment(markers.DHT, replaced) + data[at:])
    assert mended.endswith(b"\xff\xd9")
    assert entropy._table.cache_info().misses <= 4


def test_a_large_picture_without_end_marker_is_not_looked_at_block_by_block() -> None:
    data = pictures.big_jpeg(1200)[:-2]
    with cpu_bound(16 * 1024, 0.05):
        assert mend(data) == data + b"\xff\xd9"


@pytest.mark.process
@pytest.mark.parametrize("kind", [*WITHOUT_END, "no tables"])
def test_strict_decoder_takes_what_was_repaired(tmp_path: Path, kind: str) -> None:
    data = pictures.without_tables(PICTURE) if kind == "no tables" else PICTURE[:-2]
    path = tmp_path / "picture.jpg"
    path.write_bytes(mend(data + WITHOUT_END.get(kind, b"")))
    command = ["ffmpeg", "-nostdin", "-loglevel", "warning", "-xerror", "-err_detect", "explode"]
    done = subprocess.run(
        [*command, "-i", str(path), "-f", "null", "-"], check=True, capture_output=True
    )
    assert b"rror" not in done.stderr


def test_limit_is_that_of_every_picture() -> None:
    assert markers.LARGEST == jpeg.LARGEST
