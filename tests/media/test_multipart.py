from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorbelld.media import multipart


def read_exact(stream: bytes) -> tuple[list[tuple[float, bytes]], bytes]:
    """Read parts by their Content-Length, as a program does; return them and the rest."""
    found = []
    head = re.compile(
        rb"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: (\d+)\r\n"
        rb"X-Timestamp: (\d+\.\d{6})\r\n\r\n"
    )
    while match := head.match(stream):
        end = match.end() + int(match[1])
        found.append((float(match[2]), stream[match.end() : end]))
        assert stream[end : end + 2] == b"\r\n"
        stream = stream[end + 2 :]
    return found, stream


@given(st.lists(st.tuples(st.floats(0, 4e9), st.binary(max_size=300))))
def test_exact_parts_are_read_back_whatever_bytes_they_hold(
    frames: list[tuple[float, bytes]],
) -> None:
    stream = b"".join(multipart.exact_part(data, stamp) for stamp, data in frames)
    found, rest = read_exact(stream + multipart.CLOSING_BOUNDARY)
    assert found == [(round(stamp, 6), data) for stamp, data in frames]
    assert rest == b"--frame--\r\n"


@given(st.lists(st.binary(max_size=300).filter(lambda data: b"--frame" not in data)))
def test_advance_parts_are_read_back_by_their_boundaries(frames: list[bytes]) -> None:
    stream = multipart.ADVANCE_HEAD + b"".join(map(multipart.advance_part, frames))
    first, *parts = stream.split(b"--frame\r\n")
    assert first == b""
    head = b"Content-Type: image/jpeg\r\n\r\n"
    assert parts == [head + data + b"\r\n" for data in frames] + [head]


def test_an_advance_part_ends_with_the_headers_of_the_next() -> None:
    assert multipart.advance_part(b"JPEG").endswith(b"JPEG\r\n" + multipart.ADVANCE_HEAD)


@pytest.mark.parametrize(
    ("accept", "advance"),
    [
        ("image/avif,image/webp,image/apng,image/*,*/*;q=0.8", True),
        ("text/html,application/xhtml+xml", True),
        ("*/*", False),
        ("", False),
        ("multipart/x-mixed-replace", False),
    ],
)
def test_browsers_are_recognized_by_their_accept_header(accept: str, advance: bool) -> None:
    assert multipart.wants_advance(accept) is advance
