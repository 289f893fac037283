from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from doorbelld.camera import file as ours
from doorbelld.camera.base import CameraSettings
from doorbelld.camera.factory import open_camera
from doorbelld.drivers.errors import GoneError
from doorbelld.media import jpeg
from tests.support import pictures
from tests.support.daemon import GUARD, ROOT
from tests.support.reasons import camera_error

if TYPE_CHECKING:
    from doorbelld.camera.base import Camera, Shot

FOUR = [pictures.jpeg(number) for number in range(4)]
FAST = CameraSettings(framerate=200)


def take(camera: Camera, count: int) -> list[Shot]:
    """Return the next pictures that can be shown, each loaded before the next one is read."""
    shots: list[Shot] = []
    while len(shots) < count:
        shot = camera.read(GUARD)
        assert shot
        with suppress(ValueError):
            shots.append(shot._replace(data=shot.jpeg(), load=None))
    return shots


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "four.mjpeg"
    path.write_bytes(b"".join(FOUR))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "folder"
    path.mkdir()
    for number, suffix in enumerate(["jpg", "JPEG", "jpeg", "Jpg"]):
        (path / f"{number}.{suffix}").write_bytes(FOUR[number])
    (path / "readme.txt").write_text("no picture")
    return path


@pytest.mark.parametrize("source", ["file", "folder"])
def test_plays_every_picture_as_it_is_over_and_over(
    source: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(source)
    camera = open_camera(f"file:{path}", FAST)
    shots = take(camera, 10)
    camera.close()
    assert [shot.jpeg() for shot in shots] == (FOUR * 3)[:10]
    assert camera.invalid == 0
    assert camera.name == f"File {path}"


def test_plays_at_the_asked_rate_and_stamps_the_moment_due(file: Path) -> None:
    camera = open_camera(f"file:{file}", CameraSettings(framerate=50))
    moments = [shot.captured_at for shot in take(camera, 10)]
    camera.close()
    beats = [(moment - moments[0]) * 50 for moment in moments]
    assert beats == pytest.approx([round(beat) for beat in beats], abs=0.001)
    assert round(beats[-1]) >= 9


def test_gives_nothing_before_its_time_and_loses_nothing_by_it(file: Path) -> None:
    camera = open_camera(f"file:{file}", CameraSettings(framerate=1))
    first = camera.read(GUARD)
    assert camera.read(0.001) is None
    second = camera.read(GUARD)
    camera.close()
    assert first
    assert second
    assert [first.jpeg(), second.jpeg()] == FOUR[:2]


def test_drops_and_counts_damaged_pictures(file: Path, folder: Path) -> None:
    file.write_bytes(FOUR[0] + FOUR[1][:-300] + FOUR[2])
    camera = open_camera(f"file:{file}", FAST)
    assert [shot.jpeg() for shot in take(camera, 2)] == [FOUR[0], FOUR[2]]
    camera.close()
    assert camera.invalid == 1
    (folder / "1.JPEG").write_bytes(FOUR[1][:-20])
    camera = open_camera(f"file:{folder}", FAST)
    assert [shot.jpeg() for shot in take(camera, 2)] == [FOUR[0], FOUR[2]]
    camera.close()
    assert camera.invalid == 1


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", FOUR[0][:-20]])
def test_says_that_there_is_no_picture_in_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "none.mjpg"
    file.write_bytes(content)
    with camera_error(f"^There is no JPEG picture in {file}$"):
        open_camera(f"file:{file}", FAST)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(content)
    with camera_error(f"^There is no JPEG picture in {folder}$"):
        open_camera(f"file:{folder}", FAST)


@pytest.mark.parametrize("name", ["door.jpg", "door.JPEG"])
def test_a_single_picture_is_read_again_and_again(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FOUR[0] + FOUR[1])
    camera = open_camera(f"file:{path}", FAST)
    first = take(camera, 1)
    path.write_bytes(FOUR[2][:-1])
    later = take(camera, 2)
    camera.close()
    assert [shot.data for shot in first + later] == [FOUR[0], FOUR[2], FOUR[2]]
    assert later[1].captured_at - later[0].captured_at == pytest.approx(0.5)


def test_repairs_pictures(file: Path, folder: Path) -> None:
    bare = [pictures.without_tables(data[:-2]) for data in FOUR]
    whole = [pictures.with_standard_tables(data) for data in FOUR]
    file.write_bytes(b"".join(bare))
    for path, data in zip(sorted(folder.glob("[0-3].*")), bare):
        path.write_bytes(data + b"\xff")
    for path in (file, folder):
        camera = open_camera(f"file:{path}", FAST)
        assert [shot.jpeg() for shot in take(camera, 12)] == whole * 3
        camera.close()
        assert camera.invalid == 0


def test_says_that_there_is_no_such_file(tmp_path: Path) -> None:
    with camera_error(f"^There is no file {tmp_path}/no.mjpeg$"):
        open_camera(f"file:{tmp_path}/no.mjpeg", FAST)
    (tmp_path / "file").touch()
    with camera_error(r"Not a directory$"):
        open_camera(f"file:{tmp_path}/file/no.mjpeg", FAST)


def test_says_that_the_file_has_gone_when_it_starts_again(file: Path) -> None:
    camera = open_camera(f"file:{file}", FAST)
    take(camera, 1)
    file.unlink()
    with camera_error("No such file"):
        take(camera, 4)
    camera.close()


def test_plays_what_is_in_the_file_when_it_starts_again(file: Path) -> None:
    camera = open_camera(f"file:{file}", FAST)
    take(camera, 6)
    other = [pictures.jpeg(number) for number in range(10, 13)]
    file.write_bytes(b"between" + b"".join(other))
    shown = [shot.jpeg() for shot in take(camera, 12)]
    camera.close()
    assert shown[-6:] == other * 2


def test_a_file_that_is_cut_short_while_it_plays_shows_no_half_picture(file: Path) -> None:
    camera = open_camera(f"file:{file}", FAST)
    take(camera, 5)
    os.truncate(file, len(b"".join(FOUR)) - 100)
    shown = [shot.jpeg() for shot in take(camera, 7)]
    camera.close()
    assert shown == (FOUR[:3] * 3)[1:8]


def test_a_picture_may_be_loaded_until_the_next_one_is_read_also_across_the_seam(
    file: Path,
) -> None:
    camera = open_camera(f"file:{file}", CameraSettings(framerate=20))
    take(camera, 7)
    last = camera.read(GUARD)
    assert last
    assert camera.read(0) is None
    assert last.jpeg() == FOUR[3]
    camera.close()
    with pytest.raises(GoneError):
        last.jpeg()


def test_may_be_closed_at_any_time_and_twice(file: Path) -> None:
    camera = open_camera(f"file:{file}", FAST)
    camera.close()
    camera.close()


def test_a_large_file_is_not_kept_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "large.mjpeg"
    picture = pictures.big_jpeg(400)
    with file.open("wb") as out:
        for _ in range(100_000_000 // len(picture)):
            out.write(picture)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    camera = open_camera(f"file:{file}", CameraSettings(framerate=1000))
    take(camera, 10)
    camera.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000


@pytest.mark.process
def test_loads_no_opencv(file: Path) -> None:
    script = f"""
import sys
from doorbelld.camera.base import CameraSettings
from doorbelld.camera.factory import open_camera
camera = open_camera("file:{file}", CameraSettings())
camera.read(1)
camera.close()
sys.exit("cv2" in sys.modules or "numpy" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_is_turned_if_asked(file: Path) -> None:
    camera = open_camera(f"file:{file}", CameraSettings(rotation=90))
    [shot] = take(camera, 1)
    camera.close()
    assert jpeg.size(shot.jpeg()) == (48, 64)


class TestPipe:
    @pytest.fixture
    def pipe(self, tmp_path: Path) -> Path:
        path = tmp_path / "pipe.mjpeg"
        os.mkfifo(path)
        return path

    def test_gives_each_picture_as_it_comes(self, pipe: Path) -> None:
        camera = open_camera(f"file:{pipe}", FAST)
        with pipe.open("wb", buffering=0) as writer:
            for data in FOUR:
                before = time.monotonic()
                writer.write(data)
                [shot] = take(camera, 1)
                assert shot.data == data
                assert before <= shot.captured_at <= time.monotonic()
        camera.close()
        assert camera.name == f"Pipe {pipe}"

    def test_of_several_that_wait_it_gives_the_newest(self, pipe: Path) -> None:
        camera = open_camera(f"file:{pipe}", FAST)
        with pipe.open("wb", buffering=0) as writer:
            writer.write(b"".join(FOUR))
            assert take(camera, 1)[0].data == FOUR[3]
            assert camera.read(0.001) is None
        camera.close()

    def test_a_writer_that_never_pauses_does_not_hold_it(
        self, pipe: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ours, "_AT_ONCE", 1)
        monkeypatch.setattr(ours, "_CHUNK", len(FOUR[0]))
        camera = open_camera(f"file:{pipe}", FAST)
        with pipe.open("wb", buffering=0) as writer:
            writer.write(FOUR[0] * 4)
            assert len(take(camera, 4)) == 4
            assert camera.read(0) is None
        camera.close()

    def test_puts_together_what_comes_in_pieces(self, pipe: Path) -> None:
        camera = open_camera(f"file:{pipe}", FAST)
        with pipe.open("wb", buffering=0) as writer:
            writer.write(FOUR[0][:100])
            assert camera.read(0.001) is None
            writer.write(FOUR[0][100:] + FOUR[1][:50])
            assert take(camera, 1)[0].data == FOUR[0]
            writer.write(FOUR[1][50:])
            assert take(camera, 1)[0].data == FOUR[1]
        camera.close()

    def test_takes_pictures_larger_than_the_pipe(self, pipe: Path) -> None:
        camera = open_camera(f"file:{pipe}", FAST)
        picture = pictures.big_jpeg(400)

        def write() -> None:
            with pipe.open("wb", buffering=0) as writer:
                rest = memoryview(picture)
                while rest:
                    rest = rest[writer.write(rest) :]

        thread = threading.Thread(target=write)
        thread.start()
        assert take(camera, 1)[0].data == picture
        thread.join(GUARD)
        camera.close()

    def test_a_picture_without_an_end_marker_ends_where_the_next_starts(self, pipe: Path) -> None:
        camera = open_camera(f"file:{pipe}", FAST)
        with pipe.open("wb", buffering=0) as writer:
            writer.write(FOUR[0][:-2])
            assert camera.read(0.001) is None
            for before, data in zip(FOUR, FOUR[1:]):
                writer.write(data[:-2])
                assert take(camera, 1)[0].data == before
        # The last one may have been cut off with the connection.
        with camera_error("has stopped"):
            camera.read(GUARD)
        camera.close()
        assert camera.invalid == 0

    def test_counts_what_breaks_off(self, pipe: Path) -> None:
        camera = open_camera(f"file:{pipe}", FAST)
        with pipe.open("wb", buffering=0) as writer:
            writer.write(FOUR[0][:-300] + FOUR[1])
            assert take(camera, 1)[0].data == FOUR[1]
        camera.close()
        assert camera.invalid == 1

    def test_waits_for_its_writer(self, pipe: Path) -> None:
        camera = open_camera(f"file:{pipe}", FAST)
        assert camera.read(0.01) is None
        assert camera.read(0) is None
        camera.close()

    def test_says_that_its_writer_has_stopped(self, pipe: Path) -> None:
        camera = open_camera(f"file:{pipe}", FAST)
        with pipe.open("wb", buffering=0) as writer:
            writer.write(FOUR[0])
        take(camera, 1)
        with camera_error(f"^The program writing pictures to {pipe} has"):
            camera.read(GUARD)
        camera.close()
        camera.close()

    def test_says_that_the_pipe_is_gone(self, pipe: Path) -> None:
        pipe.unlink()
        with camera_error(r"^Cannot read .*: No such file"):
            ours.PipeCamera(pipe).open()

    def test_writer_that_never_pauses_does_not_hold_a_read(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        feed, give_up_at = jpeg.Splitter.feed, time.monotonic() + GUARD

        def feed_until(splitter: jpeg.Splitter, data: bytes) -> list[bytes]:
            assert time.monotonic() < give_up_at, "it reads for ever"
            return feed(splitter, data)

        monkeypatch.setattr(jpeg.Splitter, "feed", feed_until)
        camera = ours.PipeCamera(Path("/dev/zero"))  # no writer is faster
        camera.open()
        assert camera.read(0.05) is None
        camera.close()

    def test_pictures_before_and_after_want_of_memory_do_not_become_one(
        self, pipe: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        camera = open_camera(f"file:{pipe}", FAST)
        middle = len(FOUR[0]) - 20
        with pipe.open("wb", buffering=0) as writer:
            writer.write(FOUR[0][:middle])
            assert camera.read(0.01) is None
            writer.write(FOUR[0][middle:] + FOUR[1][:middle])
            with monkeypatch.context() as patch:
                patch.setattr(jpeg.Splitter, "feed", mock.Mock(side_effect=MemoryError))
                with pytest.raises(MemoryError):
                    camera.read(GUARD)
            writer.write(FOUR[1][middle:] + FOUR[2])
            assert [shot.jpeg() for shot in take(camera, 1)] == [FOUR[2]]
        assert camera.invalid == 1
        camera.close()


@pytest.mark.parametrize("tail", [bytes(100), b"film", FOUR[1], b"\xff\xd8\xff\xe1\0"])
def test_what_phones_put_behind_a_picture_is_cut_off(folder: Path, tail: bytes) -> None:
    for path in folder.iterdir():
        path.write_bytes(FOUR[0] + tail)
    camera = open_camera(f"file:{folder}", FAST)
    assert [shot.jpeg() for shot in take(camera, 3)] == [FOUR[0]] * 3
    assert camera.invalid == 0
    camera.close()


def test_a_folder_may_have_files_that_are_too_large_and_other_things(folder: Path) -> None:
    os.mkfifo(folder / "0a.jpg")
    (folder / "0b.jpg").mkdir()
    (folder / "0c.jpg").write_bytes(FOUR[1][:-2])
    os.truncate(folder / "0c.jpg", 1 << 40)
    camera = open_camera(f"file:{folder}", FAST)
    assert [shot.jpeg() for shot in take(camera, 4)] == FOUR
    assert camera.invalid == 1
    camera.close()


def test_a_file_without_an_end_and_without_a_picture_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "endless.mjpeg"
    path.touch()
    os.truncate(path, 1 << 40)
    with camera_error(r"has 32 MB without a JPEG picture$"):
        open_camera(f"file:{path}", CameraSettings())
    path.unlink()
    path.symlink_to("/dev/zero")
    with camera_error(r"has 32 MB without a JPEG picture$"):
        open_camera(f"file:{path}", CameraSettings())
