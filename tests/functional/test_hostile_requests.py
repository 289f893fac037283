"""Heads that two programs read differently, and parts of HTTP that are not supported.

A proxy in front may read a request differently than doorbelld does. So an ambiguous request is
refused, and the connection is closed, whatever follows.
"""

from __future__ import annotations

import re
import socket

import pytest

from tests.support.condition import Condition
from tests.support.daemon import Daemon
from tests.support.raw import (
    Answer,
    exchange,
    only_answer,
    read_answer,
    read_to_end,
    refusal,
    refused,
)

HOST = b"Host: localhost\r\n"
POISON = b"GET /poison HTTP/1.1\r\n" + HOST + b"\r\n"
LENGTH = b"%d" % len(POISON)
CHUNKED = b"0\r\n\r\n"

BODIES = {
    "two equal lengths": b"Content-Length: %b\r\nContent-Length: %b\r\n" % (LENGTH, LENGTH),
    "two lengths": b"Content-Length: %b\r\nContent-Length: 0\r\n" % LENGTH,
    "two lengths, none last": b"Content-Length: 0\r\nContent-Length: %b\r\n" % LENGTH,
    "twice no length": b"Content-Length: 0\r\nContent-Length: 0\r\n",
    "list of equal lengths": b"Content-Length: %b, %b\r\n" % (LENGTH, LENGTH),
    "list of no lengths": b"Content-Length: 0, 0\r\n",
    "length without one": b"Content-Length:\r\n",
    "length with a plus": b"Content-Length: +%b\r\n" % LENGTH,
    "no length with a plus": b"Content-Length: +0\r\n",
    "length with a minus": b"Content-Length: -%b\r\n" % LENGTH,
    "no length with a minus": b"Content-Length: -0\r\n",
    "length with a leading zero": b"Content-Length: 0%b\r\n" % LENGTH,
    "length in hex": b"Content-Length: 0x2c\r\n",
    "length with a blank": b"Content-Length: 0 %b\r\n" % LENGTH,
    "length with an underscore": b"Content-Length: 0_0\r\n",
    "length after a no-break space": b"Content-Length: \xa00\r\n",
    "length in other digits": b"Content-Length: \xb2\r\n",
    "huge length": b"Content-Length: %d\r\n" % (1 << 64),
    "chunked": b"Transfer-Encoding: chunked\r\n",
    "chunked and a length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "length and chunked": b"Content-Length: %b\r\nTransfer-Encoding: chunked\r\n" % LENGTH,
    "chunked and no length": b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    "chunked in capitals": b"TRANSFER-ENCODING: CHUNKED\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "chunked and then not": b"Transfer-Encoding: chunked, identity\r\n",
    "chunked in quotes": b'Transfer-Encoding: "chunked"\r\n',
    "chunked after a no-break space": b"Transfer-Encoding: \xa0chunked\r\n",
    "unknown encoding": b"Transfer-Encoding: xchunked\r\n",
    "encoding without one": b"Transfer-Encoding:\r\n",
    "expected body": b"Expect: 100-continue\r\nContent-Length: %b\r\n" % LENGTH,
}
"""Bodies where none is expected, including ambiguous ones."""

LINES = {
    "blank before the colon": b"Transfer-Encoding : chunked\r\n",
    "tab before the colon": b"Content-Length\t: 5\r\n",
    "continued value": b"X: y\r\n Transfer-Encoding: chunked\r\n",
    "continued value with a tab": b"X: y\r\n\tContent-Length: 5\r\n",
    "continued length": b"Content-Length:\r\n 5\r\n",
    "length in two lines": b"Content-Length: 0\r\n 5\r\n",
    "line of blanks": b"X: y\r\n  \r\n",
    "line without a colon": b"X: y\r\nContent-Length 5\r\n",
    "line without a name": b": 5\r\n",
    "line of a latest": b"From root\r\n",
    "quoted line of a latest": b">From root: x\r\n",
    "lone CR": b"X: y\rContent-Length: 5\r\n",
    "lone CR before the name": b"\rContent-Length: 5\r\n",
    "lone CR in the length": b"Content-Length: 0\r5\r\n",
    "two CRs": b"X: y\r\r\n",
    "NUL in a value": b"X: a\x00b\r\n",
    "NUL in a name": b"Content-Length\x00: 5\r\n",
    "NUL before a value": b"Transfer-Encoding: \x00chunked\r\n",
    "vertical tab before a value": b"Transfer-Encoding: \x0bchunked\r\n",
    "vertical tab before no length": b"Content-Length: \x0b0\r\n",
    "form feed in a value": b"X: a\x0cContent-Length: 5\r\n",
    "separators in a value": b"X: a\x1c\x1d\x1eContent-Length: 5\r\n",
    "escape in a value": b"X: \x1b[2J\r\n",
    "delete in a value": b"X: \x7f\r\n",
    "blank in a name": b"Content Length: 5\r\n",
    "brackets in a name": b"(Content-Length): 5\r\n",
    "letters of no name": b"Content-Length\xa0: 5\r\n",
    "UTF-8 in a name": "Contént-Length: 5\r\n".encode(),
}
"""Header lines that RFC 9112 does not define, or that a server has to refuse."""

