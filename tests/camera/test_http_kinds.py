"""What cheap network cameras do, each of which must play."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterable, Iterator

import pytest

from doorbelld.camera.base import CameraSettings
from doorbelld.camera.http import HttpCamera
from tests.support import pictures
from tests.support.daemon import Daemon, eventually
from tests.support.raw_camera import Asked, RawCamera, Script, answer

SHOWN = [pictures.jpeg(number) for number in range(8)]
MULTIPART = "multipart/x-mixed-replace; boundary=part"
THUMBNAIL = b"\xff\xd8\xff\xdb\0\x04\0\0\xff\xd9"
WITH_THUMBNAIL = (
    SHOWN[0][:2] + b"\xff\xe1" + (len(THUMBNAIL) + 2).to_bytes(2, "big") + THUMBNAIL + SHOWN[0][2:]
)


def head(data: bytes, *lines: str, eol: str = "\r\n") -> bytes:
    length = f"Content-Length: {len(data)}"
    return "".join(f"{each}{eol}" for each in (*lines, length)).encode() + eol.encode() + data


def usual(data: bytes) -> bytes:
    return b"--part\r\n" + head(data, "Content-Type: image/jpeg") + b"\r\n"


def stream(make: object, first: bytes = b"", kind: str = MULTIPART, more: str = "") -> Script:
    """Answer with the parts of all pictures, again and again."""
    assert callable(make)

    def script(_: Asked) -> Iterator[bytes]:
        yield answer(first, kind, more=more)
        yield from map(make, itertools.cycle(SHOWN))

    return script


def part(data: bytes, *lines: str, after: bytes = b"\r\n") -> bytes:
    return (
        b"--part\r\n" + "".join(f"{each}\r\n" for each in lines).encode() + b"\r\n" + data + after
    )


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


KEEP_ALIVE = part(b"still here", "Content-Type: text/plain", "Content-Length: 10")
JSON = part(b'{"motion": 1}', "Content-Type: application/json")
AUDIO = part(b"\x55\xd5" * 400, "Content-Type: audio/basic", "Content-Length: 800")
PLAYED: dict[str, Script] = {
    "as usual": stream(usual),
    "image/jpg": stream(lambda data: part(data, "Content-Type: image/jpg")),
    "a parameter": stream(lambda data: part(data, f"Content-Type: image/jpeg;size={len(data)}")),
    "no type": stream(part),
    "no length": stream(lambda data: part(data, "Content-Type: image/jpeg")),
    "no first boundary": stream(
        lambda data: head(data, "Content-Type: image/jpeg") + b"\r\n--part\r\n"
    ),
    "length too small": stream(lambda data: part(data, "Content-Length: 100")),
    "length a little too small": stream(
        lambda data: part(data, f"Content-Length: {len(data) - 2}")
    ),
    "length a little too large": stream(
        lambda data: part(data, f"Content-Length: {len(data) + 2}")
    ),
    "length too large": stream(lambda data: part(data, f"Content-Length: {2 * len(data)}")),
    "length of another": stream(lambda data: part(data, f"Content-Length: {len(SHOWN[3])}")),
    "length of a thumbnail": stream(
        lambda _: part(
            WITH_THUMBNAIL, f"Content-Length: {WITH_THUMBNAIL.index(THUMBNAIL) + len(THUMBNAIL)}"
        )
    ),
    "length that is nonsense": stream(lambda data: part(data, "Content-Length: many")),
    "keep-alives": stream(lambda data: KEEP_ALIVE + usual(data) + KEEP_ALIVE),
    "json": stream(lambda data: JSON + usual(data)),
    "audio": stream(lambda data: AUDIO + usual(data) + AUDIO),
    "no line break behind": stream(lambda data: usual(data)[:-2]),
    "line feeds": stream(
        lambda data: b"--part\n" + head(data, "Content-Type: image/jpeg", eol="\n") + b"\n"
    ),
    "a tail in the part": stream(lambda data: usual(data + bytes(100))),
    "quoted boundary": stream(usual, kind='multipart/x-mixed-replace;boundary="part"'),
    "boundary with dashes": stream(usual, kind="multipart/x-mixed-replace;boundary=--part"),
    "boundary without dashes": stream(lambda data: usual(data)[2:]),
    "no boundary parameter": stream(usual, kind="multipart/x-mixed-replace"),
    "wrong boundary": stream(usual, kind="multipart/x-mixed-replace;boundary=other"),
    "mixed case": stream(usual, kind="Multipart/X-Mixed-Replace; Boundary=part"),
    "preamble": stream(usual, first=b"This is a message in several parts.\r\n\r\n"),
    "epilogue": stream(lambda data: usual(data) + b"--part--\r\nThe end.\r\n"),
    "chunks": stream(lambda data: chunk(usual(data)), more="Transfer-Encoding: chunked\r\n"),
    "chunks of pieces": stream(
        lambda data: b"".join(chunk(bytes([each])) for each in usual(data)),
        more="Transfer-Encoding: chunked\r\n",
    ),
    "gzip that is none": stream(usual, more="Content-Encoding: gzip\r\n"),
    "video/x-mixed-replace": stream(usual, kind="video/x-mixed-replace;boundary=part"),
    "image/mjpeg": stream(usual, kind="image/mjpeg"),
    "text/plain": stream(usual, kind="text/plain"),
    "text/html": stream(usual, kind="text/html"),
    "text/plain, a line break first": stream(usual, first=b"\r\n", kind="text/plain"),
    "text/plain, pictures alone": stream(lambda data: data, kind="text/plain"),
    "without multipart": stream(lambda data: data, kind="image/jpeg"),
    "without multipart or type": stream(lambda data: data, kind=""),
    "http/1.0": lambda asked: (
        each.replace(b"HTTP/1.1 200 OK", b"HTTP/1.0 200") for each in stream(usual)(asked)
    ),
    "icy": lambda asked: (each.replace(b"HTTP/1.1", b"ICY") for each in stream(usual)(asked)),
    "http/0.9": lambda _: map(usual, itertools.cycle(SHOWN)),
    "http/0.9, no first boundary": lambda _: (
        head(data, "Content-Type: image/jpeg") + b"\r\n--part\r\n"
        for data in itertools.cycle(SHOWN)
    ),
    "http/0.9, pictures alone": lambda _: itertools.cycle(SHOWN),
    "a picture an answer": lambda _: [
        answer(usual(SHOWN[1]), MULTIPART, more=f"Content-Length: {len(usual(SHOWN[1]))}\r\n")
    ],
    "a picture an answer, and the last boundary": lambda _: [
        answer(usual(SHOWN[1]), MULTIPART),
        *(bytes([byte]) for byte in b"--part--\r\n"),
    ],
    "a still an answer, without a length": lambda _: [answer(SHOWN[1]), b""],
}


def read(camera: HttpCamera) -> bytes:
    """Return the next picture."""
    return eventually(lambda: [shot.data for shot in [camera.read(0.1)] if shot], "a picture")[0]


@pytest.mark.parametrize("script", PLAYED.values(), ids=list(PLAYED))
def test_plays(script: Script) -> None:
    with RawCamera(script) as server:
        camera = HttpCamera(f"http://{server.address}/", CameraSettings())
        camera.open()
        try:
            expected = [*SHOWN, WITH_THUMBNAIL]
            assert all(read(camera) in expected for _ in range(3))
            assert camera.invalid == 0
        finally:
            camera.close()


DRIPPING = [
    *("as usual", "no length", "length too small", "length too large", "http/0.9", "audio"),
    *("text/html", "text/plain, a line break first", "text/plain, pictures alone"),
]


@pytest.mark.parametrize("kind", DRIPPING)
def test_plays_byte_by_byte(kind: str) -> None:
    def script(asked: Asked) -> Iterator[bytes]:
        for data in itertools.islice(PLAYED[kind](asked), 4):
            yield from (data[i : i + 1] for i in range(len(data)))
        yield from PLAYED[kind](asked)

    with RawCamera(script) as server:
        camera = HttpCamera(f"http://{server.address}/", CameraSettings())
        camera.open()
        try:
            assert read(camera) in SHOWN
            assert camera.invalid == 0
        finally:
            camera.close()


def test_newest_picture_does_not_wait_for_what_follows_it() -> None:
    """Only a part without an end-of-image marker has to wait for the next boundary."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        camera = HttpCamera(f"http://127.0.0.1:{server.getsockname()[1]}/", CameraSettings())
        camera._receiver._thread.start()
        connection, _ = server.accept()
        with connection:
            connection.sendall(answer(b"", MULTIPART))
            for data in SHOWN:
                connection.sendall(usual(data)[:-2])
                assert read(camera) == data
            camera.close()


