from __future__ import annotations

import base64
import errno
import gzip
import itertools
import math
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import Mock

import pytest

from doorbelld.camera import http
from doorbelld.camera.base import CameraSettings, Shot
from doorbelld.camera.factory import open_camera
from doorbelld.camera.http import HttpCamera
from doorbelld.drivers.httpclient import HttpClient
from doorbelld.media import jpeg
from doorbelld.system.limited_log import OncePerMinute
from tests.support import pictures, secure
from tests.support.cost import cpu_bound
from tests.support.daemon import GUARD, eventually
from tests.support.raw_camera import Asked, RawCamera, Script, answer
from tests.support.reasons import camera_error
from tests.support.web_camera import WebCamera

PICTURE = pictures.jpeg(3)
SHOWN = [pictures.jpeg(number) for number in range(16)]
USUAL = CameraSettings()
MULTIPART = "multipart/x-mixed-replace; boundary=part"


def part(data: bytes, *headers: str, boundary: str = "--part") -> bytes:
    lines = "".join(f"{each}\r\n" for each in headers)
    return f"{boundary}\r\n{lines}\r\n".encode() + data + b"\r\n"


def always(*pieces: bytes, kind: str = MULTIPART, more: str = "") -> Script:
    """Answer with the first piece once, and then with the others for ever."""
    first, *others = pieces

    def script(_: Asked) -> Iterator[bytes]:
        yield answer(first, kind, more=more)
        yield from itertools.cycle(others)

    return script


def once(data: bytes) -> Script:
    return lambda _: [data]


@contextmanager
def watching(
    script: Script, settings: CameraSettings = USUAL
) -> Iterator[tuple[RawCamera, HttpCamera]]:
    with RawCamera(script) as server:
        camera = HttpCamera(f"http://{server.address}/", settings)
        try:
            camera.open()
            yield server, camera
        finally:
            camera.close()
            eventually(lambda: not camera._receiver.alive, "the thread's end")


def read(camera: HttpCamera) -> Shot:
    """Return the next picture."""
    found = eventually(lambda: [shot for shot in [camera.read(0.1)] if shot], "a picture")
    return found[0]


def play_until_fault(camera: HttpCamera) -> None:
    """Read until it raises CameraError."""
    camera.open()
    eventually(lambda: camera.read(0.1) and False, "a fault")


def fault(script: Script, user: str = "") -> str:
    """Return why a camera does not play, with its own address left out."""
    with RawCamera(script) as server:
        camera = HttpCamera(f"http://{user}{server.address}/", CameraSettings())
        with camera_error() as caught:
            play_until_fault(camera)
        camera.close()
        return str(caught.value).replace(server.address, "CAMERA")


