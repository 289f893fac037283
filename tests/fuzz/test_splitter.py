"""A camera's stream, with anything between its pictures, cut into any pieces."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorbelld.media import codec, jpeg, picture
from doorbelld.media.splitter import Piece
from tests.support import pictures
from tests.support.cost import assert_cheap, cpu_bound
from tests.support.fuzzing import examples
from tests.support.pictures import segment

SMALL, OTHER = pictures.jpeg(1), pictures.jpeg(2)
LIMIT = 2 * len(SMALL)
MARKERS = [
    b"\xff",
    b"\xff\xd8\xff",
    b"\xff\xd9",
    b"\xff\xda",
    b"\xff\xe1\0\x09",
    b"\0",
    b"\xff\xd0",
]
PIECES = st.one_of(
    st.sampled_from([SMALL, OTHER, SMALL]),
    st.sampled_from(MARKERS),
    st.binary(max_size=20),
    st.builds(lambda end: SMALL[:end], st.integers(0, len(SMALL))),
)
STREAMS = st.lists(PIECES, max_size=12).map(b"".join)


def cut(stream: bytes, at: list[int]) -> tuple[list[Piece], int]:
    splitter = jpeg.Splitter()
    found = []
    cuts = sorted(each % (len(stream) + 1) for each in at)
    for start, end in zip([0, *cuts], [*cuts, len(stream)]):
        found += splitter.cut(stream[start:end])
    return found + splitter.end(), splitter.invalid


@given(STREAMS, st.lists(st.integers(0, 1 << 16), max_size=8))
@examples(250)
def test_where_a_stream_is_cut_makes_no_difference(stream: bytes, at: list[int]) -> None:
    found, invalid = cut(stream, at)
    assert (found, invalid) == cut(stream, [])
    for start, end, data in found:
        if jpeg.is_whole(stream[start:end]):
            assert stream[start:end] == data
        assert data.startswith(stream[start : start + 100])
        assert jpeg.is_whole(data)
        assert picture.mend(data) is data


@given(STREAMS, st.integers(1, 400))
@examples(200)
def test_it_holds_no_more_than_its_limit(stream: bytes, chunk: int) -> None:
    splitter = jpeg.Splitter(LIMIT)
    for start in range(0, len(stream), chunk):
        splitter.cut(stream[start : start + chunk])
        assert len(splitter._buffer) <= LIMIT


@given(PIECES, PIECES)
@examples(60)
def test_no_stream_takes_long_to_cut(start: bytes, run: bytes) -> None:
    stream = start + run * (1 + 60_000 // max(1, len(run)))
    assert_cheap(lambda: cut(stream, list(range(0, len(stream), 4096))), len(stream))


@given(STREAMS)
@examples(100)
def test_after_anything_a_picture_is_found_again(stream: bytes) -> None:
    splitter = jpeg.Splitter(LIMIT)
    splitter.cut(stream)
    for _ in range(200):  # a segment may claim 64 KiB
        if SMALL in splitter.feed(SMALL):
            return
    raise AssertionError("no picture is found any more")


TABLE = b"\xff\xdb\xff\xff"
"""A segment that claims 64 KiB."""

FALSE_STARTS = (b"\xff\xd8" + TABLE) * (65536 // 6)
"""Each one reaches over the same bytes after it."""


def shortest_codes(
    size: int, more: bytes = b"", lengths: bytes = bytes([1, 1] + [0] * 14)
) -> bytes:
    """Return a JPEG of so many pixels a side, without data: two bits make a block."""
    tables = b"".join(segment(0xC4, bytes([kind]) + lengths + b"\0\1") for kind in (0, 0x10))
    side = size.to_bytes(2, "big")
    frame = segment(0xC0, b"\x08" + side + side + b"\1\1\x11\0")
    return b"\xff\xd8" + more + tables + frame + segment(0xDA, b"\1\1\0\0\x3f\0")


HEAVY = {
    "fill": b"\xff",
    "fill in a picture": b"\xff\xd8\xff\xff",
    "starts": b"\xff\xd8",
    "starts with a marker": b"\xff\xd8\xff",
    "starts of tables": b"\xff\xd8" + TABLE,
    "empty pictures": b"\xff\xd8\xff\xd9",
    "pictures without a picture": b"\xff\xd8\xff\xe0\0\2\xff\xd9",
    "least segments": b"\xff\xe0\0\2",
    "segments of no length": b"\xff\xd8\xff\xe0\0\0",
    "markers alone": b"\xff\x01",
    "restart markers": b"\xff\xd0",
    "scans": b"\xff\xda\0\2",
    "zeros": b"\0",
    "stuffed": b"\xff\0",
    "tables": TABLE,
    "least pictures": b"\xff\xd8\xff\xda\0\2\xff\xd9",
    "pictures without an end marker": SMALL[:-2],
    "with and without": SMALL[:-2] + SMALL,
    "torn pictures": SMALL[:-50],
    "scans with data": b"\xff\xda\0\x08\x01\x01\0\0\0\0\x01",
    "intervals": b"\xff\xdd\0\4\0\1",
    "boundaries": b"\r\n--",
    "codes": b"\x11",
}
BEGINNINGS = {
    "nothing": b"",
    "a picture": b"\xff\xd8",
    "a scan": SMALL[: SMALL.index(b"\xff\xda") + 14],
    "a scan with the shortest codes": shortest_codes(65535),
    "the same with restart markers": shortest_codes(65535, b"\xff\xdd\0\4\0\1"),
    "false starts": FALSE_STARTS,
    "false starts and a scan": FALSE_STARTS + b"\xff\xda\0\2",
}


def cost(stream: bytes, chunk: int, limit: int = jpeg.LARGEST) -> None:
    splitter = jpeg.Splitter(limit)
    with cpu_bound(len(stream)):
        for start in range(0, len(stream), chunk):
            splitter.cut(stream[start : start + chunk])


@pytest.mark.parametrize("beginning", BEGINNINGS.values(), ids=list(BEGINNINGS))
@pytest.mark.parametrize("heavy", HEAVY.values(), ids=list(HEAVY))
def test_no_stream_costs_more_than_its_length(beginning: bytes, heavy: bytes) -> None:
    stream = beginning + heavy * (512 * 1024 // len(heavy)) + SMALL
    cost(stream, 64 * 1024)
    cost(stream, len(stream))
    cost(stream, 1000, limit=100_000)


@pytest.mark.parametrize("heavy", HEAVY.values(), ids=list(HEAVY))
def test_no_stream_that_drips_costs_more_than_its_length(heavy: bytes) -> None:
    cost((FALSE_STARTS[:8000] + heavy * 16_000)[:16_000], 1)


@pytest.mark.parametrize("lead", [b"\xff", b"\xff\x01", b"\xff\xe0\0\2"])
def test_long_pictures_cost_no_more(lead: bytes) -> None:
    """Bytes are scanned once, not again from each start before them."""
    stream = FALSE_STARTS + lead * (8 * 1024 * 1024 // len(lead)) + bytes(8)
    with cpu_bound(len(stream), 0.02):
        jpeg.Splitter().cut(stream)
    with cpu_bound(len(stream), 0.02):
        jpeg.size(b"\xff\xd8" + stream[len(FALSE_STARTS) :])


@given(
    st.lists(st.tuples(PIECES | st.sampled_from(list(HEAVY.values())), st.integers(1, 2000))),
    st.integers(1, 5000),
)
@examples(60)
def test_no_mixture_costs_more_than_its_length(pieces: list[tuple[bytes, int]], chunk: int) -> None:
    stream = b"".join(piece * (1 + times // len(piece or b"x")) for piece, times in pieces)
    cost(stream, chunk)
    with cpu_bound(len(stream)):
        jpeg.size(b"\xff\xd8" + stream)
        jpeg.is_whole(stream)


@pytest.mark.parametrize("beginning", BEGINNINGS.values(), ids=list(BEGINNINGS))
@pytest.mark.parametrize("heavy", HEAVY.values(), ids=list(HEAVY))
def test_no_picture_costs_more_than_its_length(beginning: bytes, heavy: bytes) -> None:
    data = beginning + heavy * (256 * 1024 // len(heavy))
    with cpu_bound(len(data)), suppress(ValueError):
        picture.mend(data)


@pytest.mark.parametrize("lengths", [bytes([1, 1] + [0] * 14), bytes([255] * 16), bytes(16)])
def test_no_huffman_tables_cost_more_than_their_length(lengths: bytes) -> None:
    stream = b"".join(
        shortest_codes(8, segment(0xFE, b"%d" % number), lengths) + b"\x55" * 5
        for number in range(300)
    )
    cost(stream, len(stream))


@given(STREAMS, st.lists(st.sampled_from(list(BEGINNINGS.values())), max_size=1))
@examples(250)
def test_whatever_is_repaired_is_a_picture(stream: bytes, beginning: list[bytes]) -> None:
    data = b"".join(beginning) + stream
    checker = picture.Checker()
    checker.mend(SMALL)
    results = []
    for mend in (picture.mend, checker.mend):
        try:
            found = mend(data)
        except ValueError:
            results.append(b"")
            continue
        assert jpeg.is_whole(found)
        assert jpeg.size(found)
        assert mend(found) is found
        results.append(found)
    assert results[0] == results[1], "what came before makes no difference"


@given(STREAMS)
@examples(200)
def test_what_is_decoded_is_looked_at_first(stream: bytes) -> None:
    """Whatever it is, it is refused with ValueError or decoded."""
    data = SMALL[:150] + stream + SMALL[150:]
    with cpu_bound(len(data), 0.2):
        try:
            turned = codec.turn_jpeg(data, 90, False, False, 80)
        except ValueError:
            return
    assert jpeg.is_whole(turned)