def test_camera_that_wakes_up_slowly_is_waited_for(daemon: Daemon) -> None:
    """It answers, and then takes eight seconds, longer than a camera may be silent later."""

    def script(asked: Asked) -> Iterator[bytes]:
        yield answer(b"", MULTIPART)
        awake_at = asked_at + 8
        eventually(lambda: time.monotonic() > awake_at, "the camera awake")
        yield from stream(usual)(asked)

    asked_at = time.monotonic()
    with RawCamera(script) as server:
        daemon.start({"camera.source": f"http://{server.address}/", "camera.stall_timeout": 2})
        camera = daemon.wait_for_state("streaming")
        assert camera["reopened"] == 0
        assert camera["detail"] == f"http://{server.address}, 64x48, MJPEG"
        daemon.stop()


class Dated:
    """A camera with one still picture at a time, and what it says of its age.

    ``modified`` is the Last-Modified, or ETag, of every picture.
    """

    def __init__(self, header: str = "Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT") -> None:
        self.picture = SHOWN[0]
        self.header = header
        self.unmodified = 0

    def __call__(self, asked: Asked) -> Iterable[bytes]:
        name, _, value = self.header.partition(": ")
        condition = "If-None-Match" if name == "ETag" else "If-Modified-Since"
        if asked.header(condition) == value:
            self.unmodified += 1
            return [b"HTTP/1.1 304 Not Modified\r\n\r\n"]
        return [answer(self.picture, more=f"{self.header}\r\n")]


