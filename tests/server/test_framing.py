"""Where a request ends: a body counts only where nobody could read the head differently."""

from __future__ import annotations

import pytest

from doorbelld.server.framing import (
    MAX_BODY,
    MAX_HEAD,
    body_size,
    flaw,
    head_size,
    values,
    without_empty_line,
)
from tests.support.cost import assert_cheap

POST = b"POST /login HTTP/1.1\r\n"


@pytest.mark.parametrize(
    ("seen", "size"),
    [
        (b"", 0),
        (b"GET / HTTP/1.1\r\n", 0),
        (b"GET / HTTP/1.1\r\n\r", 0),
        (b"GET / HTTP/1.1\r\n\r\n", 18),
        (b"GET / HTTP/1.1\n\n", 16),
        (b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", 18),
        (b"\r\n\r\n", 4),
    ],
)
def test_head_ends_with_the_first_empty_line(seen: bytes, size: int) -> None:
    assert head_size(seen) == size


def test_head_may_be_so_long_and_no_longer() -> None:
    assert head_size(b"x" * (MAX_HEAD - 4) + b"\r\n\r\n") == MAX_HEAD
    assert head_size(b"x" * (MAX_HEAD - 3) + b"\r\n\r\n") == 0


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        (b"", 0),
        (b"Host: door\r\nContent-Length: 12\r\nX: y\r\n", 12),
        (b"content-LENGTH:7 \t\r\n", 7),
        (b"X: caf\xe9\tau lait\r\nContent-Length: 9\r\n", 9),
        (b"Content-Length: %d\r\n" % MAX_BODY, MAX_BODY),
        (b"Content-Length: %d\r\n" % (MAX_BODY + 1), 0),
        (b"Content-Length: 99999999999999999999\r\n", 0),
        (b"Content-Length: 0\r\n", 0),
    ],
)
@pytest.mark.parametrize("first", [POST, b"POST /login?next=/ HTTP/1.0\r\n"])
def test_one_plain_content_length_tells_the_body(first: bytes, fields: bytes, size: int) -> None:
    assert body_size(first + fields + b"\r\n") == size


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\ncontent-length: 6\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: 05\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5_0\r\n",
        b"Content-Length: 5.0\r\n",
        b"Content-Length: \xb2\r\n",
        b"Content-Length: five\r\n",
        b"Content-Length:\r\n",
        b"Content-Length:\r\n 5\r\n",
        b"Content-Length : 5\r\n",
        b" Content-Length: 5\r\n",
        b"Content-Length: 5\r\n folded\r\n",
        b"Content-Length: 5\n\r\n",
        b"X: y\nContent-Length: 5\r\n",
        b"X: y\rContent-Length: 5\r\n",
        b"X: \x00\r\nContent-Length: 5\r\n",
        b"no colon\r\nContent-Length: 5\r\n",
        b": no name\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"TRANSFER-ENCODING: identity\r\nContent-Length: 5\r\n",
        b"Expect: 100-continue\r\nContent-Length: 5\r\n",
    ],
)
def test_no_body_where_there_is_any_doubt(fields: bytes) -> None:
    assert body_size(POST + fields + b"\r\n") == 0


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        b"post / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        b"POST  / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        b"POST / HTTP/1.1 \r\nContent-Length: 5\r\n\r\n",
        b"POST / HTTP/2.0\r\nContent-Length: 5\r\n\r\n",
        b"POST /\r\nContent-Length: 5\r\n\r\n",
        b"POST / HTTP/1.1\nContent-Length: 5\n\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\n",
    ],
)
def test_only_a_proper_post_has_a_body(head: bytes) -> None:
    assert head_size(head) == len(head)
    assert body_size(head) == 0


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"BREW /pot HTTP/9.9\nA:\nB: \t c \xe9\t\n\n",
        b"GET /\r\n\r\n",
        b"OPTIONS * HTTP/1.0\r\nA: b\n\r\n",
    ],
)
def test_plain_head_has_no_flaw(head: bytes) -> None:
    assert flaw(head) == ""


@pytest.mark.parametrize("byte", [*range(9), *range(10, 32), 127])
def test_no_control_byte_is_let_pass(byte: int) -> None:
    letter = bytes([byte])
    assert flaw(b"GET /" + letter + b" HTTP/1.1\r\nA: b\r\n\r\n")
    assert flaw(b"GET / HTTP/1.1\r\nA: b" + letter + b"c\r\n\r\n")
    assert flaw(b"GET / HTTP/1.1\r\nA" + letter + b": b\r\n\r\n")


def test_values_are_those_of_every_line_with_that_name() -> None:
    head = POST + b"X-Names: a, b\r\nOther: x-names: c\nx-nAMES:d\r\nX-Names : e\r\n\r\n"
    assert values(head, b"x-names") == [b"a, b", b"d"]


@pytest.mark.parametrize(
    "run", [b" ", b"\t", b" \t", b":", b",", b"a:", b"a:\r\n", b"\n", b"\r", b"\xff"]
)
@pytest.mark.parametrize("end", [b"", b"\0", b"\x7f", b"\r"])
@pytest.mark.parametrize("start", [b"", b"a:", b"a: b"])
def test_no_head_takes_long_to_read(start: bytes, run: bytes, end: bytes) -> None:
    line = start + run * (MAX_HEAD // len(run)) + end
    for first in (b"GET / HTTP/1.1\r\n", POST):
        head = first + line + b"\r\n\r\n"
        assert_cheap(lambda: flaw(head))  # noqa: B023
        assert_cheap(lambda: body_size(head))  # noqa: B023
        assert_cheap(lambda: values(head, b"a"))  # noqa: B023


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\n\n", b"\n\r\n", b"\r\n\n"])
@pytest.mark.parametrize("empty_line", [b"", b"\r\n", b"\n"])
def test_end_of_a_head_is_found_wherever_it_was_cut(empty_line: bytes, end: bytes) -> None:
    head = empty_line + b"GET / HTTP/1.1\r\nA: b" + end
    for searched in range(len(head)):
        assert head_size(head[:searched]) == 0
        assert head_size(head + b"GET / HTTP/1.1\r\n\r\n", searched) == len(head)


def test_what_was_searched_is_not_searched_again() -> None:
    head = b"GET / HTTP/1.1\r\n" + b"a:\r\n" * (MAX_HEAD // 4)

    def drip() -> None:
        for size in range(1, MAX_HEAD):
            assert not head_size(head[: size + 1], size)

    assert_cheap(drip, MAX_HEAD)


@pytest.mark.parametrize("empty_line", [b"\r\n", b"\n"])
def test_one_empty_line_may_come_before_a_request(empty_line: bytes) -> None:
    head = POST + b"Content-Length: 7\r\n\r\n"
    assert head_size(empty_line + head) == len(empty_line + head)
    assert body_size(empty_line + head) == 7
    assert without_empty_line(empty_line + head) == head
    assert body_size(empty_line * 2 + head) == 0
    assert without_empty_line(empty_line * 2 + head) == empty_line + head
