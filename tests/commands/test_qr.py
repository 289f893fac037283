from __future__ import annotations

import re
from typing import Any

import cv2
import numpy as np
import pytest

from doorbelld.commands.status import qr_code

BLOCKS = {" ": (255, 255), "▀": (0, 255), "▄": (255, 0), "█": (0, 0)}


def picture_of(drawn: str) -> tuple[Any, list[str]]:
    """Return what a terminal shows, eight pixels a module, and its lines without colours."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in drawn.splitlines()]
    rows = [[BLOCKS[char][half] for char in line] for line in lines for half in (0, 1)]
    return np.kron(np.array(rows, np.uint8), np.ones((8, 8), np.uint8)), lines


@pytest.mark.parametrize(
    "text", ["http://10.0.0.7:5000/", "http://door.local/", f"http://{'long' * 15}.local:5000/"]
)
def test_a_phone_can_read_it(text: str) -> None:
    picture, lines = picture_of(qr_code(text))
    assert cv2.QRCodeDetector().detectAndDecode(picture)[0] == text
    assert len({len(line) for line in lines}) == 1


def test_it_has_the_margin_that_readers_need() -> None:
    picture, _ = picture_of(qr_code("http://10.0.0.7:5000/"))
    dark = np.argwhere(picture == 0)
    top, left = dark.min(axis=0)
    right = picture.shape[1] - 1 - dark.max(axis=0)[1]
    assert (top, left, right) == (32, 32, 32)


def test_colours_are_fixed_and_end_with_the_line() -> None:
    for line in qr_code("http://10.0.0.7/").splitlines():
        assert line.startswith("\x1b[38;5;16;48;5;231m")
        assert line.endswith("\x1b[0m")
