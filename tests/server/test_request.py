"""A request as the app sees it, read from memory."""

from __future__ import annotations

import dataclasses

import pytest

from doorbelld.server import request
from doorbelld.server.framing import head_size, read_head
from doorbelld.server.request import Headers, Request, RequestError


def read(data: bytes) -> Request:
    head = read_head(data[: head_size(data)])
    return request.read(head, data[head.size :], "192.168.1.2", secure=True)


def test_it_has_all_that_was_asked() -> None:
    found = read(b"POST /a%20b?c=d&c=e HTTP/1.1\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\n\r\nhi")
    assert (found.method, found.path, found.query) == ("POST", "/a b", {"c": "e"})
    assert (found.target, found.version) == ("/a%20b?c=d&c=e", "HTTP/1.1")
    assert (found.headers.get("X-a"), found.headers.get_all("X-A")) == ("1", ["1", "2"])
    assert (found.body, found.has_body) == (b"hi", True)
    assert (found.peer, found.secure) == ("192.168.1.2", True)
    assert found.line == "POST /a%20b?c=d&c=e HTTP/1.1"


def test_it_never_changes() -> None:
    found = read(b"GET / HTTP/1.1\r\n\r\n")
    for name in vars(found):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(found, name, "other")


@pytest.mark.parametrize(
    ("first", "fields", "expected"),
    [
        (b"GET / HTTP/1.1", b"", True),
        (b"GET / HTTP/1.0", b"", False),
        (b"GET / HTTP/1.0", b"Connection: Keep-Alive\r\n", True),
        (b"GET / HTTP/1.0", b"Connection: keep-alive, x\r\n", False),
        (b"GET / HTTP/1.1", b"Connection: x, Close \r\n", False),
        (b"GET / HTTP/1.0", b"Connection: keep-alive\r\nConnection: close\r\n", False),
        (b"GET / HTTP/1.1", b"Content-Length: 0\r\n", True),
        (b"GET / HTTP/1.1", b"Content-Length: 1\r\n", False),
        (b"POST / HTTP/1.1", b"Transfer-Encoding: chunked\r\n", False),
        (b"CONNECT a:1 HTTP/1.1", b"", False),
    ],
)
def test_connection_is_kept_if_both_sides_know_where_the_request_ends(
    first: bytes, fields: bytes, expected: bool
) -> None:
    assert read(first + b"\r\n" + fields + b"\r\n").keep_alive is expected


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", {}),
        ("/a?b#c", "/a", {"b": ""}),
        ("/a#b?c", "/a", {}),
        ("/a:b@c;d?e=/?", "/a:b@c;d", {"e": "/?"}),
        ("//a/b", "/a/b", {}),
        ("http://door:5000", "/", {}),
        ("http://door/a?b=1", "/a", {"b": "1"}),
        ("*", "*", {}),
    ],
)
def test_url_is_taken_apart(target: str, path: str, query: dict[str, str]) -> None:
    found = read(f"GET {target} HTTP/1.1\r\n\r\n".encode())
    assert (found.path, found.query) == (path, query)


@pytest.mark.parametrize("target", ["http://[::1", "/?" + "&".join("a" * 21)])
def test_bad_url_is_an_error_only_for_those_who_need_it(target: str) -> None:
    found = read(f"GET {target} HTTP/1.1\r\n\r\n".encode())
    with pytest.raises(RequestError, match=r"^the URL cannot be understood$"):
        assert found.path


@pytest.mark.parametrize(
    ("data", "status", "method"),
    [
        (b"\r\n\r\n", 400, ""),
        (b"HEAD / HTTP/2.0\r\n\r\n", 505, ""),
        (b"GET /\r\n\r\n", 400, "GET"),
        (b"HEAD / HTTP/0.9\r\n\r\n", 400, "HEAD"),
        (b"HEAD / HTTP/1.1\r\n" + b"A: b\r\n" * 100 + b"\r\n", 431, "HEAD"),
    ],
)
def test_error_says_what_is_wrong(data: bytes, status: int, method: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(data)
    assert (caught.value.status, caught.value.method) == (status, method)


def test_99_header_lines_are_accepted() -> None:
    assert len(read(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 99 + b"\r\n").headers.fields) == 99


def test_headers_that_are_missing_are_empty() -> None:
    assert Headers().get("Host") == ""
    assert Headers().get("Accept", "*/*") == "*/*"
    assert Headers().get_all("Host") == []
