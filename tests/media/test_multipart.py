from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorbelld.media import multipart
from doorbelld.media.frame import Frame


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
    parts = [multipart.exact_part(data, stamp) for stamp, data in frames]
    found, rest = read_exact(multipart.BOUNDARY + b"".join(parts))
    assert found == [(round(stamp, 6), data) for stamp, data in frames]
    assert rest == b"--frame\r\n", "the next part has begun"


@given(st.lists(st.binary(max_size=300).filter(lambda data: b"--frame" not in data)))
def test_advance_parts_are_read_back_by_their_boundaries(frames: list[bytes]) -> None:
    stream = multipart.ADVANCE_HEAD + b"".join(map(multipart.advance_part, frames))
    first, *parts = stream.split(b"--frame\r\n")
    assert first == b""
    head = b"Content-Type: image/jpeg\r\n\r\n"
    assert parts == [head + data + b"\r\n" for data in frames] + [head]


def test_an_advance_part_ends_with_the_headers_of_the_next() -> None:
    assert multipart.advance_part(b"JPEG").endswith(b"JPEG\r\n" + multipart.ADVANCE_HEAD)


CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"
APP = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) Home Assistant/2025"
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"
NEWER_JAVA = "text/html, image/gif, image/jpeg, */*; q=0.2"


@pytest.mark.parametrize(
    ("accept", "agent"),
    [
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", CHROME),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", CHROME),
        ("image/webp,image/avif,image/jxl,video/*;q=0.8,*/*;q=0.5", APP),
        ("image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5", "Mozilla/5.0 (iPad)"),
        (
            "image/png, image/svg+xml, image/*;q=0.8, */*;q=0.5",
            "Mozilla/4.0 (MSIE 8.0)",
        ),
        ("image/avif,image/webp,*/*", ""),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", ""),
    ],
)
def test_browsers_are_recognized(accept: str, agent: str) -> None:
    assert multipart.wants_advance(accept, agent)


@pytest.mark.parametrize(
    ("accept", "agent"),
    [
        (JAVA, "Java/17.0.15"),
        (JAVA, "Mozilla/5.0"),
        (JAVA, ""),
        (NEWER_JAVA, "Java/25"),
        (NEWER_JAVA, "Mozilla/5.0"),
        ("image/*", ""),
        ("image/jpeg", "IP Cam Viewer"),
        ("image/*,*/*;q=0.8", "Door/1 CFNetwork/1496.0.7 Darwin/23.5.0"),
        ("text/html, */*", "Python-urllib/3.9"),
        ("*/*", CHROME),
        ("", "Mozilla/5.0 (Windows NT; Windows NT 10.0) WindowsPowerShell/5.1"),
        ("*/*", "curl/8.14.1"),
        ("", ""),
        ("multipart/x-mixed-replace", ""),
    ],
)
def test_programs_are_not_taken_for_browsers(accept: str, agent: str) -> None:
    assert not multipart.wants_advance(accept, agent)


def test_part_says_how_wide_a_picture_was_made_for_a_slow_link() -> None:
    frame = Frame(b"picture", 1, 0.0, 1.5, made_width=320)
    parts = multipart.Parts(frame)
    assert b"X-Timestamp: 1.500000\r\nX-Quality: 320\r\n\r\npicture" in parts[False]
    assert parts[True] == multipart.advance_part(b"picture"), "there is no room in this form"
    assert b"X-Quality" not in multipart.Parts(frame._replace(made_width=0))[False]
