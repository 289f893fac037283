"""Every path of the HTTP contract: its answer to a proper request."""

from __future__ import annotations

import http.client
import json
import time

import pytest

from doorbelld import __version__
from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.paths import (
    ENDLESS,
    EVERY_PATH,
    MORE_SNAPSHOTS,
    MORE_STREAMS,
    PAGE,
    SAME_EVERY_TIME,
    SNAPSHOTS,
    STREAMS,
)
from tests.support.pictures import jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.raw import read_answer
from tests.support.stream import Stream


@pytest.mark.parametrize("path", [*STREAMS, *MORE_STREAMS])
def test_stream(doorbell: Daemon, path: str) -> None:
    with Stream(doorbell, path) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["connection"] == "close"
        assert "content-length" not in stream.headers
        for _ in range(3):
            stream.part()


@pytest.mark.parametrize("path", STREAMS)
def test_stream_takes_its_parameters_under_every_name(doorbell: Daemon, path: str) -> None:
    mark = "&" if "?" in path else "?"
    with Stream(doorbell, f"{path}{mark}key=mine&fps=5") as stream:
        stream.part()
        assert [row["key"] for row in doorbell.status("?key=mine")["viewers"]] == ["mine"]


@pytest.mark.parametrize("path", [*SNAPSHOTS, *MORE_SNAPSHOTS])
def test_snapshot(doorbell: Daemon, path: str) -> None:
    before = time.time()
    answer, body = doorbell.request(path)
    assert answer.status == 200
    assert answer.getheader("Content-Type") == "image/jpeg"
    assert answer.getheader("Cache-Control") == "no-store"
    assert body.startswith(b"\xff\xd8")
    assert body.endswith(b"\xff\xd9")
    stamp = answer.getheader("X-Timestamp") or ""
    assert len(stamp.partition(".")[2]) == 6, "microseconds"
    assert before - GUARD < float(stamp) < time.time() + 1


def test_snapshot_is_the_newest_frame_with_its_own_stamp(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 3600})
    with Stream(daemon) as stream:
        for number in range(3):
            pipe_camera.show(jpeg(number))
            part = stream.part()
            answer, body = daemon.request("/snapshot.jpg")
            assert body == part.body == jpeg(number)
            assert answer.getheader("X-Timestamp") == part.headers["x-timestamp"]


def test_snapshot_and_the_first_viewer_get_the_newest_picture_though_nobody_was_watching(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 3600})
    for number in range(30):
        pipe_camera.show(jpeg(number % 10))
        eventually(lambda: daemon.status()["camera"]["frames"] == number + 1, "taken")  # noqa: B023
        if number % 3 == 0:
            _, body = daemon.request("/snapshot.jpg")
            assert body == jpeg(number % 10)
    with Stream(daemon) as stream:
        assert stream.part().body == jpeg(9)


@pytest.mark.parametrize(("path", "content_type"), PAGE)
def test_page(doorbell: Daemon, path: str, content_type: str) -> None:
    answer, body = doorbell.request(path)
    assert answer.status == 200
    assert answer.getheader("Content-Type") == content_type
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    assert body


def test_page_is_a_picture_without_javascript(doorbell: Daemon) -> None:
    _, body = doorbell.request("/")
    plain = body.decode().partition("<noscript>")[2].partition("</noscript>")[0]
    assert "<img" in plain
    assert 'src="video_feed"' in plain


def test_page_has_the_name_of_the_camera_and_no_more_markup_for_it(daemon: Daemon) -> None:
    daemon.start({"camera.name": 'Gate <"&'})
    _, page = daemon.request("/")
    assert b"<title>Gate &lt;&quot;&amp;</title>" in page
    assert b"{{" not in page
    _, manifest = daemon.request("/manifest.webmanifest")
    assert json.loads(manifest)["name"] == 'Gate <"&'
    assert daemon.status()["camera"]["name"] == 'Gate <"&'


@pytest.mark.parametrize("path", SAME_EVERY_TIME)
def test_unchanged_file_is_not_sent_again(doorbell: Daemon, path: str) -> None:
    answer, _ = doorbell.request(path)
    assert answer.getheader("Cache-Control") == "no-cache", "may be kept, but must be asked for"
    etag = answer.getheader("ETag") or ""
    assert etag.startswith('"')
    assert etag.endswith('"')
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again, body = doorbell.request(path, headers={"If-None-Match": known})
        assert (again.status, body) == (304, b"")
        assert again.getheader("ETag") == etag
        assert again.getheader("Cache-Control") == "no-cache"


@pytest.mark.parametrize("path", SAME_EVERY_TIME)
def test_changed_file_is_sent(doorbell: Daemon, path: str) -> None:
    answer, body = doorbell.request(path, headers={"If-None-Match": '"of another version"'})
    assert answer.status == 200
    assert body


def test_pictures_and_states_are_never_kept(doorbell: Daemon) -> None:
    for path in [*SNAPSHOTS, "/status", "/healthz", "/nothing"]:
        answer, _ = doorbell.request(path)
        assert answer.getheader("Cache-Control") == "no-store", path


