"""Where a request ends: a body counts only if no program could read the head differently."""

from __future__ import annotations

import pytest

from doorbelld.server.framing import (
    MAX_BODY,
    MAX_FIELDS,
    MAX_HEAD,
    head_size,
    read_head,
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
def test_one_plain_content_length_says_how_long_the_body_is(
    first: bytes, fields: bytes, size: int
) -> None:
    head = first + fields + b"\r\n"
    found = read_head(head)
    assert (found.size, found.problem, found.body_size) == (len(head), None, size)
    assert found.has_body is (fields not in (b"", b"Content-Length: 0\r\n"))


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
def test_a_doubtful_body_is_not_read_and_ends_the_connection(fields: bytes) -> None:
    found = read_head(POST + fields + b"\r\n")
    assert found.body_size == 0
    assert found.has_body or found.problem


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
def test_only_a_proper_post_has_a_body_that_is_read(head: bytes) -> None:
    assert head_size(head) == len(head)
    found = read_head(head)
    assert found.body_size == 0
    assert found.has_body or found.problem


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"BREW /pot HTTP/9.9\nA:\nB: \t c \xe9\t\n\n",
        b"GET /\r\n\r\n",
        b"OPTIONS * HTTP/1.0\r\nA: b\n\r\n",
    ],
)
def test_plain_head_is_fine(head: bytes) -> None:
    found = read_head(head)
    assert found.problem is None
    assert found.line == head.split(b"\n")[0].decode().rstrip("\r")


@pytest.mark.parametrize("byte", [*range(9), *range(10, 32), 127])
def test_no_control_byte_is_accepted(byte: int) -> None:
    letter = bytes([byte])
    assert read_head(b"GET /" + letter + b" HTTP/1.1\r\nA: b\r\n\r\n").problem
    assert read_head(b"GET / HTTP/1.1\r\nA: b" + letter + b"c\r\n\r\n").problem
    assert read_head(b"GET / HTTP/1.1\r\nA" + letter + b": b\r\n\r\n").problem


def test_fields_are_all_header_lines_in_their_order() -> None:
    found = read_head(POST + b"X-Names: a, b\r\nOther: x-names: c\r\nx-nAMES:\t d \r\n\r\n")
    assert found.fields == (("X-Names", "a, b"), ("Other", "x-names: c"), ("x-nAMES", "d "))


@pytest.mark.parametrize(
    ("head", "status", "why"),
    [
        (b"GET /" + b"x" * 8192 + b" HTTP/1.1\r\n\r\n", 414, ""),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n\r\n", 400, "the PROXY protocol"),
        (b"\r\n\r\n\0\r\nQUIT\n", 400, "the PROXY protocol"),
        (b"\r\n\r\n", 400, "is empty"),
        (b"GET  / HTTP/1.1\r\n\r\n", 400, "the request line"),
        (b"GET / HTTP/1.1\r\nA\r\n\r\n", 400, "a header line"),
    ],
)
def test_what_is_wrong_is_said(head: bytes, status: int, why: str) -> None:
    problem = read_head(head).problem
    assert problem is not None
    assert problem[0] == status
    assert why in problem[1]


@pytest.mark.parametrize(
    "run", [b" ", b"\t", b" \t", b":", b",", b"a:", b"a:\r\n", b"\n", b"\r", b"\xff"]
)
@pytest.mark.parametrize("end", [b"", b"\0", b"\x7f", b"\r"])
@pytest.mark.parametrize("start", [b"", b"a:", b"a: b"])
def test_no_head_takes_long_to_read(start: bytes, run: bytes, end: bytes) -> None:
    line = start + run * (MAX_HEAD // len(run)) + end
    for first in (b"GET / HTTP/1.1\r\n", POST):
        head = first + line + b"\r\n\r\n"
        assert_cheap(lambda: read_head(head))  # noqa: B023


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
    assert read_head(empty_line + head).body_size == 7
    assert without_empty_line(empty_line + head) == head
    assert read_head(empty_line * 2 + head).body_size == 0
    assert without_empty_line(empty_line * 2 + head) == empty_line + head


def test_of_too_many_fields_only_a_few_are_kept_and_no_body_is_waited_for() -> None:
    lines = b"a:b\r\n" * 2000
    head = read_head(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n" + lines + b"\r\n")
    assert len(head.fields) == MAX_FIELDS + 1, "enough to be refused"
    assert head.body_size == 0
