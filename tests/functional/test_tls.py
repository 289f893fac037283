"""TLS: everything is served over it, to every current client, and nothing without it."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.daemon import GUARD, ROOT, Daemon, eventually
from tests.support.numbered_pictures import numbered
from tests.support.paths import ENDLESS, EVERY_PATH
from tests.support.pipe_camera import PipeCamera
from tests.support.processes import sockets
from tests.support.raw import exchange, only_answer, post, read_answer, read_to_end, refused
from tests.support.secure import Pair, RawClient, SecureDaemon, make_pair
from tests.support.stream import Stream
from tests.support.viewer_group import ViewerGroup

HEALTH = b"GET /healthz HTTP/1.1\r\n\r\n"
CURL = ("curl", "--silent", "--show-error", "--insecure", "--max-time", "20")
FFMPEG = ("ffmpeg", "-nostdin", "-loglevel", "error", "-tls_verify", "0")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Return a certificate for all tests."""
    return make_pair(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, pair: Pair) -> Iterator[SecureDaemon]:
    """Return a daemon with the test card that no test changes."""
    found = SecureDaemon(tmp_path_factory.mktemp("door"), pair)
    with found:
        found.start({"camera.resolution": "160x120"})
        found.wait_for_state("streaming")
        yield found
        found.wait_for_viewers(0)


@pytest.fixture
def secure(tmp_path_factory: pytest.TempPathFactory, pair: Pair) -> Iterator[SecureDaemon]:
    """Return a daemon of the test's own that is not started yet."""
    found = SecureDaemon(tmp_path_factory.mktemp("secure"), pair)
    with found:
        yield found


def run(*command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, timeout=GUARD, check=False)


def url(door: Daemon, path: str) -> str:
    return f"https://127.0.0.1:{door.port}{path}"


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", socket.gethostname()])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_its_certificate_is_good_for_its_names(
    door: SecureDaemon, version: ssl.TLSVersion, name: str
) -> None:
    context = ssl.create_default_context(cafile=str(door.pair.certificate))
    context.minimum_version = context.maximum_version = version
    with context.wrap_socket(door.connect_plainly(), server_hostname=name) as sock:
        assert sock.version() == version.name.replace("_", ".")
        sock.sendall(HEALTH)
        assert read_answer(sock).body == b"ok\n"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_comes_in(door: SecureDaemon, version: str) -> None:
    done = run(*CURL, f"--tlsv{version}", "--tls-max", version, url(door, "/healthz"))
    assert (done.returncode, done.stdout) == (0, b"ok\n")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_versions_of_old_are_refused(door: SecureDaemon, version: str) -> None:
    old = ("--tlsv1.0", "--tls-max", version, "--ciphers", "DEFAULT@SECLEVEL=0")
    done = run(*CURL, *old, url(door, "/healthz"))
    assert done.returncode == 35
    assert b"alert protocol version" in done.stderr, "and it is the daemon that says so"


def test_ffmpeg_reads_the_stream(door: SecureDaemon) -> None:
    command = [*FFMPEG, "-i", url(door, "/video_feed"), "-frames:v", "20"]
    done = run(*command, "-codec", "copy", "-f", "mjpeg", "-")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\xff\xd8\xff") == 20


def test_stream_goes_on_after_the_client_has_changed_its_key(door: SecureDaemon) -> None:
    """What a viewer sends is ignored; but this is always allowed (RFC 8446, 4.6.3)."""
    command = ["openssl", "s_client", "-tls1_3", "-connect", f"127.0.0.1:{door.port}"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as client:
        assert client.stdin
        assert client.stdout
        client.stdin.write(b"GET /video_feed HTTP/1.1\r\n\r\n")
        client.stdin.flush()
        for _ in range(2):
            seen = b""
            while seen.count(b"--frame\r\n") < 10:
                some = os.read(client.stdout.fileno(), 1 << 16)
                assert some, "the stream has ended"
                seen += some
            client.stdin.write(b"K\n")  # its command for «change keys, and ask the peer to»
            client.stdin.flush()
        client.kill()


@pytest.mark.parametrize("path", [each for each in EVERY_PATH if each not in ENDLESS])
def test_every_path_answers(door: SecureDaemon, path: str) -> None:
    for method in ("GET", "HEAD"):
        with door.connect() as sock:
            sock.sendall(f"{method} {path} HTTP/1.1\r\n\r\n".encode())
            assert read_answer(sock, "HEAD").status == 200


def test_viewers_get_every_picture_whole(secure: SecureDaemon, pipe_camera: PipeCamera) -> None:
    secure.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 3600})
    pictures = [numbered(number, 20 * number) for number in range(20)]
    pipe_camera.show(pictures[0])
    secure.wait_for_state("streaming")
    with ViewerGroup(secure) as group:
        group.join(20)
        for number, picture in enumerate(pictures):
            if number:
                pipe_camera.show(picture)
            group.wait_for_parts(number + 1)
        assert all(viewer.bodies == pictures for viewer in group.viewers)
        secure.wait_for_counts(*[("", len(pictures), 0)] * 20)
    secure.wait_for_viewers(0)