@pytest.mark.parametrize("header", ["Last-Modified: Thu, 26 Nov 2026 10:00:00 GMT", 'ETag: "a"'])
def test_still_that_does_not_change_is_no_fault(daemon: Daemon, header: str) -> None:
    web = Dated(header)
    with RawCamera(web) as server:
        daemon.start({"camera.source": f"http://{server.address}/", "camera.stall_timeout": 1})
        daemon.wait_for_state("streaming")
        eventually(lambda: web.unmodified > 22, "a picture that has not changed for long")
        camera = daemon.status()["camera"]
        assert (camera["state"], camera["reopened"]) == ("streaming", 0)
        assert camera["detail"].startswith(f"http://{server.address}, 64x48")
        assert daemon.request("/healthz")[0].status == 200
        web.picture, web.header = SHOWN[5], header.replace("2026", "2027").replace("a", "b")
        eventually(lambda: daemon.request("/snapshot.jpg")[1] == SHOWN[5], "the new picture")
        daemon.stop()


def test_still_is_asked_for_under_a_condition_and_hardly_ever_sent_twice() -> None:
    web = Dated()
    with RawCamera(web) as server:
        camera = HttpCamera(f"http://{server.address}/", CameraSettings())
        camera.open()
        eventually(lambda: web.unmodified > 7, "requests")
        camera.close()
        sent = len(server.asked) - web.unmodified
        assert sent <= 4


def test_camera_that_always_says_not_modified_is_not_believed() -> None:
    """Without a clock, all its pictures are of the same second."""
    web = Dated()
    with RawCamera(web) as server:
        camera = HttpCamera(f"http://{server.address}/", CameraSettings())
        camera.open()
        for data in SHOWN:
            web.picture = data
            eventually(lambda: read(camera) == web.picture, "the next picture")
        camera.close()


def test_304_to_a_request_without_a_condition_is_a_fault(daemon: Daemon) -> None:
    with RawCamera(lambda _: [b"HTTP/1.1 304 Not Modified\r\n\r\n"]) as server:
        daemon.start({"camera.source": f"http://{server.address}/"})
        said = f"http://{server.address} answers with the status 304"
        assert daemon.wait_for_state("offline")["detail"] == said
        daemon.stop()


def test_slow_stills_are_no_lost_camera(daemon: Daemon) -> None:
    """They are asked for before they would count as lost, however low the frame rate is."""
    with RawCamera(lambda _: [answer(SHOWN[0])]) as server:
        settings = {"camera.stall_timeout": 1, "camera.framerate": 0.1}
        daemon.start({"camera.source": f"http://{server.address}/", **settings})
        daemon.wait_for_state("streaming")
        eventually(lambda: len(server.asked) > 4, "requests")
        assert daemon.status()["camera"]["reopened"] == 0
        daemon.stop()


def test_mode_says_how_pictures_come() -> None:
    length = f"Content-Length: {len(SHOWN[0])}\r\n"
    for script, mode in (
        (stream(usual), "MJPEG"),
        (lambda _: [answer(SHOWN[0], more=length)], "single pictures, 5 a second"),
    ):
        with RawCamera(script) as server:
            camera = HttpCamera(f"http://{server.address}/", CameraSettings())
            camera.open()
            read(camera)
            assert camera.mode == mode
            camera.close()