class TestStreams:
    @pytest.mark.parametrize(
        "headers",
        [
            ["Content-Type: image/jpeg", f"Content-Length: {len(PICTURE)}"],
            ["Content-Type: image/jpg"],
            [f"Content-Type: image/jpeg;size={len(PICTURE)}"],
            [],
            ["Content-Type: image/jpeg", "Content-Length: 2147483647"],
            ["Content-Length: -1"],
            ["Content-Length: 1"],
            ["X: y" * 20_000],
        ],
    )
    def test_plays_whatever_its_parts_say(self, headers: list[str]) -> None:
        with watching(always(b"", part(PICTURE, *headers))) as (_, camera):
            assert read(camera).data == PICTURE
            assert camera.invalid == 0

    @pytest.mark.parametrize(
        "kind",
        [
            'multipart/x-mixed-replace; boundary="part"',
            "multipart/x-mixed-replace; boundary=--part",
            "multipart/x-mixed-replace; boundary=other",
            "multipart/x-mixed-replace",
            "MULTIPART/mixed",
            "image/jpeg",
            "video/x-motion-jpeg",
            "application/octet-stream",
            "",
        ],
    )
    def test_plays_whatever_it_says_that_it_is(self, kind: str) -> None:
        with watching(always(b"", part(PICTURE), kind=kind)) as (_, camera):
            assert read(camera).data == PICTURE

    def test_plays_without_a_boundary_before_the_first_part(self) -> None:
        first = b"Content-Type: image/jpeg\r\n\r\n" + PICTURE
        with watching(always(first, b"\r\n--part\r\n\r\n" + SHOWN[4])) as (_, camera):
            eventually(lambda: read(camera).data == SHOWN[4], "the next")

    def test_plays_pictures_one_behind_the_other_of_any_type(self) -> None:
        with watching(always(PICTURE, PICTURE, kind="text/plain")) as (_, camera):
            assert read(camera).data == PICTURE

    def test_skips_parts_that_are_not_pictures(self) -> None:
        parts = part(b"temperature=21", "Content-Type: text/plain") + part(PICTURE)
        with watching(always(b"", parts)) as (_, camera):
            assert read(camera).data == PICTURE
            assert camera.invalid == 0

    def test_plays_chunks_of_any_size(self) -> None:
        data = part(PICTURE)
        chunks = b"".join(b"%x;x=y\r\n%b\r\n" % (1, data[i : i + 1]) for i in range(len(data)))
        more = "Transfer-Encoding: chunked\r\n"
        with watching(always(b"", chunks, more=more)) as (_, camera):
            assert read(camera).data == PICTURE

    def test_plays_pictures_without_an_end_marker(self) -> None:
        parts = [part(each[:-2]) for each in SHOWN]
        with watching(always(b"", *parts)) as (_, camera):
            for _ in range(20):
                assert read(camera).data in SHOWN
            assert camera.invalid == 0

    def test_keeps_only_the_newest_picture_for_a_slow_reader(self) -> None:
        with WebCamera(SHOWN, framerate=100) as web:
            camera = HttpCamera(f"http://{web.address}/", CameraSettings())
            camera.open()
            first = read(camera)
            eventually(lambda: web.sent > 40, "many pictures")
            since = time.monotonic()
            eventually(lambda: web.sent > 160, "many more")
            second = read(camera)
            camera.close()
        assert second.captured_at > since
        assert first.data in SHOWN

    def test_counts_a_picture_that_breaks_off(self) -> None:
        with watching(always(b"", part(PICTURE[:200]), part(SHOWN[1]))) as (_, camera):
            assert read(camera).data == SHOWN[1]
            assert camera.invalid >= 1

    def test_says_that_the_stream_has_ended(self) -> None:
        script = once(answer(part(PICTURE), MULTIPART))
        assert fault(script) == "http://CAMERA has stopped sending pictures"

    def test_a_lack_of_memory_is_reported_and_passes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with watching(always(b"", part(PICTURE))) as (_, camera):
            read(camera)
            with monkeypatch.context() as patch:

                def feed(*_: object) -> list[bytes]:
                    raise MemoryError

                patch.setattr(jpeg.Splitter, "feed", feed)
                # The server is fast, and the machine may be slow.
                patch.setattr(http, "_MOST_WITHOUT_PICTURE", math.inf)
                with pytest.raises(MemoryError):
                    eventually(lambda: camera.read(0.1) and False, "no memory")
            while camera._has_no_memory:
                camera._has_no_memory = False
            assert read(camera).data == PICTURE


def sized(body: bytes) -> bytes:
    return answer(body, more=f"Content-Length: {len(body)}\r\n")


