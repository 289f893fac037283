from __future__ import annotations

import random
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorbelld.drivers.container import Contents, look_into, name_codec
from tests.support.films import film, patch, turn


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def large_box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4sQ", 1, kind, 16 + len(body)) + body


def track(kind: bytes, code: bytes, header: bytes = b"") -> bytes:
    entry = struct.pack(">II", 0, 1) + box(code)
    table = box(b"minf", box(b"stbl", box(b"stsd", entry)))
    handler = box(b"hdlr", struct.pack(">II4s", 0, 0, kind))
    return box(b"trak", box(b"tkhd", header), box(b"mdia", handler, table))


START = box(b"ftyp", b"isom")
VIDEO = track(b"vide", b"avc1")
SOUND = track(b"soun", b"mp4a")
MOVIE = START + box(b"moov", SOUND, VIDEO) + box(b"mdat", bytes(100))


def look(folder: Path, data: bytes) -> Contents:
    path = folder / "file"
    path.write_bytes(data)
    return look_into(path)


class TestBoxes:
    @pytest.mark.parametrize(
        ("code", "name"),
        [
            (b"avc1", "H.264"),
            (b"hev1", "H.265"),
            (b"av01", "AV1"),
            (b"apch", "ProRes"),
            (b"xvid", "xvid"),
            (b"\x01\x02\x03\x04", ""),
            (b"\xff\xfe\xfd\xfc", ""),
        ],
    )
    def test_names_the_codec_of_the_video(self, tmp_path: Path, code: bytes, name: str) -> None:
        data = START + box(b"mdat", bytes(9)) + box(b"moov", SOUND, track(b"vide", code))
        assert look(tmp_path, data) == Contents("", name, 0)

    @pytest.mark.parametrize("code", [b"encv", b"drmi"])
    def test_encrypted(self, tmp_path: Path, code: bytes) -> None:
        data = START + box(b"moov", track(b"vide", code))
        assert look(tmp_path, data).fault == "is encrypted"

    @pytest.mark.parametrize(
        ("movie", "fault"),
        [
            (SOUND, "has only sound"),
            (b"", "has no video"),
            (track(b"text", b"tx3g"), "has no video"),
        ],
    )
    def test_no_video(self, tmp_path: Path, movie: bytes, fault: str) -> None:
        assert look(tmp_path, START + box(b"moov", movie)).fault == fault

    def test_index_that_was_never_written(self, tmp_path: Path) -> None:
        missing = "is incomplete: its index, which is written last, is missing"
        assert look(tmp_path, START + box(b"mdat", bytes(100))).fault == missing
        assert look(tmp_path, START + box(b"mdat", bytes(100))[:50]).fault == missing
        assert look(tmp_path, START).fault == missing
        assert look(tmp_path, START + box(b"moov", VIDEO)[:-1]).fault == missing

    def test_picture_in_the_same_container(self, tmp_path: Path) -> None:
        data = box(b"ftyp", b"heic") + box(b"meta", bytes(4)) + box(b"mdat", bytes(9))
        assert look(tmp_path, data).fault == "has a picture, but no video"

    def test_cut_off_behind_the_index(self, tmp_path: Path) -> None:
        assert look(tmp_path, MOVIE[:-1]).fault == "is incomplete: it has been cut off"
        assert look(tmp_path, MOVIE).fault == ""

    def test_sizes_of_boxes(self, tmp_path: Path) -> None:
        """A box may have a size of 64 bits, or end with the file."""
        movie = large_box(b"moov", VIDEO)
        to_the_end = struct.pack(">I4s", 0, b"mdat") + bytes(50)
        data = START + large_box(b"mdat", bytes(5)) + movie + to_the_end
        assert look(tmp_path, data) == Contents("", "H.264", 0)

    @pytest.mark.parametrize("version", [0, 1])
    @pytest.mark.parametrize(
        ("matrix", "rotation"),
        [
            ((1, 0), 0),
            ((0, 1), 90),
            ((-1, 0), 180),
            ((0, -1), 270),
            ((0, 0), 0),
        ],
    )
    def test_rotation(
        self, tmp_path: Path, version: int, matrix: tuple[int, int], rotation: int
    ) -> None:
        times = bytes([version]) + bytes(51 if version else 39)
        header = times + struct.pack(">9i", matrix[0] << 16, matrix[1] << 16, *[0] * 7)
        data = START + box(b"moov", track(b"vide", b"avc1", header))
        assert look(tmp_path, data).rotation == rotation

    def test_reads_what_opencv_writes(self, tmp_path: Path) -> None:
        path = film(tmp_path / "film.mp4", 20)
        assert look_into(path) == Contents("", "mp4v", 0)
        assert look_into(turn(path, (0, 1, -1, 0))).rotation == 90
        assert look_into(patch(path, b"mp4v", b"av01")).codec == "AV1"

    def test_boxes_without_end_are_given_up(self, tmp_path: Path) -> None:
        assert look(tmp_path, START + box(b"free") * 300_000 + MOVIE).fault.startswith("is inc")

    @given(st.integers(), st.lists(st.tuples(st.integers(0), st.binary(min_size=1, max_size=8))))
    def test_damage_is_no_error(self, cut: int, changes: list[tuple[int, bytes]]) -> None:
        data = bytearray(MOVIE)
        for at, new in changes:
            at %= len(data)  # noqa: PLW2901  # anywhere in the file
            data[at : at + len(new)] = new
        with tempfile.TemporaryDirectory() as folder:
            look(Path(folder), bytes(data[: cut % (len(data) + 1)]))


