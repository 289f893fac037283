from __future__ import annotations

import subprocess
import sys
import time
from typing import Any
from unittest import mock

import cv2
import numpy as np
import pytest

from doorbelld.camera.base import CameraSettings
from doorbelld.camera.factory import open_camera
from doorbelld.camera.pattern import PatternCamera
from doorbelld.drivers.errors import GoneError
from doorbelld.media import codec, jpeg
from doorbelld.media.card import PatternCard
from tests.support.daemon import GUARD, ROOT


def decode(data: bytes) -> Any:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


@pytest.mark.parametrize(
    "size", [(640, 480), (480, 640), (1920, 1080), (64, 48), (63, 47), (1, 1), (7, 300), (300, 7)]
)
def test_has_the_asked_size_whatever_it_is(size: tuple[int, int]) -> None:
    camera = open_camera("pattern", CameraSettings(*size))
    shot = camera.read(GUARD)
    assert shot
    assert jpeg.size(shot.jpeg()) == size
    camera.close()


def test_no_frame_is_like_the_one_before() -> None:
    camera = open_camera("pattern", CameraSettings(framerate=100))
    shots = [camera.read(GUARD) for _ in range(20)]
    assert len({shot.jpeg() for shot in shots if shot}) == 20
    camera.close()


def test_gives_nothing_before_its_time_and_the_moment_due() -> None:
    camera = open_camera("pattern", CameraSettings(framerate=1))
    first = camera.read(GUARD)
    assert camera.read(0.001) is None
    second = camera.read(GUARD)
    camera.close()
    assert first
    assert second
    beats = second.captured_at - first.captured_at
    assert beats == pytest.approx(round(beats), abs=0.001)
    assert second.captured_at <= time.monotonic()


def test_shows_the_time_of_day_and_the_number_of_the_frame() -> None:
    """The digits are those the card draws for that time and number, and for no other."""
    camera = PatternCamera(CameraSettings(framerate=1000, quality=95))
    other = PatternCard(640, 480)
    camera.open()
    camera._number = 41
    shot = camera.read(GUARD)
    assert shot
    shot.jpeg()
    card = camera._card
    assert card
    assert (card.image[:, 320] != other.image[:, 320]).any()
    noon = time.mktime((2026, 1, 2, 12, 34, 56, 0, 0, -1)) + 0.75
    card.update(noon, camera._number)
    shown = card.image[150:330].copy()
    for text, row in (("12:34:56.7", 0), ("    000042", 1)):
        for column, letter in enumerate(text):
            left = (640 - 10 * card._wide) // 2 + column * card._wide
            top = (480 - 2 * card._high) // 2 + row * card._high
            cell = card.image[top : top + card._high, left : left + card._wide]
            assert (cell == other._glyphs[letter]).all()
    card.update(noon + 0.1, camera._number)
    assert (card.image[150:330] != shown).any()
    camera.close()


def test_all_digits_look_different() -> None:
    card = PatternCard(64, 48)
    assert len({glyph.tobytes() for glyph in card._glyphs.values()}) >= 10


def test_is_turned_like_any_camera() -> None:
    upright = open_camera("pattern", CameraSettings())
    turned = open_camera("pattern", CameraSettings(rotation=90))
    first, second = upright.read(GUARD), turned.read(GUARD)
    assert first
    assert second
    upright_data, turned_data = first.jpeg(), second.jpeg()
    upright.close()
    turned.close()
    assert jpeg.size(turned_data) == (480, 640)
    bars = decode(upright_data)[40, ::10].astype(int)
    down_the_right_side = decode(turned_data)[::10, -41].astype(int)
    assert abs(bars - down_the_right_side).mean() < 10


def test_a_picture_is_drawn_only_when_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = mock.Mock(wraps=codec.encode)
    monkeypatch.setattr(codec, "encode", drawn)
    camera = open_camera("pattern", CameraSettings(framerate=1000))
    shots = [shot for shot in (camera.read(GUARD) for _ in range(10)) if shot]
    assert not drawn.called
    assert jpeg.size(shots[-1].jpeg()) == (640, 480)
    camera.close()
    assert drawn.call_count == 1
    with pytest.raises(GoneError):
        shots[-1].jpeg()


@pytest.mark.process
def test_says_that_it_needs_opencv() -> None:
    script = """
import sys
sys.modules["cv2"] = None
from doorbelld.camera.base import CameraSettings
from doorbelld.drivers.errors import CameraError
from doorbelld.camera.factory import open_camera
try:
    open_camera("pattern", CameraSettings())
except CameraError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (
        done.stdout == "The test pattern needs OpenCV, which is not installed, or does not load\n"
    )
