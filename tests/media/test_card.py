from __future__ import annotations

import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import pytest

from doorbelld.media import card, jpeg
from tests.support import make_placeholder
from tests.support.daemon import ROOT


def decode(data: bytes) -> Any:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (1920, 1080), (64, 48), (1, 1)])
def test_is_a_jpeg_of_the_asked_size(size: tuple[int, int]) -> None:
    data = card.placeholder("Front door", "The camera is gone", "since 14:03", *size)
    assert jpeg.is_whole(data)
    assert jpeg.size(data) == size


def test_is_dark_and_no_line_touches_the_edge() -> None:
    long = "No camera found; is it plugged in? " * 4
    image = decode(card.placeholder("A rather long name for a door", long, "since", 640, 480))
    assert image.mean() < 60
    assert image.max() > 200
    for edge in (image[:8], image[-8:], image[:, :8], image[:, -8:]):
        assert edge.max() < 60


def test_says_something_else_for_every_text() -> None:
    texts = [("a", "b", "c"), ("d", "b", "c"), ("a", "d", "c"), ("a", "b", "d")]
    assert len({card.placeholder(*text, 640, 480) for text in texts}) == 4


def test_spells_other_letters_with_those_the_font_has() -> None:
    accented = card.placeholder("Übergröße \u2013 “Ærø”", "naïve", "", 640, 480)
    assert accented == card.placeholder('Ubergrosse - "AEro"', "naive", "", 640, 480)
    unknown = card.placeholder("門\n", "", "", 640, 480)
    assert unknown == card.placeholder("?", "", "", 640, 480)


@pytest.mark.process
def test_without_opencv_is_the_card_that_was_made_beforehand() -> None:
    script = """
import sys
sys.modules["cv2"] = None
from doorbelld.media import card
sys.stdout.buffer.write(card.placeholder("a", "b", "c", 1, 1))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout == make_placeholder.SHIPPED.read_bytes()


def test_the_one_made_beforehand_is_what_the_code_draws() -> None:
    shipped = make_placeholder.SHIPPED.read_bytes()
    assert jpeg.size(shipped) == (640, 480)
    difference = cv2.absdiff(decode(shipped), decode(make_placeholder.draw()))
    assert difference.max() < 16
