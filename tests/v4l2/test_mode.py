from __future__ import annotations

import pytest

from doorbelld.v4l2.formats import Size
from doorbelld.v4l2.mode import nearest


def size(width: int, height: int) -> Size:
    return Size((width, width, 1), (height, height, 1))


UVC = [size(640, 480), size(160, 120), size(320, 240), size(1280, 720), size(1920, 1080)]


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ((640, 480), (640, 480)),
        ((800, 600), (640, 480)),
        ((1280, 960), (1280, 720)),
        ((4000, 3000), (1920, 1080)),
        ((1, 1), (160, 120)),
        ((640, 360), (640, 480)),
    ],
)
def test_the_nearest_size_is_taken(asked: tuple[int, int], chosen: tuple[int, int]) -> None:
    assert nearest(UVC, *asked) == chosen


def test_without_a_list_the_driver_chooses() -> None:
    assert nearest([], 641, 479) == (641, 479)


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ((640, 480), (640, 480)),
        ((641, 479), (640, 472)),
        ((1, 1), (16, 32)),
        ((9999, 9999), (1920, 1080)),
    ],
)
def test_a_size_between_two_limits_keeps_to_the_steps(
    asked: tuple[int, int], chosen: tuple[int, int]
) -> None:
    assert nearest([Size((16, 1920, 8), (32, 1080, 8))], *asked) == chosen


def test_a_driver_without_a_step_is_understood() -> None:
    assert nearest([Size((2, 640, 0), (1, 480, 0))], 333, 222) == (333, 222)
