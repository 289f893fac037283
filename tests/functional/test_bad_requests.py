"""Malformed requests get one short plain reason, and never more than one answer."""

from __future__ import annotations

import pytest

from tests.support.daemon import Daemon
from tests.support.paths import EVERY_PATH
from tests.support.raw import (
    POISON,
    exchange,
    only_answer,
    read_answer,
    read_to_end,
    refusal,
    refused,
)
from tests.support.stream import Stream


@pytest.mark.parametrize(
    "path",
    [
        *("/nothing", "/video_feed//", "/Status", "/status.json", "/../etc/passwd", "*", "status"),
        *("/?action=command", "/?action=", "/web/app.js", "/app.js/", "/index", "/%00", "/%2e%2e/"),
        *("/status%00", "/%ff", "/a%e9", "//", "/..", "/./status", "/?action=stream&action=x"),
        *(
            "/status/",
            "/healthz/",
            "/webcam/",
            "/webcam/?action=status",
            "/video.jpg",
            "/?action=stream_1",
        ),
    ],
)
def test_404_for_what_is_not_there(doorbell: Daemon, path: str) -> None:
    with doorbell.connect() as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode("latin-1"))
        answer = read_answer(sock)
        if path == "//":  # the same as one slash
            assert answer.status == 200
        else:
            refused(answer, 404)
        sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert read_answer(sock).status == 200, "the connection lives on"


@pytest.mark.parametrize("path", EVERY_PATH)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_405_for_other_methods(doorbell: Daemon, path: str, method: str) -> None:
    with doorbell.connect() as sock:
        sock.sendall(f"{method} {path} HTTP/1.1\r\n\r\n".encode())
        answer = read_answer(sock)
        refused(answer, 405)
        assert answer.headers["Allow"] == "GET, HEAD"
        sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert read_answer(sock).status == 200, "the connection lives on"


@pytest.mark.parametrize("method", ["PUT", "OPTIONS", "PATCH", "TRACE", "get", "G", "BREW"])
def test_405_for_any_method(doorbell: Daemon, method: str) -> None:
    with doorbell.connect() as sock:
        sock.sendall(f"{method} /status HTTP/1.1\r\n\r\n".encode())
        refused(read_answer(sock), 405)


@pytest.mark.parametrize(
    "request_",
    [
        b"\r\n\r\n",
        b"  \r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1 HTTP/1.1\r\n\r\n",
        b"GET / and more HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1\r\n\r\n",
        b"GET / HTTP/x.y\r\n\r\n",
        b"GET / FTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\xff\r\n\r\n",
        b"GET /a\xe9 HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nSpace : before the colon\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n: no name\r\n\r\n",
    ],
)
def test_400_for_what_is_no_http(doorbell: Daemon, request_: bytes) -> None:
    refusal(doorbell, request_, 400)


@pytest.mark.parametrize(
    "path", ["http://[::1", "/?" + "&".join(f"a={number}" for number in range(21))]
)
def test_400_for_a_bad_url(doorbell: Daemon, path: str) -> None:
    with doorbell.connect() as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        assert refused(read_answer(sock), 400) == "the URL cannot be understood"
        sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert read_answer(sock).status == 200, "the connection lives on"


@pytest.mark.parametrize("path", [b"/", b"/status", b"/video_feed", b"/nothing"])
def test_400_for_http_0_9(doorbell: Daemon, path: bytes) -> None:
    reason = refusal(doorbell, b"GET " + path + b"\r\n\r\n", 400)
    assert reason == "the request line has no HTTP version"


def test_http_2_is_refused(doorbell: Daemon) -> None:
    refusal(doorbell, b"PRI * HTTP/2.0\r\n\r\n", 505)


@pytest.mark.parametrize(
    "fps", ["0", "-1", "1001", "nan", "inf", "-inf", "ten", "", "1e400", "%00"]
)
def test_400_for_a_bad_frame_rate(doorbell: Daemon, fps: str) -> None:
    with doorbell.connect() as sock:
        sock.sendall(f"GET /video_feed?fps={fps} HTTP/1.1\r\n\r\n".encode())
        assert refused(read_answer(sock), 400) == "fps must be a number from 0.01 to 1000"
        sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert read_answer(sock).status == 200, "the connection lives on"