class TestStills:
    def test_show_the_first_of_several_pictures_in_one(self) -> None:
        with watching(lambda _: [sized(SHOWN[1] + SHOWN[2])]) as (_, camera):
            assert {read(camera).data for _ in range(3)} == {SHOWN[1]}
            assert camera.mode.startswith("single pictures")

    @pytest.mark.parametrize(
        "bad",
        [sized(b""), sized(PICTURE)[:-99], answer(b"", status="503 Busy"), b""],
        ids=["empty", "cut off", "busy", "nothing"],
    )
    def test_may_be_missing_now_and_then_but_not_twice(self, bad: bytes) -> None:
        turns = iter([sized(PICTURE), bad, sized(SHOWN[1]), bad, sized(SHOWN[2]), bad, bad])
        with watching(lambda _: [next(turns)]) as (_, camera):
            assert [read(camera).data for _ in range(3)] == [PICTURE, SHOWN[1], SHOWN[2]]
            with camera_error():
                play_until_fault(camera)

    def test_are_asked_for_again_and_again_but_not_too_often(self) -> None:
        numbers = itertools.cycle(SHOWN)
        started = time.monotonic()
        with watching(lambda _: [answer(next(numbers))]) as (server, camera):
            found = [read(camera).data for _ in range(4)]
            took = time.monotonic() - started
            assert len(server.asked) <= took * 5 + 2
        assert found == SHOWN[:4]

    def test_come_on_one_connection_if_the_camera_keeps_it(self) -> None:
        ports = set()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            answered = 0

            def do_GET(self) -> None:
                ports.add(self.client_address[1])
                self.send_response(200)
                self.send_header("Content-Type", "image/jpeg")
                self.send_header("Content-Length", str(len(PICTURE)))
                self.end_headers()
                self.wfile.write(PICTURE)
                self.answered += 1
                self.close_connection = self.answered == 3

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            url = f"http://127.0.0.1:{server.server_address[1]}/"
            camera = HttpCamera(url, CameraSettings())
            camera.open()
            for _ in range(5):
                assert read(camera).data == PICTURE
            camera.close()
            server.shutdown()
            thread.join()
        assert len(ports) == 2, "and a connection that it has closed is made again"

    @pytest.mark.parametrize("data", [PICTURE[:-2], PICTURE[:-1], PICTURE + bytes(9)])
    def test_are_repaired(self, data: bytes) -> None:
        with watching(once(answer(data))) as (_, camera):
            assert {read(camera).data for _ in range(3)} == {PICTURE}
            assert camera.invalid == 0

    def test_whose_length_is_too_large_are_whole(self) -> None:
        whole = answer(PICTURE, more=f"Content-Length: {len(PICTURE) + 5}\r\n")
        with watching(once(whole)) as (_, camera):
            assert {read(camera).data for _ in range(3)} == {PICTURE}

    def test_that_are_cut_off_are_not_shown(self) -> None:
        progressive = pictures.progressive()
        whole = answer(progressive, more=f"Content-Length: {len(progressive)}\r\n")
        said = "http://CAMERA has sent no complete JPEG picture"
        assert fault(once(whole[:-9])) == said

    def test_as_slow_as_is_asked(self) -> None:
        settings = CameraSettings(framerate=0.1)
        with watching(once(answer(PICTURE)), settings) as (server, camera):
            read(camera)
            assert camera.read(1) is None
            assert len(server.asked) == 1


def guarded(check: str) -> Script:
    """Answer requests whose credentials match ``check``."""

    def script(asked: Asked) -> Iterable[bytes]:
        if re.fullmatch(check, asked.header("Authorization")):
            return [answer(PICTURE)]
        more = 'WWW-Authenticate: Basic realm="camera"\r\n'
        return [answer(b"", "", "401 Unauthorized", more)]

    return script


def digest_guard(asked: Asked) -> Iterable[bytes]:
    """Answer requests with anton's password by Digest."""
    shown = dict(re.findall(r'(\w+)="?([^",]+)"?', asked.header("Authorization")))
    if shown:
        ha1 = md5(b"anton:camera:ses@me").hexdigest()  # noqa: S324
        ha2 = md5(f"GET:{asked.path}".encode()).hexdigest()  # noqa: S324
        middle = f"{shown['nonce']}:{shown['nc']}:{shown['cnonce']}:auth"
        expected = md5(f"{ha1}:{middle}:{ha2}".encode()).hexdigest()  # noqa: S324
        if shown["response"] == expected and shown["uri"] == asked.path:
            return [answer(PICTURE)]
    challenge = 'WWW-Authenticate: Digest realm="camera", nonce="abc", qop="auth", algorithm=MD5'
    return [answer(b"", "", "401 Unauthorized", f"{challenge}\r\n")]


