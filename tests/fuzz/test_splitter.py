"""A camera's stream, whatever lies between its pictures, and however it is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from doorbelld import jpeg
from tests.support import pictures
from tests.support.fuzzing import examples

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


def cut(stream: bytes, at: list[int]) -> tuple[list[tuple[int, bytes]], int]:
    splitter = jpeg.Splitter()
    found = []
    cuts = sorted(each % (len(stream) + 1) for each in at)
    for start, end in zip([0, *cuts], [*cuts, len(stream)]):
        found += splitter.cut(stream[start:end])
    return found, splitter.invalid


@given(STREAMS, st.lists(st.integers(0, 1 << 16), max_size=8))
@examples(250)
def test_where_a_stream_is_cut_makes_no_difference(stream: bytes, at: list[int]) -> None:
    found, invalid = cut(stream, at)
    assert (found, invalid) == cut(stream, [])
    for place, picture in found:
        assert stream[place : place + len(picture)] == picture
        assert jpeg.is_whole(picture)


@given(STREAMS, st.integers(1, 400))
@examples(200)
def test_it_holds_no_more_than_its_limit(stream: bytes, chunk: int) -> None:
    splitter = jpeg.Splitter(LIMIT)
    for start in range(0, len(stream), chunk):
        splitter.cut(stream[start : start + chunk])
        assert len(splitter._buffer) <= LIMIT


@given(STREAMS)
@examples(100)
def test_after_anything_a_picture_is_found_again(stream: bytes) -> None:
    splitter = jpeg.Splitter(LIMIT)
    splitter.cut(stream)
    for _ in range(200):  # a segment may claim 64 KiB
        if any(picture == SMALL for _, picture in splitter.cut(SMALL)):
            return
    raise AssertionError("no picture is found any more")