FIRST_LINES = {
    "tabs": b"GET\t/healthz\tHTTP/1.1",
    "vertical tabs": b"GET\x0b/healthz\x0bHTTP/1.1",
    "form feeds": b"GET\x0c/healthz\x0cHTTP/1.1",
    "lone CRs": b"GET\r/healthz\rHTTP/1.1",
    "no-break spaces": b"GET\xa0/healthz\xa0HTTP/1.1",
    "many blanks": b"GET  /healthz  HTTP/1.1",
    "blank before": b" GET /healthz HTTP/1.1",
    "blank behind": b"GET /healthz HTTP/1.1 ",
    "NUL before": b"\x00GET /healthz HTTP/1.1",
    "NUL in the method": b"GE\x00T /healthz HTTP/1.1",
    "NUL in the path": b"GET /healthz\x00.txt HTTP/1.1",
    "NULs alone": b"\x00" * 1000,
    "every control byte": b"GET /" + bytes(range(1, 10)) + bytes(range(11, 32)) + b" HTTP/1.1",
    "every byte above": b"GET /" + bytes(range(127, 256)) + b" HTTP/1.1",
    "no method": b"(GET) /healthz HTTP/1.1",
    "small letters": b"GET /healthz http/1.1",
    "long version": b"GET /healthz HTTP/1.01",
    "longer version": b"GET /healthz HTTP/01.1",
    "longest version": b"GET /healthz HTTP/1.11111111111111111111",
    "version in other digits": b"GET /healthz HTTP/1.\xb2",
    "version of three": b"GET /healthz HTTP/1.1.1",
    "negative version": b"GET /healthz HTTP/1.-1",
    "another protocol": b"DESCRIBE rtsp://localhost/stream RTSP/1.0",
}


def refused_as_unclear(daemon: Daemon, request: bytes) -> str:
    """Check that a head and whatever follows get one 400 and a closed connection."""
    return refusal(daemon, request + CHUNKED + POISON, 400)