def test_slow_viewer_loses_pictures_and_never_sees_a_torn_one(
    secure: SecureDaemon, pipe_camera: PipeCamera
) -> None:
    secure.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 3600})
    pipe_camera.show(numbered(0, 3000))
    secure.wait_for_state("streaming")
    with ViewerGroup(secure) as fast, ViewerGroup(secure) as slow:
        fast.join()
        slow.join(3, path="/video_feed?key=slow", buffer=4096)
        secure.wait_for_viewers(4)
        for number in range(1, 15):
            pipe_camera.show(numbered(number, 3000))
            fast.wait_for_parts(number + 1)
        assert all(row["dropped"] for row in secure.status("?key=slow")["viewers"])
        # They go on reading in the middle of a part; after it comes the newest.
        slow.wait_for_parts(2)
        for viewer in slow.viewers:
            assert [viewer.bodies[0], viewer.bodies[-1]] == [numbered(0, 3000), numbered(14, 3000)]


def test_viewer_that_reads_nothing_is_dropped(
    secure: SecureDaemon, pipe_camera: PipeCamera
) -> None:
    secure.start({"camera.source": pipe_camera.source, "server.stall_timeout": 0.5})
    before = sockets(secure.pid)
    pipe_camera.show(numbered(0, 6000))
    with secure.connect(buffer=4096) as sock:
        sock.sendall(b"GET /video_feed HTTP/1.1\r\n\r\n")
        secure.wait_for_log("took nothing for 0.5 s")
        eventually(lambda: sockets(secure.pid) <= before, "its socket given back")


def test_stream_ends_as_tls_demands(secure: SecureDaemon) -> None:
    """Without close_notify an attacker could have cut it: that raises an SSLEOFError."""
    secure.start()
    with Stream(secure) as exact, Stream(secure, accept="image/webp") as advance:
        exact.part()
        assert secure.stop() == 0
        exact.read_to_end()
        assert exact.file.read() == b""
        assert advance.file.read().count(b"--frame\r\n") > 0


@pytest.mark.parametrize("request_", [b"GET /healthz HTTP/1.0\r\n\r\n", b"nonsense\r\n\r\n"])
def test_last_answer_ends_as_tls_demands(door: SecureDaemon, request_: bytes) -> None:
    assert only_answer(exchange(door, request_)).status in (200, 400)


def test_connection_that_idles_ends_as_tls_demands(secure: SecureDaemon) -> None:
    secure.start({"server.header_timeout": 2})
    secure.wait_for_state("streaming")
    with secure.connect() as silent, secure.connect() as asking, secure.connect() as begun:
        asking.sendall(HEALTH)
        read_answer(asking)
        begun.sendall(HEALTH[:-1])
        assert read_to_end(silent) == b""
        assert read_to_end(asking) == b""
        refused(only_answer(read_to_end(begun)), 408)


def test_431_and_414_reach_the_client(door: SecureDaemon) -> None:
    long = b"x" * 30_000
    refused(only_answer(exchange(door, b"GET / HTTP/1.1\r\nA: " + long)), 431)
    refused(only_answer(exchange(door, b"GET /" + long)), 414)


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_handshake_and_request_may_come_in_any_pieces(door: SecureDaemon, step: int) -> None:
    with RawClient(door) as client:
        client.shake_hands(step)
        for request in (HEALTH, post(b"x" * 4096), HEALTH):
            client.send(client.encrypted(request), step)
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):
                answer += client.receive(1)
            assert answer.split()[1] == (b"200" if request == HEALTH else b"405")
            client.receive(int(answer.partition(b"Content-Length: ")[2].split()[0]))


def test_requests_may_come_all_in_one_record(door: SecureDaemon) -> None:
    with door.connect() as sock:
        sock.sendall((HEALTH + post(b"form=1")) * 50 + b"GET /healthz HTTP/1.0\r\n\r\n")
        data = read_to_end(sock)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", data) == [b"200", b"405"] * 50 + [b"200"]