def test_status(doorbell: Daemon) -> None:
    before = time.time()
    with Stream(doorbell, "/video_feed?key=k1") as stream:
        for _ in range(2):  # The first is counted before the second is sent.
            stream.part()
        status = doorbell.status()
    assert list(status) == [
        *("version", "uptime_s", "camera", "watching", "viewers", "limits", "password"),
        *("bell", "visits", "shutter", "notify"),
    ]
    assert status["password"] is False
    assert status["version"] == __version__
    assert status["uptime_s"] > 0
    camera = status["camera"]
    assert list(camera) == [
        *("name", "source", "state", "detail", "reason", "since", "width", "height"),
        *("fps", "frames", "invalid", "reopened", "age_ms"),
    ]
    assert camera["name"] == "Front door"
    assert camera["source"] == "pattern"
    assert camera["state"] == "streaming"
    assert camera["detail"] == "Test pattern, 160x120"
    assert (camera["width"], camera["height"]) == (160, 120)
    assert (camera["invalid"], camera["reopened"]) == (0, 0)
    assert camera["frames"] > 0
    assert camera["age_ms"] >= 0
    assert camera["since"] <= time.time()
    viewer = next(row for row in status["viewers"] if row["key"] == "k1")
    assert list(viewer) == [
        *("key", "address", "since", "fps", "sent", "dropped", "age_ms", "quality"),
    ]
    assert viewer["address"] == "127.0.0.1"
    assert viewer["sent"] >= 1
    assert viewer["age_ms"] >= 0
    assert before - 0.01 <= viewer["since"] <= time.time() + 0.01
    assert status["watching"] >= 1
    assert status["limits"] == {
        "max_viewers": 100,
        "max_requests": 32,
        "header_timeout": 10.0,
        "stall_timeout": 10.0,
    }


def test_status_is_json(doorbell: Daemon) -> None:
    answer, _ = doorbell.request("/status")
    assert answer.getheader("Content-Type") == "application/json"


def test_healthz_is_ok_while_there_is_a_picture(doorbell: Daemon) -> None:
    answer, body = doorbell.request("/healthz")
    assert answer.status == 200
    assert answer.getheader("Content-Type") == "text/plain; charset=utf-8"
    assert body == b"ok\n"


@pytest.mark.parametrize("path", [path for path in EVERY_PATH if path not in ENDLESS])
def test_head_has_the_headers_of_get_and_no_body(doorbell: Daemon, path: str) -> None:
    changing = {"Date", "X-Timestamp", "Content-Length"}
    got, body = doorbell.request(path)
    with doorbell.connect() as sock:
        sock.sendall(f"HEAD {path} HTTP/1.1\r\n\r\n".encode())
        head = read_answer(sock, "HEAD")
        # The connection stays open, and no rest of a body comes first.
        sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert read_answer(sock).body == b"ok\n"
    assert (head.status, head.body) == (got.status, b"")
    assert head.headers.keys() == got.headers.keys()
    for name, value in got.headers.items():
        if name not in changing:
            assert head.headers[name] == value
    if path in SAME_EVERY_TIME:
        assert int(head.headers["Content-Length"]) == len(body)
    assert int(head.headers["Content-Length"]) > 0


@pytest.mark.parametrize("path", STREAMS)
def test_head_of_the_stream_ends_and_counts_as_no_viewer(doorbell: Daemon, path: str) -> None:
    with doorbell.connect() as sock:
        sock.sendall(f"HEAD {path} HTTP/1.1\r\n\r\n".encode())
        head = read_answer(sock, "HEAD")
        assert head.status == 200
        assert head.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
        assert sock.recv(1) == b""
    assert doorbell.wait_for_viewers(0) == []


def test_one_connection_serves_many_requests(doorbell: Daemon) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", doorbell.port, timeout=GUARD)
    connection.connect()
    own = connection.sock
    for path in ["/", "/app.js", "/snapshot.jpg", "/status", "/nothing", "/healthz"]:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.read()
        assert not answer.will_close
        assert connection.sock is own
    connection.close()


def test_one_connection_may_end_in_a_stream(doorbell: Daemon) -> None:
    with doorbell.connect() as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert read_answer(sock).status == 200
        sock.sendall(b"GET /video_feed?key=late HTTP/1.1\r\n\r\n")
        assert sock.recv(17) == b"HTTP/1.1 200 OK\r\n"
        assert doorbell.status("?key=late")["watching"] >= 1


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"GET /healthz HTTP/1.0\n\n",
    ],
)
def test_connection_closes_on_request(doorbell: Daemon, request_: bytes) -> None:
    with doorbell.connect() as sock:
        sock.sendall(request_)
        answer = read_answer(sock)
        assert (answer.status, answer.body) == (200, b"ok\n")
        assert answer.headers["Connection"] == "close"
        assert sock.recv(1) == b""


def test_old_client_can_keep_its_connection(doorbell: Daemon) -> None:
    with doorbell.connect() as sock:
        for _ in range(2):
            sock.sendall(b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert read_answer(sock).status == 200


def test_client_that_closes_its_half_after_the_request_is_answered(doorbell: Daemon) -> None:
    with doorbell.connect() as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        sock.shutdown(1)
        assert read_answer(sock).body == b"ok\n"


def test_request_may_come_in_pieces(doorbell: Daemon) -> None:
    with doorbell.connect() as sock:
        for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n":
            sock.sendall(bytes([byte]))
        assert read_answer(sock).body == b"ok\n"
