from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorbelld.media.parts import PartReader
from tests.support import pictures
from tests.support.cost import cpu_bound
from tests.support.fuzzing import examples

SHOWN = [pictures.jpeg(number) for number in range(4)]
HEADS = st.sampled_from(
    [
        b"",
        b"\r\n--part\r\n",
        b"--part\r\nContent-Type: image/jpeg\r\n\r\n",
        b"\r\n--part\r\nContent-Length: 5\r\n\r\nabcde",
        b"\n--part\n\n",
        b"--part\r\nContent-Length: %d\r\n\r\n",
        b"--part\r\nContent-Length: %d\r\nX: y\r\n\r\n",
    ]
)
PARTS = st.tuples(HEADS, st.sampled_from(SHOWN), st.sampled_from([0, 0, 0, -2, 1, 9999]))


@given(st.lists(PARTS, max_size=6), st.integers(1, 3000))
@examples(200)
def test_every_picture_is_found_whatever_its_head_says(
    parts: list[tuple[bytes, bytes, int]], size: int
) -> None:
    """A picture that is longer than its Content-Length, too, and one in a wrong part."""
    stream = b"".join(
        head.replace(b"%d", b"%d" % (len(data) + wrong)) + data for head, data, wrong in parts
    )
    stream += b"\r\n--part--\r\n" + bytes(10_100)  # what a wrong length waits for
    reader = PartReader()
    found = [
        picture
        for start in range(0, len(stream), size)
        for picture in reader.feed(stream[start : start + size])
    ]
    assert found == [data for _, data, _ in parts]
    assert reader.invalid == 0


@pytest.mark.parametrize("begin", [b"", b"Content-Length: 16000000\r\n\r\n" + SHOWN[0][:100]])
@pytest.mark.parametrize("size", [1, 1 << 16])
def test_it_holds_no_more_than_its_limit(begin: bytes, size: int) -> None:
    limit = len(SHOWN[0])
    reader = PartReader(limit)
    reader.feed(begin)
    for _ in range(20_000 // min(size, 1000)):
        reader.feed(bytes(size))
        assert len(reader._buffer) + len(reader._splitter._buffer) <= max(limit, 4096)


@pytest.mark.parametrize(
    "stream",
    [
        b"--part\r\nContent-Length: 4096\r\n\r\n" * 2000,
        b"\n" * 100_000,
        b"\xff\xd8\xff" * 30_000,
        b"Content-Length: 99\r\n\r\n\xff\xd8\xff\xe0" * 3000,
        b"Content-Length: 999999\r\n\r\n\xff\xd8\xff\xe0" + b"\xff\xd9--a" * 30_000,
    ],
    ids=["heads", "blank lines", "starts", "wrong lengths", "ends"],
)
@pytest.mark.parametrize("size", [7, 1 << 16])
def test_no_stream_costs_more_than_its_length(stream: bytes, size: int) -> None:
    with cpu_bound(len(stream)):
        reader = PartReader()
        for start in range(0, len(stream), size):
            reader.feed(stream[start : start + size])


@pytest.mark.parametrize("size", [1, 100, 1 << 16])
@pytest.mark.parametrize("right", [0, 2])
@pytest.mark.parametrize("between", [b"", b"\r\n", b"\n", b"\r\n\r\n"])
def test_length_that_is_far_too_large_is_not_waited_for(
    between: bytes, right: int, size: int
) -> None:
    reader = PartReader()
    found = []
    for number, data in enumerate(SHOWN):
        length = len(data) if number < right else 9_999_999
        part = b"--part\r\nContent-Length: %d\r\n\r\n%b%b" % (length, data, between)
        for start in range(0, len(part), size):
            found += reader.feed(part[start : start + size])
        wanted = SHOWN[: number + (number != right)]  # Of the first, the next part says it.
        assert found == wanted
    assert reader.invalid == 0


@pytest.mark.parametrize("end", [b"\xff\xd9", b"\xff\xd9\r\n", b"\xff\xd9--", b"\xff\xd9\r\n--a"])
def test_end_marker_in_a_thumbnail_says_nothing_of_the_length(end: bytes) -> None:
    comment = b"\xff\xfe" + (len(end) + 2).to_bytes(2, "big") + end
    data = SHOWN[0][:2] + comment + SHOWN[0][2:]
    reader = PartReader()
    part = b"--part\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data)
    assert [each for byte in part for each in reader.feed(bytes([byte]))] == [data]
    assert reader._has_lengths


def test_after_a_loss_the_next_picture_is_whole() -> None:
    part = b"--part\r\nContent-Length: %d\r\n\r\n" % len(SHOWN[0]) + SHOWN[0]
    reader = PartReader()
    assert reader.feed(part[:-100]) == []
    reader.forget()
    assert reader.feed(part) == [SHOWN[0]]
    assert reader.invalid == 1


def test_a_part_without_a_picture_leaves_the_others_alone() -> None:
    part = b"--part\r\nContent-Length: %d\r\n\r\n"
    broken = SHOWN[0][: len(SHOWN[0]) * 2 // 3]
    whole = part % len(SHOWN[1]) + SHOWN[1]
    reader = PartReader()
    assert reader.feed(part % len(broken) + broken + b"\r\n" + whole) == [SHOWN[1]]
    assert reader.feed(whole) == [SHOWN[1]]
    assert reader.invalid == 1


def test_a_part_may_lack_the_end_marker_of_its_picture() -> None:
    part = b"--part\r\nContent-Length: %d\r\n\r\n"
    unended = SHOWN[0][:-2]
    reader = PartReader()
    assert reader.feed(part % len(unended) + unended + b"\r\n--part\r\n") == [SHOWN[0]]
    assert reader.invalid == 0


@pytest.mark.parametrize("tail", [b"\r\n", b"\n"])
def test_a_line_break_may_be_counted_to_the_picture(tail: bytes) -> None:
    data = SHOWN[0] + tail
    reader = PartReader()
    assert reader.feed(b"--part\r\nContent-Length: %d\r\n\r\n" % len(data) + data) == [SHOWN[0]]


def test_a_part_with_a_tail_is_not_waited_for_once_the_lengths_are_known_to_be_right() -> None:
    data = SHOWN[0] + bytes(9)
    part = b"--part\r\nContent-Length: %d\r\n\r\n" % len(data) + data
    reader = PartReader()
    assert reader.feed(part) == []
    assert reader.feed(b"\r\n" + part) == [SHOWN[0], SHOWN[0]]
    assert reader.feed(b"\r\n" + part) == [SHOWN[0]]
    assert reader.invalid == 0


def test_what_is_behind_a_picture_in_its_part_is_no_other_picture() -> None:
    data = SHOWN[0] + SHOWN[1]
    reader = PartReader()
    assert reader.feed(b"Content-Length: %d\r\n\r\n" % len(data) + data) == [SHOWN[0]]
