from __future__ import annotations

import base64
import contextlib
import re
import socket
import subprocess
import sys
import threading
import time
from typing import IO, TYPE_CHECKING, Any
from unittest import mock

import cv2
import numpy as np
import pytest

from doorbelld.camera.base import CameraError, CameraSettings
from doorbelld.camera.factory import open_camera
from doorbelld.camera.opencv import NetworkCamera, V4l2Camera, VideoCamera
from doorbelld.media import jpeg
from tests.support import pictures
from tests.support.daemon import GUARD, ROOT
from tests.support.v4l2 import DEVICE, V4l2Device, Watcher
from tests.support.web_camera import WebCamera

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from doorbelld.camera.base import Camera, Shot

SOURCE = f"v4l2:{DEVICE}"


def data_of(event: dict[str, Any]) -> bytes:
    return base64.b64decode(event["data"])


def decoded(data: bytes) -> Any:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return image


def read_until(camera: Camera, wanted: Callable[[Shot], bool]) -> Shot:
    give_up_at = time.monotonic() + GUARD
    while time.monotonic() < give_up_at:
        shot = camera.read(1)
        if shot and wanted(shot):
            return shot
    raise AssertionError("the picture never came")


class TestV4l2:
    def test_passes_on_the_webcams_own_jpegs_byte_by_byte_and_in_order(
        self, device: V4l2Device
    ) -> None:
        shown = [pictures.jpeg(number, 640, 480) for number in range(16)]
        with Watcher(SOURCE, device.environ) as watcher:
            assert watcher.next("name")["name"] == "Preloaded Camera (/dev/video9)"
            got = [shown.index(data_of(watcher.next("data"))) for _ in range(10)]
        steps = {(after - before) % 16 for before, after in zip(got, got[1:])}
        assert 0 not in steps
        assert 1 in steps
        assert watcher.errors == ""

    @pytest.mark.parametrize("formats", ["YUYV", "GREY", "BGR3"])
    def test_encodes_raw_pictures(self, device: V4l2Device, formats: str) -> None:
        environ = {**device.environ, "FAKE_V4L2_FORMATS": formats}
        with Watcher(SOURCE, environ) as watcher:
            image = decoded(data_of(watcher.next("data")))
        assert image.shape == (480, 640)
        assert image[:, :300].mean() < 100 < image[:, 340:].mean()

    def test_turns_raw_pictures_rather_than_jpegs_if_the_camera_has_both(
        self, device: V4l2Device
    ) -> None:
        environ = {**device.environ, "FAKE_V4L2_FORMATS": "MJPG,YUYV"}
        with Watcher(SOURCE, environ, rotation=90) as watcher:
            image = decoded(data_of(watcher.next("data")))
        assert image.shape == (640, 480)
        assert image[:300].mean() < 100 < image[340:].mean()

    def test_turns_the_pictures_of_a_camera_that_has_only_jpegs(self, device: V4l2Device) -> None:
        with Watcher(SOURCE, device.environ, rotation=90) as watcher:
            assert jpeg.size(data_of(watcher.next("data"))) == (480, 640)

    def test_turns_jpegs_if_raw_pictures_are_too_slow(self, device: V4l2Device) -> None:
        environ = {**device.environ, "FAKE_V4L2_FORMATS": "MJPG,YUYV", "FAKE_V4L2_RAW_FPS": "5"}
        with Watcher(SOURCE, environ, rotation=90) as watcher:
            image = decoded(data_of(watcher.next("data")))
        assert image.shape == (640, 480)
        assert image.max() - image.min() < 5

    def test_never_turns_a_damaged_jpeg(self, device: V4l2Device) -> None:
        device.become("truncated")
        with Watcher(SOURCE, device.environ, hflip="true") as watcher:
            assert watcher.next("none")["invalid"] == 1

    def test_counts_a_jpeg_that_cannot_be_decoded(self, v4l2_library: Path, tmp_path: Path) -> None:
        empty = V4l2Device(v4l2_library, tmp_path, [b"\xff\xd8\xff\xd9"])
        with Watcher(SOURCE, empty.environ, hflip="true") as watcher:
            assert watcher.next("none")["invalid"] == 1

    def test_the_capture_time_is_the_drivers_stamp(self, device: V4l2Device) -> None:
        environ = {**device.environ, "FAKE_V4L2_AGE": "700"}
        with Watcher(SOURCE, environ) as watcher:
            assert 0.7 <= watcher.next("data")["age"] < 2

    def test_a_stamp_from_another_clock_is_not_believed(self, device: V4l2Device) -> None:
        environ = {**device.environ, "FAKE_V4L2_AGE": "-86400000"}
        with Watcher(SOURCE, environ) as watcher:
            assert 0 <= watcher.next("data")["age"] < 2
        environ["FAKE_V4L2_AGE"] = "60000"
        with Watcher(SOURCE, environ) as watcher:
            assert 0 <= watcher.next("data")["age"] < 2

    def test_after_a_pause_the_picture_is_a_new_one(self, device: V4l2Device) -> None:
        with Watcher(SOURCE, device.environ) as watcher:
            watcher.next("data")
            watcher.pause()
            watcher.next("paused")
            assert watcher.next("data")["age"] < 0.5

    @pytest.mark.parametrize("damage", ["garbage", "truncated"])
    def test_drops_and_counts_what_is_no_whole_jpeg(self, device: V4l2Device, damage: str) -> None:
        with Watcher(SOURCE, device.environ) as watcher:
            watcher.next("data")
            device.become(damage)
            first, second = watcher.next("none"), watcher.next("none")
            device.become("streaming")
            last = watcher.next("data")
        assert first["invalid"] == 1
        assert second["invalid"] == 2
        assert last["invalid"] >= 2
        assert jpeg.is_whole(data_of(last))

    def test_cuts_off_the_zeros_some_webcams_send_behind_a_jpeg(self, device: V4l2Device) -> None:
        device.become("padded")
        with Watcher(SOURCE, device.environ) as watcher:
            event = watcher.next("data")
        assert jpeg.is_whole(data_of(event))
        assert event["invalid"] == 0

    def test_a_silent_camera_is_waited_for_without_spinning(self, device: V4l2Device) -> None:
        device.become("silent")
        with Watcher(SOURCE, device.environ) as watcher:
            assert watcher.next("none")["waited"] > 0.5
            assert watcher.next("none")["waited"] > 0.5
            device.become("streaming")
            watcher.next("data")
            device.become("silent")
            assert watcher.next("none")["waited"] > 0.5

    def test_says_that_it_was_unplugged(self, device: V4l2Device) -> None:
        with Watcher(SOURCE, device.environ) as watcher:
            watcher.next("data")
            device.become("unplugged")
            said = watcher.next("error")["error"]
        assert said == "Preloaded Camera (/dev/video9) was unplugged"
        assert watcher.errors == ""

    def test_says_that_it_works_no_more(self, device: V4l2Device) -> None:
        with Watcher(SOURCE, device.environ) as watcher:
            watcher.next("data")
            device.become("broken")
            said = watcher.next("error")["error"]
        assert said == "Preloaded Camera (/dev/video9) has stopped working"

    def test_a_signal_does_not_look_like_an_unplugged_camera(self, device: V4l2Device) -> None:
        with Watcher(SOURCE, device.environ) as watcher:
            watcher.next("data")
            device.become("silent")
            watcher.next("none")
            while watcher.next("none")["waited"] > 0.9:
                watcher.interrupt()
            device.become("streaming")
            watcher.next("data")

    def test_a_raw_picture_that_opencv_does_not_understand_is_counted(self) -> None:
        camera = V4l2Camera("/dev/none", CameraSettings())
        camera._capture = mock.Mock()
        camera._capture.get.return_value = 0
        camera._capture.retrieve.return_value = (False, None)
        assert camera.read(1) is None
        assert camera.invalid == 1

    def test_a_raw_picture_of_another_size_than_agreed_is_counted(self) -> None:
        camera = V4l2Camera("/dev/none", CameraSettings())
        camera._capture = mock.Mock()
        camera._capture.get.return_value = 480
        camera._capture.retrieve.return_value = (True, np.zeros((1, 1000), np.uint8))
        assert camera.read(1) is None
        assert camera.invalid == 1

    @pytest.mark.parametrize(
        ("state", "said"),
        [
            ("busy", "The camera /dev/video9 is in use by another program"),
            ("unplugged", "There is no camera at /dev/video9; check that it is plugged in"),
        ],
    )
    def test_says_why_it_cannot_be_opened(self, device: V4l2Device, state: str, said: str) -> None:
        device.become(state)
        with Watcher(SOURCE, device.environ) as watcher:
            assert watcher.next("refused")["refused"] == said

    def test_says_that_opencv_cannot_read_the_cameras_format(self, device: V4l2Device) -> None:
        environ = {**device.environ, "FAKE_V4L2_FORMATS": "H264"}
        with Watcher(SOURCE, environ) as watcher:
            said = watcher.next("refused")["refused"]
        assert said.endswith("offers no picture format that OpenCV can read")

    @pytest.mark.parametrize("path", ["/dev/null", __file__])
    def test_says_that_it_is_no_camera(self, path: str) -> None:
        with pytest.raises(CameraError, match="is not a camera"):
            open_camera(f"v4l2:{path}", CameraSettings())