class TestPasswords:
    def test_is_shown_when_it_is_asked_for_and_not_before(self) -> None:
        basic = base64.b64encode("anton:ses@mé".encode()).decode()
        with RawCamera(guarded(f"Basic {basic}")) as server:
            url = f"http://anton:ses%40m%C3%A9@{server.address}/"
            camera = HttpCamera(url, CameraSettings())
            camera.open()
            assert read(camera).data == PICTURE
            camera.close()
            assert server.asked[0].header("Authorization") == ""

    def test_digest(self) -> None:
        with RawCamera(digest_guard) as server:
            url = f"http://anton:ses%40me@{server.address}/cgi?a=b&c=d"
            camera = HttpCamera(url, CameraSettings())
            camera.open()
            for _ in range(3):
                assert read(camera).data == PICTURE
            camera.close()
            assert not any(each.header("Authorization").startswith("B") for each in server.asked)

    def test_stale_nonces_are_replaced_whenever_the_camera_likes(self) -> None:
        numbers = itertools.count()

        def script(asked: Asked) -> Iterable[bytes]:
            number = next(numbers)
            if number % 3 == 2 and f'nonce="{number - 1}"' in asked.header("Authorization"):
                return [answer(PICTURE)]
            stale = ", stale=true" * (number % 3)
            challenge = f'WWW-Authenticate: Digest realm="a", nonce="{number}"{stale}\r\n'
            return [answer(b"", "", "401 Unauthorized", challenge)]

        with RawCamera(script) as server:
            camera = HttpCamera(f"http://anton:sesame@{server.address}/", USUAL)
            camera.open()
            for _ in range(3):
                assert read(camera).data == PICTURE
            camera.close()

    def test_nonce_that_is_always_stale_is_a_refusal(self) -> None:
        more = 'WWW-Authenticate: Digest realm="a", nonce="b", stale=true\r\n'
        script = once(answer(b"", "", "401 Unauthorized", more))
        wrong = "http://CAMERA refuses the user name or the password"
        assert fault(script, user="anton:sesame@") == wrong

    def test_wrong_and_missing_ones_are_reported(self) -> None:
        wrong = "http://CAMERA refuses the user name or the password"
        assert fault(guarded("right"), user="anton:wrong@") == wrong
        assert fault(digest_guard, user="anton:wrong@") == wrong
        missing = "http://CAMERA asks for a user name and a password; the source must be"
        assert fault(guarded("right")).startswith(missing)

    @pytest.mark.parametrize(
        "challenge",
        ["realm=", 'realm="a", nonce="b", qop="auth-int"', 'realm="a\0"', "algorithm=X"],
    )
    def test_digest_that_cannot_be_answered_is_reported_in_a_sentence(self, challenge: str) -> None:
        more = f"WWW-Authenticate: Digest {challenge}\r\n"
        said = fault(once(answer(b"", "", "401 Unauthorized", more)), user="anton:sesame@")
        assert said in (
            "http://CAMERA refuses the user name or the password",
            "Cannot get pictures from http://CAMERA: its URL, or what it answers, makes no sense",
        )

    @pytest.mark.parametrize(
        "challenge", ["Digest", "Digest x", 'Digest realm="a', "Digest " + "," * 60_000, "", "X y"]
    )
    def test_a_challenge_of_any_kind_is_survived(self, challenge: str) -> None:
        more = f"WWW-Authenticate: {challenge}\r\n"
        script = once(answer(b"", "", "401 Unauthorized", more))
        assert "CAMERA" in fault(script, user="anton:sesame@")


class TestRedirects:
    def test_on_the_same_camera_is_followed(self) -> None:
        def script(asked: Asked) -> Iterable[bytes]:
            if asked.path == "/there?a=b":
                return [answer(PICTURE)]
            return [answer(b"", "", "302 Found", "Location: there?a=b\r\n")]

        with watching(script) as (_, camera):
            assert read(camera).data == PICTURE

    @pytest.mark.parametrize(
        "location", ["/", "", "?a", "http://[", "http://a\x1b[2Jb/", "//a:b/", "/" + "a" * 60_000]
    )
    def test_without_an_end_are_given_up(self, location: str) -> None:
        asked = []

        def script(request: Asked) -> Iterable[bytes]:
            asked.append(request)
            return [answer(b"", "", "301 Moved", f"Location: {location}\r\n")]

        assert "CAMERA" in fault(script)
        assert len(asked) <= 5