@pytest.mark.parametrize("path", ["/video_feed", "/status"])
@pytest.mark.parametrize("key", ["x" * 65, "%0a", "a%00b", "%1b[31m", "%e2%80%a8", "%07"])
def test_400_for_a_bad_key(doorbell: Daemon, path: str, key: str) -> None:
    with doorbell.connect() as sock:
        sock.sendall(f"GET {path}?key={key} HTTP/1.1\r\n\r\n".encode())
        assert refused(read_answer(sock), 400) == "key must be at most 64 printable characters"


@pytest.mark.parametrize("length", [8 * 1024, 15 * 1024, 16 * 1024, 40 * 1024])
def test_414_for_a_long_request_line(doorbell: Daemon, length: int) -> None:
    refusal(doorbell, b"GET /" + b"x" * length + b" HTTP/1.1\r\n\r\n", 414)


@pytest.mark.parametrize(
    "headers",
    [
        b"A: b\r\n" * 101,
        b"A: " + b"b" * 16 * 1024 + b"\r\n",
        b"A: " + b"b" * 200 * 1024 + b"\r\n",
        b"".join(b"A%d: %s\r\n" % (n, b"b" * 300) for n in range(60)),
    ],
    ids=["many", "long", "very long", "many long"],
)
def test_431_for_a_long_head(doorbell: Daemon, headers: bytes) -> None:
    refusal(doorbell, b"GET /healthz HTTP/1.1\r\n" + headers + b"\r\n", 431)


def test_longest_head_there_may_be_is_answered(doorbell: Daemon) -> None:
    start, end = b"GET /healthz HTTP/1.1\r\nA: ", b"\r\n\r\n"
    request = start + b"b" * (16 * 1024 - len(start) - len(end)) + end
    with doorbell.connect() as sock:
        for _ in range(2):
            sock.sendall(request)
            assert read_answer(sock).status == 200


@pytest.mark.parametrize(
    ("path", "same"),
    [
        ("http://doorbell.local:5000/healthz", "/healthz"),
        ("http://user:word@localhost/healthz?x=1", "/healthz"),
        ("/%68ealthz", "/healthz"),
        ("//healthz", "/healthz"),
        ("/healthz?", "/healthz"),
        ("/healthz#top", "/healthz"),
        ("/?utm_source=phone", "/"),
        ("/%61pp.js", "/app.js"),
        ("/?action=snapsho%74", "/snapshot"),
    ],
)
def test_other_spellings_of_the_same_path(doorbell: Daemon, path: str, same: str) -> None:
    expected, _ = doorbell.request(same)
    with doorbell.connect() as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        answer = read_answer(sock)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == expected.getheader("Content-Type")


SOUND = b"Content-Length: %d\r\n" % len(POISON)
"""With a POST this is a body that can be read, see test_bodies.py."""


@pytest.mark.parametrize(
    "length",
    [
        SOUND,
        SOUND * 2,
        b"Content-Length: 0\r\nContent-Length: %d\r\n" % len(POISON),
        b"Content-Length: +0%d\r\n" % len(POISON),
        b"Content-Length: nonsense\r\n",
        b"Content-Length : %d\r\n" % len(POISON),
        b"X: y\rContent-Length: %d\r\n" % len(POISON),
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(POISON),
    ],
)
@pytest.mark.parametrize(
    "line",
    [
        b"POST /status",
        b"GET /status",
        b"POST /nothing",
        b"GET /nothing",
        b"GET /app.js",
        b"POST http://[bad",
        b"GET /video_feed?fps=0",
        b"HEAD /status",
    ],
)
def test_body_is_never_taken_for_a_request(doorbell: Daemon, line: bytes, length: bytes) -> None:
    """Whatever is answered: one answer only, and then the connection is closed."""
    if length == SOUND and line.startswith(b"POST "):
        length += b"Connection: close\r\n"
    with doorbell.connect() as sock:
        sock.sendall(line + b" HTTP/1.1\r\n" + length + b"\r\n" + POISON)
        data = read_to_end(sock)
    assert data.count(b"HTTP/1.1 ") == 1, data
    assert data.split()[1] in (b"400", b"404", b"405")


