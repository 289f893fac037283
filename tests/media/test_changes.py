"""What moves in front of the camera, and what only looks like it."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import pytest

from doorbelld.media import codec, exif, jpeg
from doorbelld.media.codec import ChangeFinder
from tests.support import movements, pictures
from tests.support.movements import LIGHTS, TREE, film, steps_of, walk

LEAST = 0.0016
"""What is a person, as part of the picture."""


def shares(films: Iterable[bytes], finder: ChangeFinder | None = None) -> list[float]:
    finder = finder or ChangeFinder()
    return [finder.look(each) for each in films]


@pytest.mark.parametrize("noise", [0, 2, 4, 8, 16, 25])
def test_noise_is_no_change(noise: float) -> None:
    assert max(shares(film(noise=noise))) == 0


@pytest.mark.parametrize("noise", [4, 16])
@pytest.mark.parametrize(
    ("height", "speed", "shade"),
    [(80, 14, 90), (80, 10, 160), (120, 20, 30), (200, 30, 30), (320, 45, 90), (320, 15, 160)],
)
def test_person_is_found_in_almost_every_picture(
    height: int, speed: float, shade: float, noise: float
) -> None:
    steps = steps_of(height, speed)
    found = shares(film(walk(height, speed, shade), steps.stop, noise=noise))
    assert max(found[:15]) == 0, "no one is there yet"
    assert sum(found[each] >= LEAST for each in steps) >= 0.95 * len(steps)


def test_place_that_someone_has_left_does_not_change() -> None:
    there = walk(200, 30, 90)
    found = shares(film(lambda n, image: there(n, image) if n < 25 else image, 40))
    assert min(found[18:25]) >= LEAST
    assert max(found[26:]) < LEAST


@pytest.mark.parametrize("name", LIGHTS)
def test_light_is_a_change_in_few_pictures_at_most(name: str) -> None:
    found = shares(film(LIGHTS[name]))
    assert sum(each >= LEAST for each in found) <= 2 or "hunts" in name
    for at in range(len(found) - 4):
        assert sum(each >= LEAST for each in found[at : at + 5]) < 3


def test_person_is_found_while_the_light_changes() -> None:
    there = walk(200, 30, 160)
    found = shares(film(lambda n, image: LIGHTS["brighter and brighter"](n, there(n, image)), 34))
    assert sum(each >= LEAST for each in found[18:33]) >= 14


def test_what_is_in_an_ignored_part_does_not_count() -> None:
    assert min(shares(film(movements.tree, 12))[2:]) >= LEAST
    assert max(shares(film(movements.tree, 40), ChangeFinder([TREE]))) == 0


def test_what_is_outside_of_the_ignored_parts_counts() -> None:
    there = walk(200, 30, 90)
    finder = ChangeFinder([TREE, (0.9, 0, 0.1, 1)])
    found = shares(film(lambda n, image: there(n, movements.tree(n, image)), 32), finder)
    assert max(found[:15]) == 0
    assert min(found[17:32]) >= LEAST


@pytest.mark.parametrize("zone", [(0, 0, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5), (0.1, 0.6, 0.3, 0.4)])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_ignored_part_is_that_of_the_picture_as_it_is_shown(
    zone: tuple[float, float, float, float], orientation: int
) -> None:
    """Something blinks in the middle of the part, or else right beside it."""
    left, top, width, height = zone
    for part, counts in (
        ((left, top, width, height), False),
        ((1 - left - width, top, width, height), True),
    ):
        finder, found = ChangeFinder([zone]), []
        for number in range(12):
            image = np.full((480, 640), 60, np.uint8)
            image[::40] = 120
            at = (part[0] + part[2] * (0.3 + 0.2 * (number % 3)), part[1] + part[3] / 2)
            cv2.circle(image, (int(at[0] * 640), int(at[1] * 480)), 20, (220,), -1)
            found.append(finder.look(turned_back(image, orientation)))
        assert (max(found) >= LEAST) is counts


def turned_back(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], orientation: int) -> bytes:
    """Return a JPEG that is shown as ``image`` because of its Exif orientation."""
    rotation = {1: 0, 3: 180, 6: 270, 8: 90}[orientation]
    return exif.with_orientation(
        codec.encode(codec.turn(image, rotation, False, False), 90), orientation
    )


@pytest.mark.parametrize(
    "size", [(16, 16), (320, 240), (1280, 720), (1080, 1920), (641, 479), (1920, 32)]
)
def test_pictures_of_all_sizes_are_compared(size: tuple[int, int]) -> None:
    finder = ChangeFinder([(0, 0, 0.1, 0.1)])
    looks = shares([pictures.jpeg(number, *size) for number in (1, 1, 9, 9, 1)], finder)
    assert looks == [0] * 5, "the same brightness everywhere"


def test_another_size_begins_again() -> None:
    finder = ChangeFinder()
    assert shares([pictures.jpeg(1, 320, 240), pictures.jpeg(5, 640, 480)], finder) == [0, 0]


def test_forgets_what_it_has_seen() -> None:
    finder = ChangeFinder()
    there = list(film(walk(200, 30, 90), 25))
    assert shares(there, finder)[-1] >= LEAST
    finder.forget()
    assert shares(there[20:21], finder) == [0]


def test_is_the_same_each_time() -> None:
    there = list(film(walk(120, 20, 90), 30))
    assert shares(there) == shares(there)


@pytest.mark.parametrize(
    "data",
    [pictures.progressive(), pictures.with_restarts(), pictures.cmyk(), pictures.big_jpeg(40)],
)
def test_pictures_of_all_kinds_are_looked_at(data: bytes) -> None:
    assert shares([data, data]) == [0, 0]


def test_does_not_look_at_what_may_not_be_decoded() -> None:
    with pytest.raises(jpeg.TooLargeError):
        ChangeFinder().look(pictures.claiming(8000, 8000))
    for data in (b"", b"no picture", pictures.big_jpeg(40)[:3000]):
        with pytest.raises(ValueError, match=r"JPEG|OpenCV"):
            ChangeFinder().look(data)