class TestFaults:
    @pytest.mark.parametrize(
        ("status", "said"),
        [
            ("404 Not Found", "has nothing at this path (status 404)"),
            ("403 Forbidden", "refuses us (status 403)"),
            ("503 Busy", "is busy (status 503)"),
            ("500 \x1b[2J", "answers with the status 500"),
            ("204 No Content", "answers with the status 204"),
        ],
    )
    def test_of_the_answer(self, status: str, said: str) -> None:
        assert fault(once(answer(b"", "", status))) == f"http://CAMERA {said}"

    @pytest.mark.parametrize(
        "data",
        [
            b"\xff\xd8\xff\xe0",
            b"SSH-2.0-x\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        ],
    )
    def test_of_what_does_not_speak_http(self, data: bytes) -> None:
        said = "Cannot get pictures from http://CAMERA: it does not speak HTTP"
        assert fault(once(data)) == said

    @pytest.mark.parametrize(
        ("host", "why"),
        [("127.0.0.1:1", "nothing listens there"), ("camera.invalid", "its name is not found")],
    )
    def test_of_a_host_that_is_not_there(self, host: str, why: str) -> None:
        camera = HttpCamera(f"http://anton:sesame@{host}/secret", CameraSettings())
        with camera_error(f"^Cannot get pictures from http://{host}: {why}$"):
            play_until_fault(camera)
        camera.close()

    def test_of_a_camera_that_closes_without_an_answer(self) -> None:
        said = "Cannot get pictures from http://CAMERA: it closes the connection without an answer"
        assert fault(once(b"")) == said

    def test_of_a_camera_that_accepts_and_says_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("doorbelld.camera.http.WAKE_UP", 0.5)
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/"
            camera = HttpCamera(url, CameraSettings(stall_timeout=0.5))
            with camera_error(r": it does not answer$"):
                play_until_fault(camera)
            camera.close()

    @pytest.mark.parametrize(
        ("number", "why"),
        [
            (errno.EHOSTUNREACH, "nothing in the network has its address"),
            (errno.ENETUNREACH, "this machine has no network in which it could be"),
            (errno.EACCES, "Permission denied"),
        ],
    )
    def test_of_the_network(self, number: int, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
        error = OSError(number, os.strerror(number))
        monkeypatch.setattr(socket, "create_connection", Mock(side_effect=error))
        with camera_error(f"^Cannot get pictures from http://camera: {why}"):
            play_until_fault(HttpCamera("http://camera/", USUAL))

    def test_of_a_host_that_does_not_answer(self) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.socket() as other:
            other.connect(server.getsockname())  # The only place there is.
            url = f"http://127.0.0.1:{server.getsockname()[1]}/"
            camera = HttpCamera(url, CameraSettings(stall_timeout=0.5))
            with camera_error(r": it does not answer$"):
                play_until_fault(camera)
            camera.close()

    def test_out_of_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def start(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", start)
        with camera_error("out of threads"):
            HttpCamera("http://127.0.0.1:1/", CameraSettings()).open()

    def test_its_name_shows_no_secret(self) -> None:
        camera = HttpCamera("https://u:p@ss@[fe80::1]:444/live?x=y#z", CameraSettings())
        assert camera.name == "https://[fe80::1]:444"
        camera.close()


class TestTls:
    @pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
    def test_a_camera_without_it_is_reported(self, data: bytes) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            camera = HttpCamera(f"https://127.0.0.1:{server.getsockname()[1]}/", USUAL)
            camera._receiver._thread.start()
            connection, _ = server.accept()
            with connection:
                connection.sendall(data)
            with camera_error(r": it does not speak (TLS|HTTP)$"):
                eventually(lambda: camera.read(0.1) and False, "a fault")
            camera.close()

    @pytest.mark.process
    def test_a_camera_that_has_it_on_an_http_port_is_reported(self, tmp_path: Path) -> None:
        secured = secure.server_context(secure.make_pair(tmp_path))
        with RawCamera(once(answer(PICTURE)), secured) as server:
            camera = HttpCamera(f"http://{server.address}/", USUAL)
            why = "it speaks TLS there, so its URL must begin with https://"
            with camera_error(f"{server.address}: {why}$"):
                play_until_fault(camera)
            camera.close()

    def test_a_web_server_that_answers_400_for_that_reason_is_reported(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script = once(answer(b"", "", "400 Bad Request"))
        assert fault(script) == "http://CAMERA answers with the status 400"
        monkeypatch.setattr(HttpClient, "_has_tls", True)
        assert fault(script).endswith(
            "400: it speaks TLS there, so its URL must begin with https://"
        )

    def test_an_alert_of_tls_is_recognised(self) -> None:
        assert fault(once(b"\x15\x03\x01\0\x02\x02\x0a")).endswith("must begin with https://")

    @pytest.mark.process
    @pytest.mark.parametrize(
        ("host", "dates", "why"),
        [
            ("door", ("20200101000000Z", "20210101000000Z"), "its certificate has expired"),
            (
                "door",
                ("20700101000000Z", "20710101000000Z"),
                "its certificate is not valid yet; check this machine's clock",
            ),
            (
                "localhost",
                ("20200101000000Z", "20700101000000Z"),
                "its certificate is for another host name",
            ),
            (
                "127.0.0.1",
                ("20200101000000Z", "20700101000000Z"),
                "its certificate is for another address",
            ),
        ],
        ids=["expired", "not valid yet", "another name", "another address"],
    )
    def test_what_is_wrong_with_a_certificate_is_said(
        self,
        host: str,
        dates: tuple[str, str],
        why: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        pair = secure.make_pair_of(tmp_path, *dates)
        monkeypatch.setenv("SSL_CERT_FILE", str(pair.certificate))
        connect = socket.create_connection
        monkeypatch.setattr(
            socket,
            "create_connection",
            lambda address, timeout: connect(("127.0.0.1", address[1]), timeout),
        )
        with RawCamera(once(answer(PICTURE)), secure.server_context(pair)) as server:
            url = f"https://{host}:{server.address.partition(':')[2]}"
            camera = HttpCamera(f"{url}/secret", USUAL)
            with camera_error() as caught:
                play_until_fault(camera)
            camera.close()
        remedy = "verify = no plays it unchecked"
        assert str(caught.value) == f"Cannot get pictures from {url}: {why}; {remedy}"


class TestBounds:
    """What a camera sends is bounded, and a close does not wait for it."""

    @pytest.mark.parametrize(
        "script",
        [
            always(b"", bytes(1 << 16)),
            always(b"", b"\xff" * (1 << 16)),
            always(b"\xff\xd8", b"\xff" * (1 << 16)),
            always(PICTURE[:200], bytes(1 << 16)),
            always(b"", b"--part\r\nX: " + b"y" * (1 << 16)),
        ],
        ids=["zeros", "fill", "fill in a picture", "one picture", "headers"],
    )
    def test_without_a_picture_it_is_given_up(self, script: Script) -> None:
        assert fault(script) == "http://CAMERA has sent 32 MB without a picture"

    @pytest.mark.parametrize(
        "script",
        [
            lambda _: itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.repeat(b"X")),
            lambda _: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
            always(b"", b"0" * 10_000, more="Transfer-Encoding: chunked\r\n"),
            always(
                b"", b"1;" + b"x" * 60_000 + b"\r\nx\r\n", more="Transfer-Encoding: chunked\r\n"
            ),
            always(b"0\r\n", b"X: y\r\n", more="Transfer-Encoding: chunked\r\n"),
        ],
        ids=["header", "continue", "chunk size", "chunk extension", "trailer"],
    )
    def test_what_never_ends_is_cut_off_by_close(self, script: Script) -> None:
        with RawCamera(script) as server:
            camera = HttpCamera(f"http://{server.address}/", CameraSettings())
            camera._receiver._thread.start()
            eventually(lambda: server.asked, "a request")
            camera.close()
            eventually(lambda: not camera._receiver.alive, "the thread's end")

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_silence_is_cut_off_by_close(self, scheme: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"{scheme}://127.0.0.1:{server.getsockname()[1]}/"
            camera = HttpCamera(url, CameraSettings(stall_timeout=60))
            camera.open()
            connection, _ = server.accept()
            with connection:
                assert connection.recv(1)
                assert camera.read(0.01) is None
                camera.close()
                assert not camera._receiver.alive

    def test_close_comes_before_the_connection(self) -> None:
        with RawCamera(once(answer(PICTURE))) as server:
            camera = HttpCamera(f"http://{server.address}/", CameraSettings())
            camera._client.cut()
            with camera_error("was closed"):
                camera._client.get({})
            camera.close()

    def test_a_picture_of_100_mb_is_dropped(self) -> None:
        def script(_: Asked) -> Iterator[bytes]:
            yield answer(PICTURE[:-2])
            yield from itertools.repeat(bytes(1 << 20), 100)
            yield PICTURE[-2:]

        with RawCamera(script) as server:
            camera = HttpCamera(f"http://{server.address}/", CameraSettings())
            with camera_error("has sent 32 MB without a picture"):
                play_until_fault(camera)
            camera.close()
            assert camera.invalid == 1


LINE = b"X-Filler: " + b"y" * 60_000 + b"\r\n"
LONG_HEADS = {
    "one line": b"HTTP/1.1 200 " + b"y" * 9000,
    "a status line without an end": b"HTTP/1.1 200 " + b"y" * 200_000,
    "many lines": b"HTTP/1.1 200 OK\r\n" + LINE * 50 + b"\r\n",
    "a kind that is folded": b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x"
    + (b";" * 60_000 + b"\r\n ") * 50
    + b"\r\n\r\n",
    "answers before the answer": b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
    "long answers before it": (b"HTTP/1.1 100 Continue\r\n" + LINE * 50 + b"\r\n") * 9,
}


@pytest.mark.parametrize("head", LONG_HEADS.values(), ids=LONG_HEADS)
def test_head_is_read_as_far_as_a_camera_needs(head: bytes) -> None:
    with cpu_bound(len(head)):
        said = fault(once(head + PICTURE))
    assert said == "Cannot get pictures from http://CAMERA: it does not speak HTTP"


def test_usual_heads_are_not_too_long() -> None:
    more = "".join(f"X-{number}: {'y' * 60}\r\n" for number in range(80))
    before = b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"
    with watching(once(before + answer(PICTURE, more=more))) as (_, camera):
        assert read(camera).data == PICTURE


@pytest.mark.parametrize("kind", ["image/jpeg", MULTIPART])
def test_chunks_of_a_byte_cost_no_more_than_others(kind: str) -> None:
    film = b"".join(f"1\r\n{chr(byte)}\r\n".encode("latin-1") for byte in PICTURE) * 20
    head = answer(b"", kind, more="Transfer-Encoding: chunked\r\n")
    with cpu_bound(len(film)):
        assert "has stopped sending" in fault(once(head + film + b"0\r\n\r\n"))


@pytest.mark.parametrize("percent", ["%", "%25"])
def test_link_local_address_may_have_its_interface_in_both_forms(
    percent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, asked = socket.create_connection, []
    with RawCamera(once(answer(PICTURE))) as server:
        port = int(server.address.partition(":")[2])

        def connect_here(address: tuple[str, int], timeout: float) -> socket.socket:
            asked.append(address)
            return connect(("127.0.0.1", port), timeout)

        monkeypatch.setattr(socket, "create_connection", connect_here)
        camera = HttpCamera(f"http://[fe80::1{percent}Eth0]:{port}/", CameraSettings())
        camera.open()
        assert read(camera).data == PICTURE
        camera.close()
        assert asked[0] == ("fe80::1%Eth0", port)
        assert server.asked[0].header("Host") == f"[fe80::1]:{port}"


def test_is_turned_if_asked_for() -> None:
    with RawCamera(once(answer(PICTURE))) as server:
        camera = open_camera(f"http://{server.address}/", CameraSettings(rotation=90))
        found = eventually(lambda: camera.read(GUARD), "a picture")
        camera.close()
    assert jpeg.size(found.jpeg()) == (48, 64)


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("http://other.example/a?secret", "http://other.example"),
        ("http://user:secret@169.254.169.254/latest", "http://169.254.169.254"),
        ("//other.example/a", "http://other.example"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1"),
        ("https://127.0.0.1/secret", "https://127.0.0.1"),
        ("file:///etc/passwd", "file://"),
        ("rtsp://127.0.0.1/x", "rtsp://127.0.0.1"),
        ("http://a\x1b2Jb/", "http://a?2Jb"),
    ],
)
def test_redirect_to_another_place_is_not_followed(location: str, place: str) -> None:
    script = once(answer(b"", "", "302 Found", f"Location: {location}\r\n"))
    said = fault(script)
    assert said == (
        f"http://CAMERA redirects to {place}, which is not followed;"
        " if that is the camera, set it as the source"
    )


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("text/html; charset=utf-8", b"<html>", "has a web page at this path"),
        ("application/vnd.apple.mpegurl", b"#EXTM3U", "has a playlist at this path"),
        ("audio/x-mpegurl", b"", "has a playlist at this path"),
        ("application/dash+xml", b"<MPD>", "has a playlist at this path"),
        ("application/sdp", b"v=0", "has a playlist at this path"),
        ("application/octet-stream", b"#EXTM3U\nfile:///etc/passwd", "has a playlist"),
        ("", b"#EXTM3U\n", "has a playlist at this path"),
        ("video/mp4", b"\0\0\0 ftyp", "sends video/mp4; only JPEG pictures are taken"),
        ("image/png", b"\x89PNG", "sends image/png; only JPEG pictures are taken"),
        ("x\x1b[2J/y", b"", "sends something else; only JPEG pictures are taken"),
        ("", b"\n <!DOCTYPE HTML>", "has a web page at this path"),
        ("image/jpeg", gzip.compress(PICTURE), "sends its pictures in compressed form"),
        ("image/jpeg", b"", "has sent no complete JPEG picture"),
        ("image/jpeg", PICTURE[:-20], "has sent no complete JPEG picture"),
        ("", b"ffconcat version 1.0\nfile x", "has sent no complete JPEG picture"),
    ],
)
def test_anything_but_a_camera_is_reported_and_not_followed(
    kind: str, body: bytes, said: str
) -> None:
    assert fault(once(answer(body, kind))).startswith(f"http://CAMERA {said}")


@pytest.mark.process
def test_camera_is_trusted_by_its_certificate_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = secure.make_pair(tmp_path)
    with RawCamera(once(answer(PICTURE)), secure.server_context(pair)) as server:
        url = f"https://{server.address}/"
        why = r"its certificate is not trusted \(self.*\); verify = no plays it unchecked$"
        with camera_error(why):
            open_camera(url, CameraSettings())
        monkeypatch.setenv("SSL_CERT_FILE", str(pair.certificate))
        camera = HttpCamera(url, CameraSettings())
        camera.open()
        assert read(camera).data == PICTURE
        camera.close()


@pytest.mark.process
def test_trusted_certificates_are_read_once_however_often_it_connects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Mock(wraps=ssl.create_default_context)
    monkeypatch.setattr(ssl, "create_default_context", make)
    server_context = secure.server_context(secure.make_pair(tmp_path))
    with RawCamera(once(answer(PICTURE)), server_context) as server:
        camera = HttpCamera(f"https://{server.address}/", CameraSettings(verify=False))
        camera.open()
        for _ in range(3):
            read(camera)
        camera.close()
        assert len(server.asked) >= 3
    make.assert_called_once_with()


@pytest.mark.process
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_certificate_is_not_checked_if_verify_is_no_which_the_log_says(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("doorbelld.camera.http._may_warn", OncePerMinute())
    secured = secure.server_context(secure.make_pair(tmp_path)) if scheme == "https" else None
    with RawCamera(once(answer(PICTURE)), secured) as server:
        name = f"{scheme}://{server.address}"
        for _ in range(2):
            camera = HttpCamera(f"{name}/", CameraSettings(verify=False))
            camera.open()
            assert read(camera).data == PICTURE
            camera.close()
    expected = [f"{name}: its certificate is not checked ([camera] verify = no)"]
    assert [each.getMessage() for each in caplog.records] == expected * (scheme == "https")
