from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np
import pytest

from doorbelld.media import codec, exif, jpeg
from doorbelld.media.codec import Size
from tests.support import pictures

BIG = pictures.big_jpeg(40)


def decode(data: bytes) -> Any:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def test_says_what_no_jpeg_can_be_made_of() -> None:
    with pytest.raises(ValueError, match="cannot be encoded"):
        codec.encode(np.zeros((1, 100_000), np.uint8), 80)


def test_encodes_at_the_asked_quality() -> None:
    image = decode(BIG)
    assert jpeg.is_whole(codec.encode(image, 90))
    assert len(codec.encode(image, 20)) < len(codec.encode(image, 90))


# A picture with one bright corner, top left: where does it go?


@pytest.mark.parametrize(
    ("rotation", "hflip", "vflip", "corner"),
    [
        (0, False, False, (0, 0)),
        (0, True, False, (0, -1)),
        (0, False, True, (-1, 0)),
        (0, True, True, (-1, -1)),
        (90, False, False, (0, -1)),
        (180, False, False, (-1, -1)),
        (270, False, False, (-1, 0)),
        (90, True, False, (-1, -1)),
        (270, False, True, (-1, -1)),
    ],
)
def test_flips_first_and_then_rotates_clockwise(
    rotation: int, hflip: bool, vflip: bool, corner: tuple[int, int]
) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:16, :16] = 255
    turned = decode(codec.turn_jpeg(codec.encode(image, 95), rotation, hflip, vflip, 95))
    assert turned.shape[:2] == ((64, 48) if rotation in (90, 270) else (48, 64))
    assert turned[corner].mean() > 200
    assert turned.mean() < 60


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("rotation", "hflip", "vflip"),
    [(90, False, False), (180, False, True), (270, True, False), (0, True, True)],
)
def test_turns_the_picture_as_its_exif_orientation_shows_it(
    orientation: int, rotation: int, hflip: bool, vflip: bool
) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32], image[:24, 32:], image[24:, :32] = 240, 160, 80
    data = exif.with_orientation(codec.encode(image, 95), orientation)
    wanted = codec.turn(decode(data), rotation, hflip, vflip)  # OpenCV shows it upright.
    turned = codec.turn_jpeg(data, rotation, hflip, vflip, 95)
    assert exif.orientation(turned) == 1
    found = decode(turned)
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).max() < 20


def test_does_not_turn_what_it_cannot_decode() -> None:
    with pytest.raises(ValueError, match="cannot be decoded"):
        codec.turn_jpeg(b"\xff\xd8\xff\xd9", 90, False, False, 80)


@pytest.mark.parametrize(
    "data", [pictures.claiming(64, 0), pictures.claiming(8000, 8000), BIG[:-2]]
)
def test_picture_is_checked_before_it_is_decoded(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(ValueError):  # noqa: PT011  # any of them
        codec.turn_jpeg(data, 90, False, False, 80)


def test_rtsp_cameras_without_tcp_may_send_by_udp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions before 4.11 need this; FFmpeg takes UDP if the camera answers TCP with 461."""
    monkeypatch.delenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", raising=False)
    codec._prepare_environment()
    assert os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] == "rtsp_flags;prefer_tcp"


# Smaller pictures.


def upright(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize(
    "size",
    [(640, 480), (639, 481), (1920, 1080), (333, 77), (17, 16), (16, 16), (1, 1), (3840, 2160)],
)
@pytest.mark.parametrize("scale", [1, 2, 3, 8, 20])
def test_makes_a_picture_of_any_size_smaller(size: tuple[int, int], scale: int) -> None:
    image = cv2.resize(decode(BIG), size)
    width, height = max(size[0] // scale, 1), max(size[1] // scale, 1)
    half = Size(max(width // 2, 1), max(height // 2, 1), 50)
    made = list(codec.shrink(codec.encode(image, 80), [Size(width, height, 75), half]))
    assert [jpeg.size(each) for each in made] == [(width, height), half[:2]]
    wanted = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    assert width < 8 or cv2.PSNR(wanted, decode(made[0])) > 20


@pytest.mark.parametrize("orientation", range(1, 9))
def test_smaller_picture_keeps_the_orientation(orientation: int) -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    image[:240, :320], image[:240, 320:], image[240:, :320] = 240, 160, 80
    data = exif.with_orientation(codec.encode(image, 95), orientation)
    sizes = [Size(640, 480, 60), Size(320, 240, 90), Size(160, 120, 90)]
    for made, size in zip(codec.shrink(data, sizes), sizes):
        assert jpeg.size(made) == size[:2], "the pixels lie as they did"
        assert exif.orientation(made) == orientation
        shown = upright(made)
        wanted = cv2.resize(upright(data), shown.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(shown.astype(int) - wanted).mean() < 5


def test_smaller_picture_of_a_grey_one_is_grey() -> None:
    data = codec.encode(cv2.cvtColor(decode(BIG), cv2.COLOR_BGR2GRAY), 80)
    [made] = codec.shrink(data, [Size(50, 40, 75)])
    assert cv2.imdecode(np.frombuffer(made, np.uint8), cv2.IMREAD_UNCHANGED).shape == (40, 50)


@pytest.mark.parametrize(
    "data", [pictures.progressive(), pictures.cmyk(), pictures.with_restarts()]
)
def test_makes_pictures_of_all_kinds_smaller(data: bytes) -> None:
    for made in codec.shrink(data, [Size(80, 60, 75), Size(40, 30, 20)]):
        assert jpeg.is_whole(made)
        assert np.abs(decode(made).mean(axis=(0, 1)) - decode(data).mean(axis=(0, 1))).max() < 20


def test_does_not_make_smaller_what_may_not_be_decoded() -> None:
    with pytest.raises(jpeg.TooLargeError):
        next(codec.shrink(pictures.claiming(8000, 8000), [Size(80, 60, 75)]))
    for data in (b"", b"no picture", BIG[:3000], BIG[:200] + BIG[-200:]):
        with pytest.raises(ValueError, match=r"JPEG|OpenCV"):
            next(codec.shrink(data, [Size(80, 60, 75)]))