@pytest.mark.parametrize("source", ["v4l2:/dev/none", f"file:{__file__}", "rtsp://127.0.0.1:1/"])
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

    def test_says_that_a_file_is_no_video(self) -> None:
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


def opened(url: str) -> NetworkCamera:
    camera = NetworkCamera(url, CameraSettings())
    camera.open()
    return camera


class TestNetwork:
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
            camera = NetworkCamera(url, CameraSettings(stall_timeout=2))
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
    def open_in_vain(camera: NetworkCamera) -> None:
        with contextlib.suppress(CameraError):
            camera.open()

    def test_says_that_there_is_nobody(self) -> None:
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
    def test_a_secret_of_the_url_is_never_told(self) -> None:
        script = """
import sys
from doorbelld.camera.base import CameraError, CameraSettings
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
            camera = NetworkCamera(f"http://{web.address}/video", CameraSettings())
            with pytest.raises(CameraError, match=r"has pictures of 64x48 pixels, which is too"):
                camera.open()
            camera.close()

    def test_its_name_keeps_the_port_of_a_numeric_address(self) -> None:
        camera = NetworkCamera("rtsp://u:p@ss@[fe80::1]:554/live?x=y#z", CameraSettings())
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
def test_playlist_is_no_video(video: Path, name: str, text: str) -> None:
    path = video.with_name(name)
    path.write_text(text.format(video.name))
    with pytest.raises(CameraError, match="no video in"):
        open_camera(f"file:{path}", CameraSettings())