@pytest.mark.parametrize("fields", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_no_body_is_read_and_nothing_after_it(
    doorbell: Daemon, method: bytes, fields: bytes
) -> None:
    head = method + b" /healthz HTTP/1.1\r\n" + HOST + fields + b"\r\n"
    data = exchange(doorbell, head + CHUNKED + POISON)
    assert data.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nConnection: close\r\n" in data
    assert data.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
@pytest.mark.parametrize("where", ["first", "last"])
def test_400_for_a_line_that_programs_read_differently(
    doorbell: Daemon, where: str, line: bytes
) -> None:
    fields = line + HOST if where == "first" else HOST + line
    reason = refused_as_unclear(doorbell, b"GET /healthz HTTP/1.1\r\n" + fields + b"\r\n")
    assert reason == "a header line cannot be understood"


@pytest.mark.parametrize("line", FIRST_LINES.values(), ids=FIRST_LINES)
def test_400_for_a_request_line_that_programs_read_differently(
    doorbell: Daemon, line: bytes
) -> None:
    reason = refused_as_unclear(doorbell, line + b"\r\n" + HOST + b"\r\n")
    assert reason == "the request line cannot be understood"


def test_lines_that_end_in_a_lone_lf_count_as_lines(doorbell: Daemon) -> None:
    """As people type them; every program that reads lines finds the same end of the request."""
    assert lives_on_after(doorbell, b"GET /healthz HTTP/1.1\nHost: localhost\n\n").status == 200
    refused_as_unclear(doorbell, b"GET / HTTP/1.1\r\n" + HOST + b"X: y\nContent-Length: 5\r\n\r\n")
    refused_as_unclear(doorbell, b"GET / HTTP/1.1\n\rHost: localhost\n\r\n\r\n")


def test_one_empty_line_before_a_request_is_skipped(doorbell: Daemon) -> None:
    request = b"\r\nGET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
    assert lives_on_after(doorbell, request).status == 200
    assert refused_as_unclear(doorbell, b"\r\n" + request) == "the request line is empty"


def lives_on_after(daemon: Daemon, request: bytes) -> Answer:
    """Return the answer to a request after which the connection still works."""
    with daemon.connect() as sock:
        sock.sendall(request)
        answer = read_answer(sock, request.split()[0].decode())
        assert answer.headers["Connection"] is None
        sock.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        assert read_answer(sock).body == b"ok\n"
        return answer


@pytest.mark.parametrize("count", [99, 1000])
def test_431_for_a_thousand_headers(doorbell: Daemon, count: int) -> None:
    head = b"GET /healthz HTTP/1.1\r\n" + HOST
    if count == 99:
        assert lives_on_after(doorbell, head + b"A:\r\n" * 98 + b"\r\n").status == 200
    refusal(doorbell, head + b"A:\r\n" * count + b"\r\n" + POISON, 431)


@pytest.mark.parametrize("byte", [b"x", b"\x00", b" ", b"\r", b"\xff"])
def test_414_for_a_line_without_an_end(doorbell: Daemon, byte: bytes) -> None:
    refusal(doorbell, byte * 100_000, 414)


def test_giant_cookies(doorbell: Daemon) -> None:
    head = b"GET /healthz HTTP/1.1\r\n" + HOST + b"Cookie: " + b"a=b; " * 3000 + b"\r\n"
    assert lives_on_after(doorbell, head + b"\r\n").status == 200
    refusal(doorbell, head + b"Cookie: " + b"c" * 4000 + b"\r\n\r\n", 431)


ODD_BUT_PLAIN = {
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "HTTP/2": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
    "TLS": b"Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n",
    "expectation without a body": b"Expect: 100-continue\r\n",
    "another expectation": b"Expect: a-miracle\r\n",
    "Basic of nothing": b"Authorization: Basic\r\n",
    "Basic of no base64": b"Authorization: Basic \xff\xfe!?===\r\n",
    "Basic of half base64": b"Authorization: Basic YWJj\xe9ZGVm=\r\n",
    "Basic of no colon": b"Authorization: Basic YWJj\r\n",
    "Basic of no text": b"Authorization: Basic /////w==\r\n",
    "long Basic": b"Authorization: Basic " + b"A" * 12_000 + b"\r\n",
    "many Basics": b"Authorization: Basic YTpi\r\n" * 50,
    "cookies of nothing": b"Cookie: ;;;=;=;\x80=\xff;\r\nCookie: x\r\nCookie:\r\n",
    "range": b"Range: bytes=0-0\r\nIf-Range: *\r\n",
    "thousand ranges": b"Range: bytes=" + b",".join(b"%d-" % n for n in range(1000)) + b"\r\n",
    "range of nonsense": b"Range: bytes=9-1,-,a-b\r\n",
    "encodings": b"Accept-Encoding: gzip;q=nan, *;q=0\r\nTE: chunked\r\nTrailer: X\r\n",
    "nonsense to compare": b'If-None-Match: "\xff", W/"\r\nIf-Modified-Since: never\r\n',
    "other letters": b"X: caf\xe9\ta\x80\x85\xa0b\r\n",
}


@pytest.mark.parametrize("fields", ODD_BUT_PLAIN.values(), ids=ODD_BUT_PLAIN)
@pytest.mark.parametrize("path", [b"/app.js", b"/healthz"])
def test_200_and_the_whole_of_it_whatever_else_is_asked(
    doorbell: Daemon, path: bytes, fields: bytes
) -> None:
    """No protocol is switched, no range is cut out, and credentials are ignored."""
    answer = lives_on_after(doorbell, b"GET " + path + b" HTTP/1.1\r\n" + HOST + fields + b"\r\n")
    assert answer.status == 200
    assert answer.body == doorbell.request(path.decode())[1]
    assert not {"Accept-Ranges", "Content-Range", "Upgrade"} & set(answer.headers.keys())


@pytest.mark.parametrize(
    "path",
    [
        *("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd"),
        *("/%252e%252e/etc/passwd", "/..%5c..%5cetc%5cpasswd", "/..;/..;/etc/passwd"),
        *("/%c0%ae%c0%ae/etc/passwd", "/%uff0e%uff0e/etc/passwd", "/....//etc/passwd"),
        *("//etc/passwd", "///etc/passwd", "/app.js/../../handler.py", "/app.js%00.html"),
        *("http://localhost/../../etc/passwd", "http://localhost/%2e%2e/%2e%2e/etc/passwd"),
        *("http://localhost//etc/passwd", "http://127.0.0.1:22/..", "/%", "/%zz", "/~root"),
        *("/web/index.html", "/web/", "/placeholder.jpg", "/proc/self/environ", "/.git/"),
    ],
)
def test_no_path_leads_to_a_file(doorbell: Daemon, path: str) -> None:
    answer = lives_on_after(doorbell, b"GET %b HTTP/1.1\r\n%b\r\n" % (path.encode(), HOST))
    assert refused(answer, 404) == "not found"


@pytest.mark.parametrize("target", ["http://localhost", "HTTP://LOCALHOST:1/", "http://127.0.0.1?"])
def test_whole_url_is_understood_as_its_path(doorbell: Daemon, target: str) -> None:
    answer = lives_on_after(doorbell, b"GET %b HTTP/1.1\r\n%b\r\n" % (target.encode(), HOST))
    assert answer.status == 200
    assert b"<html" in answer.body


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://example.com/", "http:///"])
def test_421_for_a_url_elsewhere(doorbell: Daemon, target: str) -> None:
    refusal(doorbell, b"GET %b HTTP/1.1\r\n%b\r\n" % (target.encode(), HOST), 421)


@pytest.mark.parametrize("target", [b"localhost:22", b"example.com:443", b"/healthz", b":", b"*"])
def test_405_and_the_end_for_a_tunnel(doorbell: Daemon, target: bytes) -> None:
    """A client that expects one may already have sent foreign bytes over the connection."""
    refusal(doorbell, b"CONNECT " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n" + POISON, 405)


@pytest.mark.parametrize("method", [b"TRACE", b"OPTIONS"])
def test_405_without_an_echo(doorbell: Daemon, method: bytes) -> None:
    head = method + b" / HTTP/1.1\r\n" + HOST + b"Max-Forwards: 0\r\nCookie: secret\r\n\r\n"
    answer = lives_on_after(doorbell, head)
    assert refused(answer, 405) == "only GET and HEAD"
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "fields",
    [
        b"Connection: close, keep-alive\r\n",
        b"Connection: TE,Close\r\n",
        b"Connection: keep-alive\r\nConnection: close\r\n",
    ],
)
def test_close_counts_among_other_connection_options(doorbell: Daemon, fields: bytes) -> None:
    request = b"GET /healthz HTTP/1.1\r\n" + HOST + fields + b"\r\n"
    answer = only_answer(exchange(doorbell, request + POISON))
    assert (answer.status, answer.headers["Connection"]) == (200, "close")


def test_second_host_is_refused(doorbell: Daemon) -> None:
    for fields in (HOST + HOST, HOST + b"HOST: 127.0.0.1\r\n"):
        answer = lives_on_after(doorbell, b"GET /healthz HTTP/1.1\r\n" + fields + b"\r\n")
        assert refused(answer, 400) == "there is more than one Host"


def test_nothing_is_left_of_all_this(daemon: Daemon) -> None:
    """Every shape ten times, from clients that read the answer or leave before it."""
    fields = [*BODIES.values(), *LINES.values(), *ODD_BUT_PLAIN.values()]
    heads = [b"GET /healthz HTTP/1.1\r\n" + HOST + each + b"\r\n" for each in fields]
    heads += [line + b"\r\n" + HOST + b"\r\n" for line in FIRST_LINES.values()]
    # With one thread there are no further ones that are started when needed, and stay.
    daemon.start({"server.max_requests": 1})
    daemon.wait_for_state("streaming")

    def send_all(*, read: bool) -> None:
        for head in heads:
            with daemon.connect() as sock:
                sock.sendall(head + POISON)
                if read:
                    sock.shutdown(socket.SHUT_WR)
                    assert re.match(rb"HTTP/1\.1 [245]", read_to_end(sock))

    send_all(read=True)
    before = Condition.of(daemon.pid)
    for turn in range(10):
        send_all(read=bool(turn % 2))
    before.wait_until_back()