@pytest.mark.parametrize("path", ["/", "/status", "/snapshot.jpg", "/video_feed"])
def test_400_for_a_get_with_a_body(doorbell: Daemon, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc".encode()
    assert refusal(doorbell, request, 400) == "a body makes no sense here"


def test_empty_body_is_none(doorbell: Daemon) -> None:
    with doorbell.connect() as sock:
        for _ in range(2):
            sock.sendall(b"GET /healthz HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
            assert read_answer(sock).status == 200


def test_answer_arrives_though_the_client_sends_on(doorbell: Daemon) -> None:
    """Otherwise the kernel would send a reset for the unread rest, and the answer would be lost."""
    with doorbell.connect() as sock:
        sock.sendall(b"POST /status HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")
        sock.sendall(b"x" * 1_000_000)
        answer = read_answer(sock)
        refused(answer, 405)
        assert sock.recv(1) == b""


def test_pipelined_requests_are_answered_in_order(doorbell: Daemon) -> None:
    paths = ["/healthz", "/nothing", "/app.css", "/snapshot.jpg", "/healthz", "/status"] * 5
    sent = "".join(f"GET {path} HTTP/1.1\r\n\r\n" for path in paths)
    with doorbell.connect() as sock:
        sock.sendall(sent.encode() + b"GET /healthz HTTP/1.0\r\n\r\n")
        data = read_to_end(sock)
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].split()[0])
        kind = head.partition(b"Content-Type: ")[2].split(b"\r")[0]
        found.append((int(head.split()[1]), kind))
        data = rest[length:]
    expected = {
        "/healthz": (200, b"text/plain; charset=utf-8"),
        "/nothing": (404, b"text/plain; charset=utf-8"),
        "/app.css": (200, b"text/css; charset=utf-8"),
        "/snapshot.jpg": (200, b"image/jpeg"),
        "/status": (200, b"application/json"),
    }
    assert found == [expected[path] for path in [*paths, "/healthz"]]


def test_408_for_a_request_that_is_not_whole_in_time(daemon: Daemon) -> None:
    daemon.start({"server.header_timeout": 2})
    with daemon.connect() as begun, daemon.connect() as silent:
        begun.sendall(b"GET / HTTP/1.1\r\nHost: ")
        refused(only_answer(read_to_end(begun)), 408)
        # A client that has sent nothing gets no answer.
        assert read_to_end(silent) == b""


def test_connection_that_idles_is_closed_without_a_word(daemon: Daemon) -> None:
    daemon.start({"server.header_timeout": 2})
    with daemon.connect() as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        read_answer(sock)
        assert read_to_end(sock) == b""


def test_client_that_leaves_in_the_middle_of_a_request_is_no_trouble(doorbell: Daemon) -> None:
    for text in (b"", b"GET", b"GET /status HTTP/1.1\r\n", b"GET /status HTTP/1.1\r\n\r\n"):
        with doorbell.connect() as sock:
            sock.sendall(text)
    assert doorbell.request("/healthz")[0].status == 200


def test_503_for_one_viewer_too_many(daemon: Daemon) -> None:
    daemon.start({"server.max_viewers": 2})
    with Stream(daemon) as first, Stream(daemon) as second:
        first.part()
        second.part()
        answer = only_answer(exchange(daemon, b"GET /video_feed HTTP/1.1\r\n\r\n"))
        assert "2 are watching" in refused(answer, 503)
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["Cache-Control"] == "no-store"
        assert daemon.status()["watching"] == 2
        first.part()
    daemon.wait_for_viewers(0)
    with Stream(daemon) as third:
        assert third.status == 200


NASTY = b"".join(bytes([code]) for code in range(256) if code not in b"\r\n \t")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /\x1b[2J\x07\x00" + NASTY + b" HTTP/1.1\r\n\r\n",
        b"GET /?key=\x1b[2J HTTP/1.1\r\n\r\n",
        b"\x1b[2J\x9b " + NASTY + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\x1b[2J\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nX: \x1b[2J\r\n\r\n",
        b"GET /a\rlog-entry-of-mine HTTP/1.1\r\n\r\n",
        b"GET /\xc2\x85log-entry-of-mine HTTP/1.1\r\n\r\n",
    ],
)
def test_control_characters_never_reach_the_log(doorbell: Daemon, request_: bytes) -> None:
    with doorbell.connect() as sock:
        sock.sendall(request_)
        sock.shutdown(1)
        data = read_to_end(sock)
    assert data.startswith(b"HTTP/1.1 ")
    doorbell.request("/after-the-nasty-one")
    doorbell.wait_for_log("after-the-nasty-one")
    log = doorbell.log()
    assert [letter for letter in log if not letter.isprintable() and letter != "\n"] == []
    assert not [line for line in log.splitlines() if line.startswith("log-entry")]


def test_answer_never_repeats_what_was_asked_as_a_header(doorbell: Daemon) -> None:
    data = exchange(doorbell, b"GET / HTTP/1.1\rX-Mine: 1\r\n\r\n")
    head = data.partition(b"\r\n\r\n")[0]
    assert b"X-Mine" not in head
