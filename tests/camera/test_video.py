from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import threading
import time
from typing import IO, TYPE_CHECKING
from unittest import mock

import cv2
import numpy as np
import pytest

from doorbelld.camera.base import CameraSettings
from doorbelld.camera.factory import open_camera
from doorbelld.camera.video import RtspCamera, VideoCamera
from doorbelld.drivers.errors import CameraError
from doorbelld.media import jpeg
from tests.support import pictures
from tests.support.daemon import GUARD, ROOT
from tests.support.web_camera import WebCamera

if TYPE_CHECKING:
    from collections.abc import Callable
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


def film(path: Path, framerate: float) -> Path:
    """Make a video of eight frames."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), framerate, (64, 48))
    for number in range(8):
        writer.write(np.full((48, 64, 3), 8 + 16 * number, np.uint8))
    writer.release()
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Return a video of eight frames at 20 frames a second."""
    return film(tmp_path / "video.avi", 20)


class TestVideo:
    def test_plays_at_its_own_speed_over_and_over(self, video: Path) -> None:
        camera = open_camera(f"file:{video}", CameraSettings(framerate=5))
        shots = [camera.read(GUARD) for _ in range(20)]
        camera.close()
        due = [shot.captured_at for shot in shots if shot]
        beats = [round((moment - due[0]) * 20) for moment in due]
        assert all(abs((m - due[0]) * 20 - b) < 0.001 for m, b in zip(due, beats))
        # Each is the picture of its own beat, should one have been too late for some.
        numbers = [pictures.number_of(shot.data) for shot in shots if shot]
        assert all(number == beat for number, beat in zip(numbers, beats) if beat < 8)
        assert len(due) == 20

    def test_leaves_out_the_frames_it_was_too_slow_for(self, video: Path) -> None:
        camera = open_camera(f"file:{video}", CameraSettings())
        first = camera.read(GUARD)
        time.sleep(0.22)  # four frames and a bit
        second = camera.read(GUARD)
        camera.close()
        assert first
        assert second
        assert pictures.number_of(first.data) == 0
        beat = round((second.captured_at - first.captured_at) * 20)
        assert beat >= 4
        assert pictures.number_of(second.data) == (beat if beat < 8 else 0)

    def test_gives_nothing_before_its_time(self, tmp_path: Path) -> None:
        camera = open_camera(f"file:{film(tmp_path / 'slow.avi', 1)}", CameraSettings())
        camera.read(GUARD)
        assert camera.read(0.001) is None
        camera.close()

    def test_a_frame_that_cannot_be_converted_is_counted(self, video: Path) -> None:
        camera = VideoCamera(video, CameraSettings())
        camera._capture = mock.Mock()
        camera._capture.retrieve.return_value = (False, None)
        assert camera.read(GUARD) is None
        assert camera.invalid == 1

    def test_turns_the_picture(self, video: Path) -> None:
        camera = open_camera(f"file:{video}", CameraSettings(rotation=270))
        shot = camera.read(GUARD)
        camera.close()
        assert shot
        assert jpeg.size(shot.data) == (48, 64)

    def test_says_that_a_file_is_not_a_video(self) -> None:
        with pytest.raises(CameraError, match="no video in"):
            open_camera(f"file:{__file__}", CameraSettings())

    def test_pictures_too_large_to_be_decoded_are_refused(
        self, video: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jpeg, "MOST_PIXELS_DECODED", 64 * 48 - 1)
        with pytest.raises(CameraError, match=r"has pictures of 64x48 pixels, which is too large"):
            open_camera(f"file:{video}", CameraSettings())

    def test_says_that_the_file_has_gone_when_it_starts_again(self, video: Path) -> None:
        camera = open_camera(f"file:{video}", CameraSettings())
        video.unlink()
        with pytest.raises(CameraError, match="no video in"):
            read_until(camera, lambda _: False)
        camera.close()


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
        assert pictures.number_of(shot.data) == 3

    @pytest.mark.usefixtures("_any_protocol")
    def test_keeps_only_the_newest_picture_for_a_slow_reader(self) -> None:
        shown = [pictures.jpeg(number) for number in range(16)]
        with WebCamera(shown, framerate=50) as web:
            camera = opened(f"http://{web.address}/video")
            first = camera.read(GUARD)
            time.sleep(2)  # a hundred pictures
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
            with pytest.raises(CameraError, match="has stopped sending pictures"):
                read_until(camera, lambda _: False)
            camera.close()

    def test_asks_an_rtsp_camera_for_tcp(self) -> None:
        """The camera answers as far as the SETUP request, which names the transport."""
        sdp = "v=0\r\no=- 0 0 IN IP4 0\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\n"
        answers = {"OPTIONS": "", "DESCRIBE": sdp}
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"rtsp://127.0.0.1:{server.getsockname()[1]}/a"
            camera = RtspCamera(url, CameraSettings(stall_timeout=2))
            thread = threading.Thread(target=self.open_in_vain, args=(camera,))
            thread.start()
            connection, _ = server.accept()
            with connection, connection.makefile("rw", newline="") as talk:
                request = self.read_request(talk)
                while (method := request.split()[0]) in answers:
                    number = re.search(r"CSeq: (\d+)", request)
                    assert number
                    body = answers[method]
                    talk.write(f"RTSP/1.0 200 OK\r\nCSeq: {number[1]}\r\n")
                    talk.write("Content-Type: application/sdp\r\n")
                    talk.write(f"Content-Length: {len(body)}\r\n\r\n{body}")
                    talk.flush()
                    request = self.read_request(talk)
            thread.join(GUARD)
            camera.close()
        assert request.startswith("SETUP")
        assert "Transport: RTP/AVP/TCP" in request

    @staticmethod
    def read_request(talk: IO[str]) -> str:
        return "".join(iter(talk.readline, "\r\n"))

    @staticmethod
    def open_in_vain(camera: RtspCamera) -> None:
        with contextlib.suppress(CameraError):
            camera.open()

    def test_says_that_nothing_listens_there(self) -> None:
        with pytest.raises(CameraError, match=r"^Cannot get pictures from rtsp://127.0.0.1:1$"):
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
            with pytest.raises(CameraError, match=r"^Cannot get pictures from"):
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
            "Cannot get pictures from rtsp://127.0.0.1:1",
        ]

    @pytest.mark.usefixtures("_any_protocol")
    def test_pictures_too_large_to_be_decoded_are_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jpeg, "MOST_PIXELS_DECODED", 64 * 48 - 1)
        with WebCamera([pictures.jpeg()]) as web:
            camera = RtspCamera(f"http://{web.address}/video", CameraSettings())
            with pytest.raises(CameraError, match=r"has pictures of 64x48 pixels, which is too"):
                camera.open()
            camera.close()

    def test_its_name_keeps_the_port_of_a_numeric_address(self) -> None:
        camera = RtspCamera("rtsp://u:p@ss@[fe80::1]:554/live?x=y#z", CameraSettings())
        assert camera.name == "rtsp://[fe80::1]:554"
        camera.close()


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
    with pytest.raises(CameraError, match="no video in"):
        open_camera(f"file:{path}", CameraSettings())
