from __future__ import annotations

import contextlib
import itertools
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple
from unittest import mock

import cv2
import numpy as np
import pytest

from doorbelld.camera import video as video_module
from doorbelld.camera.base import CameraSettings
from doorbelld.camera.factory import open_camera
from doorbelld.camera.video import RtspCamera, VideoCamera
from doorbelld.drivers.errors import CameraError, GoneError
from doorbelld.media import codec, jpeg
from tests.support import pictures
from tests.support.daemon import GUARD, ROOT, eventually
from tests.support.films import film, film_of_quarters, turn
from tests.support.reasons import camera_error
from tests.support.rtsp_server import RtspServer
from tests.support.web_camera import WebCamera

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from doorbelld.camera.base import Camera, Shot


def read_until(camera: Camera, wanted: Callable[[Shot], bool]) -> Shot:
    give_up_at = time.monotonic() + GUARD
    while time.monotonic() < give_up_at:
        shot = camera.read(1)
        if shot and wanted(shot):
            return shot
    raise AssertionError("the picture never came")


@pytest.mark.parametrize("source", [f"file:{__file__}", "rtsp://127.0.0.1:1/"])
def test_says_that_opencv_is_not_installed(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(
        CameraError, match=r"^This camera needs OpenCV, which is not installed, or does not load$"
    ):
        open_camera(source, CameraSettings())


def read_some(camera: Camera, count: int) -> list[Shot]:
    """Return the next pictures."""
    return [read_until(camera, lambda _: True) for _ in range(count)]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Return a video of eight frames at 20 frames a second."""
    return film(tmp_path / "video.avi", 20)


class TestVideo:
    def test_plays_at_its_own_speed_over_and_over(self, video: Path) -> None:
        camera = open_camera(f"file:{video}", CameraSettings(framerate=5))
        shots = []
        for _ in range(20):
            (shot,) = read_some(camera, 1)
            shots.append((shot.captured_at, shot.jpeg()))
        camera.close()
        due = [moment for moment, _ in shots]
        beats = [round((moment - due[0]) * 20) for moment in due]
        assert all(abs((m - due[0]) * 20 - b) < 0.001 for m, b in zip(due, beats))
        # Each is the picture of its own beat, should one have been too late for some.
        numbers = [pictures.number_of(data) for _, data in shots]
        assert numbers == [beat % 8 for beat in beats]

    def test_gives_nothing_before_its_time(self, tmp_path: Path) -> None:
        camera = open_camera(f"file:{film(tmp_path / 'slow.avi', 1)}", CameraSettings())
        camera.read(GUARD)
        assert camera.read(0.001) is None
        camera.close()

    def test_a_frame_that_cannot_be_converted_is_damaged(self, video: Path) -> None:
        camera = VideoCamera(video, CameraSettings())
        camera.open()
        camera._file._capture = mock.Mock(**{"retrieve.return_value": (False, None)})
        shot = camera.read(GUARD)
        assert shot
        with pytest.raises(ValueError, match="cannot be converted"):
            shot.jpeg()

    def test_a_frame_is_encoded_once_and_only_if_it_is_loaded(
        self, video: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        encoded = mock.Mock(wraps=codec.encode)
        monkeypatch.setattr(codec, "encode", encoded)
        camera = open_camera(f"file:{video}", CameraSettings())
        shots = read_some(camera, 9)
        assert not encoded.called
        assert shots[-1].jpeg() == shots[-1].jpeg()
        camera.close()
        assert encoded.call_count == 1

    def test_a_frame_that_is_over_is_gone(self, video: Path) -> None:
        camera = open_camera(f"file:{video}", CameraSettings())
        first, second = read_some(camera, 2)
        with pytest.raises(GoneError):
            first.jpeg()
        camera.close()
        with pytest.raises(GoneError):
            second.jpeg()

    def test_frames_can_be_loaded_by_another_thread_while_it_plays(self, tmp_path: Path) -> None:
        camera = open_camera(f"file:{film(tmp_path / 'fast.avi', 500)}", CameraSettings())
        newest, done = read_some(camera, 1), threading.Event()
        wrong: list[Exception] = []

        def load() -> None:
            while not done.is_set():
                try:
                    assert jpeg.size(newest[-1].jpeg()) == (64, 48)
                except GoneError:
                    pass
                except Exception as error:  # noqa: BLE001  # whatever it is
                    wrong.append(error)

        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(300):
            newest += read_some(camera, 1)
        done.set()
        for thread in threads:
            thread.join()
        camera.close()
        assert wrong == []

    def test_turns_the_picture(self, video: Path) -> None:
        camera = open_camera(f"file:{video}", CameraSettings(rotation=270))
        (shot,) = read_some(camera, 1)
        assert jpeg.size(shot.jpeg()) == (48, 64)
        camera.close()

    def test_the_rotation_in_the_settings_adds_to_that_in_the_file(self, tmp_path: Path) -> None:
        film_of_quarters(tmp_path / "phone.mp4", [8, 88, 168, 248])
        path = turn(tmp_path / "phone.mp4", (0, 1, -1, 0))
        camera = open_camera(f"file:{path}", CameraSettings(rotation=90, hflip=True))
        (shot,) = read_some(camera, 1)
        image = cv2.imdecode(np.frombuffer(shot.jpeg(), np.uint8), cv2.IMREAD_GRAYSCALE)
        camera.close()
        assert image is not None
        # Upright it is 2 0 / 3 1, flipped 0 2 / 1 3, and then turned:
        assert [int(image[y, x]) // 80 for y in (12, 36) for x in (16, 48)] == [1, 0, 3, 2]

    def test_says_what_it_plays(self, video: Path) -> None:
        camera = open_camera(f"file:{video}", CameraSettings())
        assert camera.mode == "video, 20 frames a second"
        camera.close()
        assert VideoCamera(video, CameraSettings()).mode == "video"

    def test_says_that_a_file_is_not_a_video(self) -> None:
        with camera_error("no video in"):
            open_camera(f"file:{__file__}", CameraSettings())

    def test_pictures_too_large_to_be_decoded_are_refused(
        self, video: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jpeg, "MOST_PIXELS_DECODED", 64 * 48 - 1)
        with camera_error(r"has pictures of 64x48 pixels, which is too large"):
            open_camera(f"file:{video}", CameraSettings())

    def test_says_that_the_file_has_gone_when_it_starts_again(self, video: Path) -> None:
        camera = open_camera(f"file:{video}", CameraSettings())
        video.unlink()
        with camera_error("no video in"):
            read_until(camera, lambda _: False)
        camera.close()


class Player:
    """A VideoCamera with a clock of its own, and a file whose frames are numbered from 0.

    ``decoding`` and ``encoding`` are the seconds that a frame takes. The steps between frames,
    in seconds, are repeated for ever.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        steps: Sequence[float],
        decoding: Sequence[float] = (0,),
        encoding: float = 0,
        interval: float | None = None,
    ) -> None:
        self.now = 1000.0
        self.interval = interval or sum(steps) / len(steps)
        self.framerate = 1 / self.interval
        self.is_open = True
        self.number = 0
        self._steps, self._decoding = itertools.cycle(steps), itertools.cycle(decoding)
        self._encoding, self._longest = encoding, max(decoding)
        monkeypatch.setattr(video_module, "time", self)
        monkeypatch.setattr(video_module, "encode", self._encode)
        self.camera = VideoCamera(Path("film"), CameraSettings())
        self.camera._file = self  # type: ignore[assignment]
        self.camera.open()
        self.started_at = self.now

    # In place of the module time.

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    # In place of the file.

    def open(self) -> None:
        """Go to the first frame."""

    def advance(self) -> float:
        self.now += next(self._decoding)
        self.number += 1
        return next(self._steps)

    def image(self) -> int:
        return self.number

    def _encode(self, image: int, _: CameraSettings) -> bytes:
        self.now += self._encoding
        return str(image).encode()

    # For the test.

    def play(self, seconds: float) -> list[Played]:
        """Read and load pictures for some time."""
        found = []
        while self.now < self.started_at + seconds:
            before = self.now
            shot = self.camera.read(0.5)
            assert self.now - before <= 0.5 + 0.2 + self._longest
            if shot:
                number = int(shot.jpeg())
                found.append(Played(number, shot.captured_at - self.started_at, self.now))
        return found

    def widest(self, played: list[Played]) -> float:
        """Return the longest interval between two pictures."""
        moments = [each.arrived for each in played]
        return max(after - before for before, after in zip(moments, moments[1:]))


