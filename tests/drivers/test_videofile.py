from __future__ import annotations

import math
import subprocess
import wave
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from unittest import mock

import cv2
import pytest

from doorbelld.drivers.errors import CameraError
from doorbelld.drivers.videofile import VideoFile
from tests.support.films import film, film_of_quarters, turn
from tests.support.reasons import camera_error

if TYPE_CHECKING:
    from pathlib import Path


_VideoCapture = cv2.VideoCapture


def opened(path: Path) -> VideoFile:
    video = VideoFile(path, 5)
    video.open()
    return video


def steps_of(path: Path, count: int) -> list[float]:
    video = opened(path)
    steps = [round(video.advance(), 3) for _ in range(count)]
    video.close()
    return steps


def convert(path: Path, into: Path, *options: str) -> None:
    command = ("ffmpeg", "-nostdin", "-loglevel", "error", "-i", path)
    subprocess.run([*command, *options, into], check=True)


def shade(image: Any) -> int:
    return int(image.mean()) // 16


class Capture:
    """An OpenCV capture whose frames have these time stamps, in milliseconds."""

    def __init__(self, stamps: list[float], framerate: float = 10) -> None:
        self._stamps = iter(stamps)
        self._values = {cv2.CAP_PROP_FPS: framerate}
        self.isOpened = lambda: True
        self.set = lambda *_: True
        self.release = lambda: None

    def grab(self) -> bool:
        stamp = next(self._stamps, None)
        if stamp is not None:
            self._values[cv2.CAP_PROP_POS_MSEC] = stamp
        return stamp is not None

    def get(self, what: int) -> float:
        return self._values.get(what, 0)


class TestTimes:
    def play(
        self, path: Path, stamps: list[float], monkeypatch: pytest.MonkeyPatch, **options: float
    ) -> list[float]:
        """Return the steps of a film with these time stamps, to its start in the next round."""
        film(path, 20)
        monkeypatch.setattr(cv2, "VideoCapture", lambda *_: Capture(stamps, **options))
        return steps_of(path, len(stamps))

    @pytest.mark.parametrize(
        ("stamps", "steps"),
        [
            ([0, 100, 200], [0.1, 0.1]),
            ([0, 30, 900, 930], [0.03, 0.87, 0.03]),
            ([7000, 7100, 9000], [0.1, 1.9]),
            ([-200, -100, 500], [0.1, 0.6]),
            ([0, 0, 0, 0], [0.1, 0.1, 0.1]),
            # Missing, for a while: the time of those that have one is kept.
            ([0, 100, 0, 0, 400, 450], [0.1, 0.1, 0.1, 0.1, 0.05]),
            # Going back, as where two recordings were joined.
            ([0, 100, 200, 0, 100], [0.1, 0.1, 0.1, 0.1]),
            ([0, 95_443_717, 95_443_817], [0.1, 0.1]),
            ([0, math.nan, 200], [0.1, 0.1]),
            ([math.nan, 100, 200], [0.1, 0.1]),
            ([-math.inf, 100], [0.1]),
            ([-3.69e20, -3.69e20], [0.1]),
        ],
    )
    def test_are_those_of_the_frames(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        stamps: list[float],
        steps: list[float],
    ) -> None:
        found = self.play(tmp_path / "film.avi", stamps, monkeypatch)
        assert found == pytest.approx([*steps, 0.1])

    @pytest.mark.parametrize("framerate", [0, -1, 90_000, math.nan, math.inf])
    def test_without_a_frame_rate_the_one_asked_for_is_used(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, framerate: float
    ) -> None:
        found = self.play(tmp_path / "film.avi", [0, 0], monkeypatch, framerate=framerate)
        assert found == [0.2, 0.2]

    def test_a_slide_may_stand_longer_than_a_wrong_time_stamp_could(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "film.avi"
        assert self.play(path, [0, 300_000], monkeypatch, framerate=1 / 300) == [300, 300]

    def test_a_still_starts_again_only_once_a_second(self, tmp_path: Path) -> None:
        assert steps_of(film(tmp_path / "still.avi", 25, frames=1), 3) == [1, 1, 1]

    @pytest.mark.process
    @pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
    def test_of_real_files(self, tmp_path: Path, suffix: str) -> None:
        """In the middle of the round each frame lasts three times as long."""
        path = tmp_path / f"made.{suffix}"
        filters = "setpts=(N+2*clip(N-2\\,0\\,3))/20/TB" if suffix != "avi" else "null"
        convert(film(tmp_path / "film.avi", 20), path, "-vf", filters, "-vsync", "vfr")
        long = 0.15 if suffix != "avi" else 0.05
        expected = [0.05, 0.05, long, long, long, 0.05, 0.05]
        steps = steps_of(path, 15)
        assert steps[:7] == pytest.approx(expected, abs=0.002)
        assert 0.049 < steps[7] < 0.15  # How long the last frame lasts, no file says.
        assert steps[8:] == pytest.approx(expected, abs=0.002)


class TurnsTheWrongWay:
    """An OpenCV capture as that of Debian 12: it says 90 where others say 270."""

    def __init__(self, *source: Any) -> None:
        self._capture = _VideoCapture(*source)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._capture, name)

    def get(self, what: int) -> float:
        value = self._capture.get(what)
        return -value % 360 if what == cv2.CAP_PROP_ORIENTATION_META else value