class TestOtherContainers:
    @pytest.mark.parametrize(
        "start",
        [
            b"ID3\x04",
            b"\xff\xfb\x90\x64",
            b"\xff\xf1\x50\x80",
            b"fLaC\0\0",
            b"RIFF\x24\0\0\0WAVEfmt ",
            b"OggS\0\2\0\0vorbis",
            b"FORM\0\0\1\0AIFFCOMM",
            b"RIFF\x24\0\0\0AVI LISTstrhauds\1\0\0\0",
            b"\x1a\x45\xdf\xa3\x86\x86A_OPUS",
        ],
    )
    def test_only_sound(self, tmp_path: Path, start: bytes) -> None:
        assert look(tmp_path, start + bytes(100)) == Contents("has only sound")

    @pytest.mark.parametrize(
        ("start", "name"),
        [
            (b"\x1a\x45\xdf\xa3\x86\x85V_AV1\x86\x86A_OPUS", "AV1"),
            (b"\x1a\x45\xdf\xa3\x86\x8fV_MPEGH/ISO/HEVC\x63", "H.265"),
            (b"\x1a\x45\xdf\xa3", ""),
            (b"RIFF\x24\0\0\0AVI LISTstrhvidsH264\1\0\0\0", "H.264"),
            (b"RIFF\x24\0\0\0AVI ", ""),
            (b"RIFF\x24\0\0\0WEBPVP8X", ""),
            (b"OggS\0\2\0\0\x80theora", ""),
            (b"\xff\xd8\xff\xe0", ""),
            (b"", ""),
        ],
    )
    def test_video(self, tmp_path: Path, start: bytes, name: str) -> None:
        assert look(tmp_path, start) == Contents(codec=name)

    def test_anything_else(self, tmp_path: Path) -> None:
        noise = random.Random(1).randbytes(1000)  # noqa: S311  # not for secrets
        assert look(tmp_path, noise) == Contents()
        assert look_into(tmp_path) == Contents()
        assert look_into(tmp_path / "none") == Contents()


def test_the_codec_that_opencv_names() -> None:
    assert name_codec("hevc") == "H.265"
    assert name_codec("MPNG") == "MPNG"
    assert name_codec("\0\0\0\0") == ""