class Played(NamedTuple):
    """A picture that was shown: of which moment it is, and when it was there."""

    number: int
    moment: float
    arrived: float


class TestSlowMachine:
    def test_frames_that_cannot_be_encoded_in_time_are_left_out(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        player = Player(monkeypatch, [1 / 30], decoding=[0.02], encoding=0.1)
        played = player.play(60)
        assert len(played) > 60 * 3
        assert player.widest(played) < 0.4
        # It stays at now: after a minute it is at the frame of that minute.
        assert played[-1].number == pytest.approx(1800, abs=15)
        assert all(each.arrived - 1000 - each.moment < 0.3 for each in played)

    def test_a_video_that_decodes_slower_than_it_plays_plays_more_slowly(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        player = Player(monkeypatch, [1 / 30], decoding=[0.1], encoding=0.05)
        played = player.play(60)
        assert caplog.messages == [
            "File film: decoding takes longer than playing, so it plays more slowly"
        ]
        # Once that is known, every picture is shown that can be.
        assert [each.number for each in played[-100:]] == [
            *range(player.number - 99, player.number + 1)
        ]
        assert len(played) > 60 / 0.15 * 0.9
        assert player.widest(played) < 0.4
        assert player.widest(played[20:]) == pytest.approx(0.15)
        assert all(each.arrived - 1000 - each.moment < 0.3 for each in played)

    def test_frames_that_are_decoded_in_bursts_are_not_slow(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        player = Player(monkeypatch, [1 / 30], decoding=[0.1, 0.001, 0.001, 0.001])
        played = player.play(60)
        assert played[-1].number == pytest.approx(1800, abs=5)
        assert caplog.messages == []

    def test_a_pause_of_the_machine_is_not_made_up_for_by_a_long_search(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        player = Player(monkeypatch, [1 / 30], decoding=[0.03])
        player.play(5)
        player.now += 3600
        before = player.now
        shot = player.camera.read(0.5)
        assert shot
        assert player.now - before < 0.3
        assert player.now - shot.captured_at < 0.1

    def test_after_a_pause_a_frame_that_waited_to_be_shown_is_too_late(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        player = Player(monkeypatch, [*[0.05] * 5, 1], interval=0.2)
        (*_, before) = read_some(player.camera, 6)
        assert player.camera.read(0.3) is None
        player.now += 3600
        shots = read_some(player.camera, 3)
        assert shots[0].captured_at - before.captured_at > 3600
        assert int(shots[-1].jpeg()) > 100

    def test_a_single_pause_does_not_make_the_machine_slow(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        player = Player(monkeypatch, [0.1], decoding=[3, *[0.01] * 100])
        player.play(60)
        assert caplog.messages == []

    def test_it_recovers_when_the_machine_is_fast_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        player = Player(monkeypatch, [0.1], decoding=[*[0.3] * 20, *[0.01] * 10_000])
        player.play(20)
        number, moment, _ = player.play(21)[-1]
        assert player.play(60)[-1].number - number == pytest.approx((60 - moment) / 0.1, abs=2)


class TestTimesOfFrames:
    def test_frames_keep_their_times(self, monkeypatch: pytest.MonkeyPatch) -> None:
        steps = [0.1, 0.1, 0.03, 0.03, 0.03, 0.9, 0.05, 0.1, 0.4]
        played = Player(monkeypatch, steps).play(20)
        assert [each.number for each in played] == [*range(len(played))]
        due = list(itertools.accumulate(itertools.islice(itertools.cycle(steps), 200), initial=0))
        assert [each.moment for each in played] == pytest.approx(due[: len(played)])
        # In the first round the camera does not know yet how early it has to look.
        assert all(each.arrived - 1000 - each.moment < 0.001 for each in played[10:])

    def test_a_frame_that_lasts_long_is_shown_again_and_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        player = Player(monkeypatch, [10])
        assert [each[:2] for each in player.play(12.5)] == [
            *((0, second) for second in range(10)),
            *((1, second) for second in range(10, 13)),
        ]

    def test_it_is_shown_again_also_among_short_ones(self, monkeypatch: pytest.MonkeyPatch) -> None:
        player = Player(monkeypatch, [0.5, 0.5, 4])
        moments = [0, 0.5, 1, 2, 3, 4, 5, 5.5, 6, 7]
        played = player.play(7.1)
        assert [each.moment for each in played] == pytest.approx(moments)
        assert [each.number for each in played] == [0, 1, 2, 2, 2, 2, 3, 4, 5, 5]

    def test_nothing_comes_while_a_frame_lasts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        player = Player(monkeypatch, [10])
        assert player.camera.read(0.5)
        assert player.camera.read(0.5) is None
        assert player.camera.read(0.6)

    @pytest.mark.parametrize(("interval", "number"), [(0.2, 10), (0.05, 11)])
    def test_a_frame_that_nobody_looked_at_while_it_was_new(
        self, monkeypatch: pytest.MonkeyPatch, interval: float, number: int
    ) -> None:
        """If a long step is a surprise, the next frame is decoded, and is better than none."""
        player = Player(monkeypatch, [*[interval] * 10, 3, 0.1], interval=interval)
        shots = read_some(player.camera, 11)
        assert player.camera.read(0.3) is None
        assert int(shots[-1].jpeg()) == number


@pytest.mark.process
def test_a_large_video_is_shown_however_slow_the_machine_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No machine decodes 960 of these pictures a second; yet few are decoded for nothing."""
    path = tmp_path / "large.mp4"
    source = "testsrc2=size=3840x2160:rate=960,noise=alls=20:allf=t"
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", source]
    options = ["-frames:v", "24", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "30"]
    subprocess.run([*command, *options, path], check=True)
    camera = VideoCamera(path, CameraSettings())
    advance = mock.Mock(wraps=camera._file.advance)
    monkeypatch.setattr(camera._file, "advance", advance)
    camera.open()
    for _ in range(10):
        (shot,) = read_some(camera, 1)
        assert jpeg.size(shot.jpeg()) == (3840, 2160)
    shown = advance.call_count
    assert time.monotonic() - shot.captured_at < GUARD
    read_some(camera, 10)
    camera.close()
    assert advance.call_count - shown == 10


@pytest.fixture
def _any_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let FFmpeg open an http URL, which is easier to serve than rtsp."""
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")


def opened(url: str) -> RtspCamera:
    camera = RtspCamera(url, CameraSettings())
    camera.open()
    return camera


class TestRtsp:
    @pytest.mark.usefixtures("_any_protocol")
    def test_shows_the_newest_picture_of_a_multipart_stream(self) -> None:
        with WebCamera([pictures.jpeg(3)]) as web:
            camera = opened(f"http://{web.address}/video")
            shot = camera.read(GUARD)
            camera.close()
        assert shot
        assert pictures.number_of(shot.jpeg()) == 3

    @pytest.mark.usefixtures("_any_protocol")
    def test_encodes_only_pictures_that_are_wanted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        encoded = mock.Mock(wraps=codec.encode)
        monkeypatch.setattr(codec, "encode", encoded)
        with WebCamera([pictures.jpeg()]) as web:
            camera = opened(f"http://{web.address}/video")
            shots = [camera.read(GUARD) for _ in range(3)]
            camera.close()
        assert encoded.call_count == 0
        assert shots[-1]
        assert jpeg.size(shots[-1].jpeg()) == (64, 48)
        assert encoded.call_count == 1

    @pytest.mark.usefixtures("_any_protocol")
    def test_keeps_only_the_newest_picture_for_a_slow_reader(self) -> None:
        shown = [pictures.jpeg(number) for number in range(16)]
        with WebCamera(shown, framerate=50) as web:
            camera = opened(f"http://{web.address}/video")
            first = camera.read(GUARD)
            sent = web.sent
            eventually(lambda: web.sent >= sent + 100, "a hundred pictures")
            before = time.monotonic()
            second = camera.read(GUARD)
            camera.close()
        assert first
        assert second
        assert before - second.captured_at < 1.5

    @pytest.mark.usefixtures("_any_protocol")
    def test_says_that_the_stream_has_ended(self) -> None:
        with WebCamera([pictures.jpeg()]) as web:
            camera = opened(f"http://{web.address}/video")
            camera.read(GUARD)
            web.hang_up()
            with camera_error("has stopped sending pictures"):
                read_until(camera, lambda _: False)
            camera.close()

    def test_asks_an_rtsp_camera_for_tcp_and_says_what_it_has(self) -> None:
        """The camera answers as far as the SETUP request, which names the transport."""
        sdp = "v=0\r\no=- 0 0 IN IP4 0\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\n"
        answers = {"OPTIONS": "", "DESCRIBE": sdp}
        setups: list[str] = []
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"rtsp://127.0.0.1:{server.getsockname()[1]}/a"
            camera = RtspCamera(url, CameraSettings(stall_timeout=2))
            thread = threading.Thread(target=self.open_in_vain, args=(camera,))
            thread.start()
            for _ in range(2):  # FFmpeg's connection, and ours that asks why it failed
                connection, _ = server.accept()
                with connection, connection.makefile("rw", newline="") as talk:
                    request = self.read_request(talk)
                    while request and (method := request.split()[0]) in answers:
                        number = re.search(r"CSeq: (\d+)", request)
                        assert number
                        body = answers[method]
                        talk.write(f"RTSP/1.0 200 OK\r\nCSeq: {number[1]}\r\n")
                        talk.write("Content-Type: application/sdp\r\n")
                        talk.write(f"Content-Length: {len(body)}\r\n\r\n{body}")
                        talk.flush()
                        request = self.read_request(talk)
                    setups += [request] * request.startswith("SETUP")
            thread.join(GUARD)
            with camera_error(r"has a video \(MJPEG\) that OpenCV cannot play$"):
                read_until(camera, lambda _: False)
            camera.close()
        assert len(setups) == 1
        assert "Transport: RTP/AVP/TCP" in setups[0]

    @staticmethod
    def read_request(talk: IO[str]) -> str:
        lines = iter(talk.readline, "\r\n")
        return "".join(itertools.takewhile(bool, lines))

    @staticmethod
    def open_in_vain(camera: RtspCamera) -> None:
        with contextlib.suppress(CameraError):
            camera.open()

    def test_says_that_nothing_listens_there(self) -> None:
        why = r"^Cannot get pictures from rtsp://127.0.0.1:1: nothing listens there$"
        with camera_error(why):
            open_camera("rtsp://127.0.0.1:1/a", CameraSettings())

    def test_a_server_that_says_nothing_is_given_up_after_a_while(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"rtsp://127.0.0.1:{server.getsockname()[1]}/"
            camera = open_camera(url, CameraSettings(stall_timeout=3))
            assert camera.read(0) is None
            camera.close()
            assert caplog.messages == [f"{camera.name}: waiting for the network to give up"]
            why = r"^Cannot get pictures from .*: it does not answer$"
            with camera_error(why):
                camera.read(GUARD)

    @pytest.mark.process
    def test_a_secret_of_the_url_is_never_shown(self) -> None:
        script = """
import sys
from doorbelld.camera.base import CameraSettings
from doorbelld.drivers.errors import CameraError
from doorbelld.camera.factory import open_camera
for scheme in ("http", "https", "rtsp"):
    try:
        url = scheme + "://user:hunter2@127.0.0.1:1/password=hunter4?key=hunter3"
        open_camera(url, CameraSettings())
    except CameraError as error:
        print(error)
"""
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        assert done.stdout.splitlines() == [
            "Cannot get pictures from http://127.0.0.1:1: nothing listens there",
            "Cannot get pictures from https://127.0.0.1:1: nothing listens there",
            "Cannot get pictures from rtsp://127.0.0.1:1: nothing listens there",
        ]

    @pytest.mark.usefixtures("_any_protocol")
    def test_pictures_too_large_to_be_decoded_are_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jpeg, "MOST_PIXELS_DECODED", 64 * 48 - 1)
        with WebCamera([pictures.jpeg()]) as web:
            camera = RtspCamera(f"http://{web.address}/video", CameraSettings())
            with camera_error(r"has pictures of 64x48 pixels, which is too"):
                camera.open()
            camera.close()

    def test_opencv_without_limits_of_time_plays_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Debian 11's has none."""
        monkeypatch.delattr(cv2, "CAP_PROP_OPEN_TIMEOUT_MSEC")
        with WebCamera([pictures.jpeg(3)]) as web:
            camera = opened(f"http://{web.address}/video")
            assert camera.read(GUARD)
            camera.close()

    def test_its_name_keeps_the_port_of_a_numeric_address(self) -> None:
        camera = RtspCamera("rtsp://u:p@ss@[fe80::1]:554/live?x=y#z", CameraSettings())
        assert camera.name == "rtsp://[fe80::1]:554"
        camera.close()


@pytest.fixture(scope="module")
def server() -> Iterator[RtspServer]:
    with RtspServer() as running:
        yield running


def why_not(url: str) -> str:
    camera = RtspCamera(url, CameraSettings())

    def play() -> None:
        camera.open()
        read_until(camera, lambda _: False)

    with camera_error() as caught:
        play()
    camera.close()
    return str(caught.value)


@pytest.mark.process
class TestRealServer:
    @pytest.mark.parametrize("path", ["video", "udp"])
    def test_plays_by_tcp_or_else_by_udp(
        self, server: RtspServer, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_flags;prefer_tcp")
        camera = open_camera(f"rtsp://{server.address()}/{path}", CameraSettings())
        shot = camera.read(GUARD)
        assert camera.mode == "MJPEG"
        camera.close()
        assert shot
        assert jpeg.size(shot.jpeg()) == (320, 240)

    @pytest.mark.parametrize("kind", [1, 2])
    def test_plays_with_a_password(self, server: RtspServer, kind: int) -> None:
        url = f"rtsp://anton:ses%40me@{server.address(kind)}/video"
        camera = open_camera(url, CameraSettings())
        assert camera.read(GUARD)
        camera.close()

    @pytest.mark.parametrize("kind", [1, 2])
    def test_says_that_the_password_is_wrong_or_missing(
        self, server: RtspServer, kind: int
    ) -> None:
        place = server.address(kind)
        wrong = f"rtsp://{place} refuses the user name or the password"
        assert why_not(f"rtsp://anton:wrong@{place}/video") == wrong
        missing = f"rtsp://{place} asks for a user name and a password; the source must be"
        assert why_not(f"rtsp://{place}/video").startswith(missing)

    def test_says_that_the_path_is_wrong(self, server: RtspServer) -> None:
        said = f"rtsp://{server.address()} has nothing at this path (status 404)"
        assert why_not(f"rtsp://{server.address()}/secret?key=secret") == said

    def test_says_that_there_is_only_sound(self, server: RtspServer) -> None:
        said = "sends sound only at this path; the path of the picture is needed"
        url = f"rtsp://{server.address()}"
        assert why_not(f"{url}/sound") == f"{url} {said}"


def test_empty_file_is_called_that(tmp_path: Path) -> None:
    path = tmp_path / "begun.mp4"
    path.touch()
    with camera_error(f"^There is no video in {path}: it is empty$"):
        open_camera(f"file:{path}", CameraSettings())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"),
        ("list.m3u", "#EXTM3U\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "#EXTM3U\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"),
        ("list.txt", "ffconcat version 1.0\nfile '{}'\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile '{}'\n"),
        ("list.sdp", "v=0\no=- 0 0 IN IP4 0\ns=-\nt=0 0\nm=video 5 RTP/AVP 26\n# {}\n"),
    ],
)
def test_playlist_is_not_a_video(video: Path, name: str, text: str) -> None:
    path = video.with_name(name)
    path.write_text(text.format(video.name))
    with camera_error("no video in"):
        open_camera(f"file:{path}", CameraSettings())