class TestOrientation:
    @pytest.mark.parametrize("is_wrong", [False, True])
    @pytest.mark.parametrize(
        ("matrix", "expected"),
        [
            ((1, 0, 0, 1), [0, 1, 2, 3]),
            ((0, 1, -1, 0), [2, 0, 3, 1]),
            ((-1, 0, 0, -1), [3, 2, 1, 0]),
            ((0, -1, 1, 0), [1, 3, 0, 2]),
        ],
    )
    def test_pictures_are_upright(
        self,
        tmp_path: Path,
        matrix: tuple[int, int, int, int],
        expected: list[int],
        is_wrong: bool,
    ) -> None:
        path = turn(film_of_quarters(tmp_path / "phone.mp4", [8, 88, 168, 248]), matrix)
        with mock.patch("cv2.VideoCapture", TurnsTheWrongWay) if is_wrong else nullcontext():
            video = opened(path)
        image = video.image()
        video.close()
        assert image.shape[:2] == ((48, 64) if matrix[0] else (64, 48))
        height, width = image.shape[:2]
        found = [
            int(image[y * height // 4, x * width // 4].mean()) // 80 for y in (1, 3) for x in (1, 3)
        ]
        assert found == expected


class TestFaults:
    @pytest.mark.process
    @pytest.mark.parametrize("suffix", ["mp4", "mkv"])
    def test_format_that_cannot_be_decoded(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"new.{suffix}"
        convert(film(tmp_path / "film.avi", 20), path, "-c:v", "libaom-av1", "-cpu-used", "8")
        video = VideoFile(path, 5)
        with pytest.raises(
            CameraError, match=rf"^OpenCV cannot decode the video in {path} \(AV1\)$"
        ):
            video.open()
        assert not video.is_open

    def test_file_with_only_sound(self, tmp_path: Path) -> None:
        path = tmp_path / "sound.wav"
        with wave.open(str(path), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.writeframes(bytes(8000))
        with camera_error(rf"^The file {path} has only sound$"):
            opened(path)

    @pytest.mark.process
    def test_encrypted_file(self, tmp_path: Path) -> None:
        path = tmp_path / "encrypted.mp4"
        key = ("-encryption_key", "00" * 16, "-encryption_kid", "11" * 16)
        options = ("-c:v", "libx264", "-encryption_scheme", "cenc-aes-ctr", *key)
        convert(film(tmp_path / "film.avi", 20), path, *options)
        with camera_error(rf"^The file {path} is encrypted$"):
            opened(path)

    def test_file_without_its_end(self, tmp_path: Path) -> None:
        path = film(tmp_path / "film.mp4", 20)
        path.write_bytes(path.read_bytes()[:-500])
        with camera_error(rf"^The file {path} is incomplete: its index"):
            opened(path)

    def test_binary_file_of_no_known_kind(self, tmp_path: Path) -> None:
        path = tmp_path / "noise.mp4"
        path.write_bytes(bytes(range(256)) * 20)
        with camera_error(rf"^OpenCV finds no video in {path}$"):
            opened(path)


class TestWhileItPlays:
    def test_a_frame_that_opencv_fails_at_is_the_only_one_that_is_lost(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        capture = Capture([0, 100])
        capture.retrieve = mock.Mock(side_effect=cv2.error("no such conversion"))  # type: ignore[attr-defined]
        monkeypatch.setattr(cv2, "VideoCapture", lambda *_: capture)
        video = opened(film(tmp_path / "film.avi", 10))
        with pytest.raises(ValueError, match="OpenCV cannot: no such conversion"):
            video.image()
        assert video.advance() == pytest.approx(0.1)
        video.close()

    @pytest.mark.parametrize(("suffix", "count"), [("avi", 3), ("mp4", 1)])
    def test_an_mp4_is_opened_only_once(self, tmp_path: Path, suffix: str, count: int) -> None:
        path = film(tmp_path / f"film.{suffix}", 20)
        with mock.patch("cv2.VideoCapture", wraps=cv2.VideoCapture) as capture:
            video = opened(path)
            seen = [(shade(video.image()), round(video.advance(), 3)) for _ in range(20)]
        video.close()
        assert seen == [(number % 8, 0.05) for number in range(20)]
        assert capture.call_count == count

    @pytest.mark.parametrize("suffix", ["avi", "mp4"])
    def test_file_that_is_replaced_plays_to_its_end_and_then_the_new_one(
        self, tmp_path: Path, suffix: str
    ) -> None:
        path = film(tmp_path / f"film.{suffix}", 20)
        new = film(tmp_path / f"new.{suffix}", 5, frames=3)
        video = opened(path)
        new.rename(path)
        seen = [(shade(video.image()), round(video.advance(), 3)) for _ in range(12)]
        video.close()
        assert [number for number, _ in seen] == [*range(8), 0, 1, 2, 0]
        assert seen[8:] == [(0, 0.2), (1, 0.2), (2, 0.2), (0, 0.2)]

    @pytest.mark.parametrize("suffix", ["avi", "mp4"])
    def test_file_that_is_deleted_plays_to_its_end(self, tmp_path: Path, suffix: str) -> None:
        path = film(tmp_path / f"film.{suffix}", 20)
        video = opened(path)
        path.unlink()
        assert [round(video.advance(), 3) for _ in range(7)] == [0.05] * 7
        with camera_error(rf"^There is no video in {path}: No such file"):
            video.advance()

    @pytest.mark.parametrize("size", [0, 100, 3000])
    def test_file_that_is_cut_short_is_a_clear_error(self, tmp_path: Path, size: int) -> None:
        path = film(tmp_path / "film.mp4", 20, frames=2000, size=(320, 240))
        video = opened(path)
        with path.open("r+b") as file:
            file.truncate(size)
        with camera_error(str(path)):
            all(video.advance() for _ in range(3000))
        assert not video.is_open
