"""The streams behind the real nginx, HAProxy and Caddy, as little set up as administrators do it:
with their buffers and their compression."""

from __future__ import annotations

import subprocess
import zlib
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from typing import TYPE_CHECKING

import pytest

from tests.support import proxy_servers
from tests.support.daemon import GUARD, Daemon
from tests.support.live_page import LivePage
from tests.support.network_namespace import NamespacedDaemon
from tests.support.pictures import jpeg
from tests.support.plain_proxies import SERVERS, in_front
from tests.support.secure import make_pair
from tests.support.slow_link import MACHINE, SlowLink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.pipe_camera import PipeCamera

SETTINGS = {"access.trusted_proxies": "127.0.0.1", "access.networks": "any"}


# One picture, and none after it


@pytest.fixture(params=SERVERS)
def quiet(
    daemon: Daemon, pipe_camera: PipeCamera, request: pytest.FixtureRequest
) -> Iterator[Daemon]:
    """Return a daemon behind a proxy, with a camera that sends what the test shows."""
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 600, **SETTINGS})
    pipe_camera.show(jpeg(1))
    daemon.wait_for_log("camera streaming")
    with in_front(SERVERS[request.param], daemon) as port:
        daemon.port = port
        proxy_servers.wait_until_it_listens(daemon.connect, daemon.folder)
        yield daemon


@contextmanager
def opened(door: Daemon, path: str) -> Iterator[Callable[[], bytes]]:
    """Ask as a browser does; yield what returns more of the body, as it comes."""
    connection = HTTPConnection("127.0.0.1", timeout=GUARD)
    connection.sock = door.connect()
    try:
        connection.request("GET", path, headers={"Accept-Encoding": "gzip, deflate"})
        answer = connection.getresponse()
        assert answer.status == 200
        yield reader(answer)
        answer.close()
    finally:
        connection.close()


def reader(answer: HTTPResponse) -> Callable[[], bytes]:
    if answer.headers["Content-Encoding"] is None:
        return lambda: answer.read1(1 << 16)
    assert answer.headers["Content-Encoding"] == "gzip"
    unpacker = zlib.decompressobj(31)
    return lambda: unpacker.decompress(answer.read1(1 << 16))


def read_until(more: Callable[[], bytes], end: bytes) -> bytes:
    """Read until a text has come; nothing has to follow it."""
    found = b""
    while end not in found:
        data = more()
        assert data, "the stream has ended"
        found += data
    return found


@pytest.mark.parametrize("path", ["/live?v=1", "/video_feed", "/video_feed?advance_headers=1"])
def test_picture_is_whole_before_the_next_one(quiet: Daemon, path: str) -> None:
    with opened(quiet, path) as more:
        found = read_until(more, b"\xff\xd9\r\n--frame\r\n")
        assert found.count(b"Content-Type: image/jpeg") >= 1


def test_news_come_at_once(quiet: Daemon) -> None:
    """A state is smaller than any buffer."""
    with opened(quiet, "/live?v=1&pictures=no") as more:
        assert b'"watching": 0' in read_until(more, b"}\r\n")
        with opened(quiet, "/live?v=1"):
            read_until(more, b'"watching": 1')


def test_impatient_proxy_does_not_end_the_stream_of_a_silent_camera(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 600, **SETTINGS})
    pipe_camera.show(jpeg(1))
    daemon.wait_for_log("camera streaming")
    nginx = SERVERS["nginx as it comes"]
    with in_front(nginx, daemon, location="proxy_read_timeout 2s;") as port:
        daemon.port = port
        proxy_servers.wait_until_it_listens(daemon.connect, daemon.folder)
        with opened(daemon, "/live?v=1") as more:
            for _ in range(4):  # It says something each second.
                read_until(more, b'"now"')


# By HTTP/2


def test_stream_comes_by_http_2(daemon: Daemon) -> None:
    pair = make_pair(daemon.folder)
    daemon.start({"camera.resolution": "160x120", **SETTINGS})
    daemon.wait_for_log("camera streaming")
    tls = f"ssl_certificate {pair.certificate}; ssl_certificate_key {pair.key};"
    server = SERVERS["nginx as it comes"]
    with in_front(server, daemon, listen=" ssl http2", tls=tls) as port:
        direct, daemon.port = daemon.port, port
        proxy_servers.wait_until_it_listens(daemon.connect, daemon.folder)
        url = f"https://127.0.0.1:{port}/live?v=1"
        command = ["curl", "--http2", "--insecure", "--silent", "--no-buffer", "--include", url]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as curl:
            assert curl.stdout is not None
            found = read_until(partial(curl.stdout.read1, 1 << 16), b"image/jpeg")  # type: ignore[attr-defined]
            curl.terminate()
        assert found.startswith(b"HTTP/2 200")
        assert b"\r\nx-now: " in found.lower()
        daemon.port = direct


# On a slow link


RATE = 250_000
FRESH = 2.0
"""Seconds that a picture may be old."""
IN_A_ROW = 30
TO_NOTICE = 5.0
"""Seconds for which older ones may come, until the page has noticed. It is 1 on a quiet machine."""


@pytest.mark.parametrize("name", [each for each in SERVERS if "1.1" not in each])
def test_pictures_on_a_slow_link_are_fresh_again_soon(tmp_path: Path, name: str) -> None:
    """A proxy takes everything that the daemon sends, and keeps seconds of it for the phone."""
    with ExitStack() as stack:
        link = stack.enter_context(SlowLink(RATE))
        daemon = NamespacedDaemon(tmp_path, link.machine)
        prefix = link.machine.prefix
        stack.enter_context(daemon).start(SETTINGS, prefix=prefix)
        daemon.wait_for_log("camera streaming")
        port = stack.enter_context(in_front(SERVERS[name], daemon, MACHINE, prefix))
        connect = partial(link.connect, port)
        proxy_servers.wait_until_it_listens(connect, tmp_path)
        page = LivePage(connect, f"{MACHINE}:{port}")
        in_a_row, late = 0, 0.0
        last = None
        for seen in page.pictures():
            in_a_row = in_a_row + 1 if seen.age < FRESH else 0
            if last and max(last.age, seen.age) > FRESH:
                late += seen.at - last.at
            assert late < TO_NOTICE
            last = seen
            if in_a_row == IN_A_ROW and page.streams > 1:
                break
        page.close()
