"""What a camera answers to RTSP, and what is said of it; test_video.py has a real server."""

from __future__ import annotations

import itertools
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5

import pytest

from doorbelld.drivers import rtsp
from tests.support.daemon import GUARD
from tests.support.reasons import camera_error

SDP = "v=0\r\nm=audio 0 RTP/AVP 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"


def answer(body: str = SDP, status: str = "200 OK", more: str = "") -> bytes:
    head = f"RTSP/1.0 {status}\r\nCSeq: 1\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


@contextmanager
def server(*answers: bytes) -> Iterator[tuple[str, list[str]]]:
    """Answer one request a connection, the last of ``answers`` again and again."""
    asked: list[str] = []
    endless = itertools.chain(answers, itertools.repeat(answers[-1]))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(GUARD)
                    head = b""
                    while not head.endswith(b"\r\n\r\n"):
                        head += connection.recv(4096)
                    asked.append(head.decode())
                    connection.sendall(next(endless))

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def fault(*answers: bytes, user: str = "") -> str:
    with server(*answers) as (place, _), camera_error() as caught:
        rtsp.describe(f"rtsp://{user}{place}/live?key=secret", GUARD)
    assert "secret" not in str(caught.value)
    return str(caught.value).replace(place, "CAMERA")


@pytest.mark.parametrize(
    ("sdp", "codec"),
    [
        (SDP, "H.264"),
        ("m=video 0 RTP/AVP 26\r\n", "MJPEG"),
        ("m=video 0 RTP/AVP 98\na=rtpmap:98 H265/90000\n", "H.265"),
        ("m=video 0 RTP/AVP 98\na=rtpmap:98 VP8/90000\n", "VP8"),
        ("m=video 0 RTP/AVP 98\na=rtpmap:98 \x1b[2J/1\n", ""),
    ],
)
def test_codec(sdp: str, codec: str) -> None:
    with server(answer(sdp)) as (place, asked):
        found = rtsp.describe(f"rtsp://anton:sesame@{place}/live?a=b", GUARD)
        assert (found.has_video, found.codec) == (True, codec)
        assert asked[0].startswith(f"DESCRIBE rtsp://{place}/live?a=b RTSP/1.0\r\n")
        assert "sesame" not in asked[0]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (answer("m=audio 0 RTP/AVP 0\r\n"), "sends sound only at this path"),
        (answer("v=0\r\n"), "sends no video at this path"),
        (answer("", "404 Not Found"), "has nothing at this path (status 404)"),
        (answer("", "403 Forbidden"), "refuses us (status 403)"),
        (answer("", "503 Busy"), "is busy (status 503)"),
        (answer("", "500 \x1b[2J"), "answers with the status 500"),
        (answer("", "302 Moved", "Location: rtsp://x/secret\r\n"), "redirects to another address"),
    ],
)
def test_faults_of_the_camera(data: bytes, said: str) -> None:
    assert fault(data).startswith(f"rtsp://CAMERA {said}")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it closes the connection without an answer"),
        (b"SSH-2.0-x\r\n", "it does not speak RTSP"),
        (b"RTSP/1.0 OK\r\n\r\n", "it does not speak RTSP"),
        (b"RTSP/1.0 200 OK\r\n" + b"X: y\r\n" * 10_000, "it does not speak RTSP"),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "it speaks HTTP there, so its URL must begin with http://",
        ),
    ],
)
def test_what_is_not_rtsp(data: bytes, why: str) -> None:
    assert fault(data) == f"Cannot get pictures from rtsp://CAMERA: {why}"


def test_a_body_that_is_too_long_is_not_read() -> None:
    long = answer(SDP).replace(f"Length: {len(SDP)}".encode(), b"Length: 999999") + bytes(1 << 17)
    with server(long) as (place, _):
        assert rtsp.describe(f"rtsp://{place}/", GUARD).codec == "H.264"


@pytest.mark.parametrize("data", [b"", b"RTSP/1.0 200 OK\r\n"])
def test_silence_is_given_up(data: bytes) -> None:
    accepted = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            accepted.append(listener.accept()[0])
            accepted[0].sendall(data)

        place = f"127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=serve)
        thread.start()
        with camera_error(f"{place}: it does not answer$"):
            rtsp.describe(f"rtsp://{place}/", 0.5)
        thread.join()
        accepted[0].close()


def test_password_by_digest() -> None:
    challenge = 'WWW-Authenticate: Digest realm="a", nonce="b"\r\n'
    refused = answer("", "401 Unauthorized", challenge)
    stale = answer("", "401 Unauthorized", challenge.replace('"b"', '"c", stale=true'))
    with server(refused, stale, answer()) as (place, asked):
        url = f"rtsp://{place}/live"
        assert rtsp.describe(url.replace("//", "//anton:ses%40me@"), GUARD).has_video
    secret = md5(b"anton:a:ses@me").hexdigest()  # noqa: S324
    path = md5(f"DESCRIBE:{url}".encode()).hexdigest()  # noqa: S324
    expected = md5(f"{secret}:c:{path}".encode()).hexdigest()  # noqa: S324
    assert re.findall(r'response="(\w+)"', asked[2]) == [expected]


def test_wrong_and_missing_passwords() -> None:
    refused = answer("", "401 Unauthorized", 'WWW-Authenticate: Basic realm="a"\r\n')
    said = "rtsp://CAMERA refuses the user name or the password"
    assert fault(refused, user="anton:secret@") == said
    assert fault(refused).startswith("rtsp://CAMERA asks for a user name and a password")