def test_requests_may_come_faster_than_they_are_answered(door: SecureDaemon) -> None:
    count = 2000  # much more than is read at once
    with door.connect() as sock:
        sock.sendall(HEALTH * count)
        socket.socket.shutdown(
            sock, socket.SHUT_WR
        )  # SSLSocket's own would end TLS in both directions
        data = read_to_end(sock)
    assert len(re.findall(rb"HTTP/1\.1 200 ", data)) == count


def test_client_that_does_not_read_its_answer_gets_it_later(
    secure: SecureDaemon, pipe_camera: PipeCamera
) -> None:
    secure.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 3600})
    big = numbered(1, 6000)
    pipe_camera.show(big)
    eventually(lambda: secure.request("/snapshot.jpg")[1] == big, "the big picture")
    with secure.connect(buffer=4096) as sock:
        sock.sendall(b"GET /snapshot.jpg HTTP/1.1\r\n\r\n" + HEALTH)
        for _ in range(3):
            assert secure.request("/healthz")[1] == b"ok\n"
        assert read_answer(sock).body == big
        assert read_answer(sock).body == b"ok\n"


# Clients without TLS.


def ask_plainly(door: SecureDaemon, request: bytes) -> bytes:
    with door.connect_plainly() as sock:
        sock.sendall(request)
        return read_to_end(sock)


@pytest.mark.parametrize("path", [*EVERY_PATH, "/nothing", "//elsewhere.example/x?y=%20"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_plain_request_is_sent_to_https(door: SecureDaemon, method: str, path: str) -> None:
    host = f"localhost:{door.port}"
    data = ask_plainly(door, f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head, _, body = data.partition(b"\r\n\r\n")
    fields = head.decode().split("\r\n")
    assert fields[0].startswith("HTTP/1.1 307 ")
    assert f"Location: https://{host}/{path.lstrip('/')}" in fields
    assert "Connection: close" in fields
    assert body == (b"" if method == "HEAD" else b"this port speaks HTTPS alone: open the same"
                    b" address with https://\n")  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET http://localhost/ HTTP/1.1\r\n\r\n", 400),
        (b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\na=b", 400),
        (b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n", 421),
        (b"nonsense\r\n\r\n", 400),
    ],
)
def test_other_plain_requests_are_refused(door: SecureDaemon, request_: bytes, status: int) -> None:
    answer = only_answer(ask_plainly(door, request_))
    reason = refused(answer, status)
    assert answer.headers["Location"] is None
    assert answer.headers["Connection"] == "close"
    if status == 400 and b"HTTP" in request_:
        assert "https://" in reason


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "door.local:"])
def test_port_stays_the_same_where_it_goes_without_saying(door: SecureDaemon, host: str) -> None:
    """For example behind doorbelld.socket: nothing listens on the default port of https."""
    answer = only_answer(ask_plainly(door, f"GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()))
    assert answer.headers["Location"] == f"https://{host.rstrip(':')}:80/x"


def test_no_header_can_be_slipped_into_the_way_to_https(door: SecureDaemon) -> None:
    request = b"GET /\x1b\x00x HTTP/1.1\r\nHost: localhost\r\n\r\n"
    refused(only_answer(ask_plainly(door, request)), 400)
    request = b'GET /a"<>x HTTP/1.1\r\nHost: d\xf6r.local\r\n\r\n'
    answer = only_answer(ask_plainly(door, request))
    assert answer.headers["Location"] == 'https://d%F6r.local:80/a"<>x'


@pytest.mark.parametrize("hsts", ["yes", "no"])
def test_hsts_is_sent_only_if_configured_and_over_tls(secure: SecureDaemon, hsts: str) -> None:
    secure.start({"access.hsts": hsts})
    answer, _ = secure.request("/healthz")
    sent = answer.getheader("Strict-Transport-Security")
    assert sent == ("max-age=31536000" if hsts == "yes" else None)
    plain = only_answer(ask_plainly(secure, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    assert plain.status == 307
    assert plain.headers["Strict-Transport-Security"] is None


def test_status_command_works_and_prints_https_urls(door: SecureDaemon) -> None:
    listen = f"127.0.0.1:{door.port}"
    settings = {"server.listen": listen, **door.pair.settings()}
    pairs = [f"--set={key}={value}" for key, value in settings.items()]
    done = subprocess.run(
        [sys.executable, "-m", "doorbelld", "status", *pairs],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=GUARD,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"    https://{listen}/\n" in done.stdout
    assert f": open https://{listen}/" in door.log()
