"""Every phone, upright and on its side: the picture as large as it can be, and buttons to hit."""

from __future__ import annotations

from itertools import combinations

import pytest

from tests.support.daemon import Daemon, eventually
from tests.support.phone import LANDSCAPE, PORTRAIT, SMALL, TEST_CARD, Phone, Phones
from tests.support.pictures import jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.posed_page import MANY, PosedPage

SIZES = (PORTRAIT, LANDSCAPE, SMALL, SMALL[::-1])
TOUCH_TARGET = 48
"""CSS pixels that a finger needs, in both directions."""

EDGE = 16
"""CSS pixels that stay free at either side."""

BROKEN = """() => Array.from(document.querySelectorAll(".label")).flatMap((label) => {
  const text = label.firstChild;
  return Array.from(text.data.matchAll(/\\S+/g), (word) => {
    const range = document.createRange();
    range.setStart(text, word.index);
    range.setEnd(text, word.index + word[0].length);
    return [word[0], new Set(Array.from(range.getClientRects(), ({ top }) => top)).size];
  }).filter(([, lines]) => lines !== 1).map(([word]) => word);
})"""
"""Returns the words of the buttons that are not on one line."""

SHOWN = """() => Array.from(document.querySelectorAll(".label"), (each) => each.clientWidth > 1)"""

WHITE = 15
NAMES = ("Front door", "The gate at the far end of the garden, behind the shed")


def overlap(one: dict[str, float], other: dict[str, float]) -> bool:
    return all(
        one[at] < other[at] + other[size] and other[at] < one[at] + one[size]
        for at, size in (("x", "width"), ("y", "height"))
    )


def boxes(phone: Phone, *selectors: str) -> dict[str, dict[str, float]]:
    return {each: phone.box(each) for each in selectors}


@pytest.mark.parametrize("name", NAMES, ids=["short", "long"])
def test_everything_is_on_the_screen_and_nothing_on_top_of_another(
    phone: Phone, daemon: Daemon, name: str
) -> None:
    daemon.start({**TEST_CARD, "camera.name": name})
    phone.open(daemon).wait_for("live")
    for width, height in SIZES:
        phone.turn(width, height)
        found = boxes(phone, "#name", "#watching", "#badge", "#snapshot", "#fullscreen")
        for box in found.values():
            assert 0 <= box["x"] <= width - box["width"]
            assert 0 <= box["y"] <= height - box["height"]
        for one, other in combinations(found, 2):
            assert not overlap(found[one], found[other]), f"{one}, {other} at {width}x{height}"
        snapshot, full_screen = found["#snapshot"], found["#fullscreen"]
        for button in (snapshot, full_screen):
            assert button["width"] == snapshot["width"] >= TOUCH_TARGET
            assert button["height"] == snapshot["height"] >= TOUCH_TARGET
            assert EDGE <= button["x"] <= width - EDGE - button["width"]


def test_words_leave_the_buttons_free(phone: Phone, daemon: Daemon) -> None:
    daemon.start({"camera.source": "file:/srv/cameras/front-door/at-the-gate/stream.mjpeg"})
    phone.open(daemon).wait_for("offline")
    for width, height in SIZES:
        phone.turn(width, height)
        words = ("#headline", "#detail")
        found = boxes(phone, *words, "#name", "#badge", "#snapshot", "#fullscreen")
        for one, other in combinations(found, 2):
            assert not overlap(found[one], found[other]), f"{one}, {other} at {width}x{height}"
        for each in words:
            assert 0 <= found[each]["x"] <= width - found[each]["width"]
        phone.page.get_by_role("button", name="Snapshot").tap()
        phone.page.get_by_role("alert").wait_for()
        for button in ("#snapshot", "#fullscreen"):
            assert not overlap(phone.box("#notice"), found[button]), f"at {width}x{height}"


@pytest.mark.parametrize("language", ["en-GB", "de-DE"])
def test_buttons_say_what_they_do_in_whole_words(
    phones: Phones, doorbell: Daemon, language: str
) -> None:
    posed = PosedPage(phones(locale=language), doorbell)
    for text in (100, 150, 200):
        posed.enlarge_text(text)
        for more in ({}, MANY):
            posed.show("live", **more)
            for size in (SMALL, (360, 800), PORTRAIT, (768, 1024)):
                posed.phone.turn(*size)
                where = f"{size}, {text} %, {more}"
                assert posed.phone.evaluate(SHOWN) == [True, True], where
                assert posed.phone.evaluate(BROKEN) == [], where


def test_badge_stays_where_it_is_when_others_begin_to_watch(
    phones: Phones, doorbell: Daemon
) -> None:
    posed = PosedPage(phones(), doorbell)
    for size in (SMALL, (360, 800), PORTRAIT, LANDSCAPE):
        posed.phone.turn(*size)
        posed.show("live")
        alone = posed.phone.box("#badge")
        posed.show("live", **MANY)
        assert posed.phone.box("#badge") == alone, size


def test_number_of_viewers_is_below_the_name_without_a_picture_too(
    phones: Phones, doorbell: Daemon
) -> None:
    posed = PosedPage(phones(), doorbell)
    posed.show("shut", **MANY)
    assert posed.phone.box("#watching")["x"] == posed.phone.box("#name")["x"]


@pytest.mark.parametrize("picture", [(640, 480), (1280, 720), (240, 320)], ids=str)
def test_picture_is_whole_on_a_phone_on_its_side_and_keeps_its_shape(
    phone: Phone, daemon: Daemon, pipe_camera: PipeCamera, picture: tuple[int, int]
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 60})
    phone.open(daemon).wait_for("live", lambda: pipe_camera.show(jpeg(WHITE, *picture)))
    phone.bare()
    phone.turn(*LANDSCAPE)
    scale = min(LANDSCAPE[0] / picture[0], LANDSCAPE[1] / picture[1])
    edges = [(side - scale * length) / 2 for side, length in zip(LANDSCAPE, picture)]
    corner, opposite = ([e + 4 for e in edges], [s - e - 4 for s, e in zip(LANDSCAPE, edges)])
    eventually(lambda: phone.brightness_at(*corner) > 200, "the picture's corner")
    assert phone.brightness_at(*opposite) > 200
    beside = [max(e - 4, 4) if e else s / 2 for s, e in zip(LANDSCAPE, edges)]
    assert phone.brightness_at(*beside) < 60


@pytest.mark.parametrize("picture", [(640, 480), (1280, 720), (240, 320)], ids=str)
def test_picture_fills_the_upper_two_thirds_of_a_phone_held_upright(
    phone: Phone, daemon: Daemon, pipe_camera: PipeCamera, picture: tuple[int, int]
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 60})
    phone.open(daemon).wait_for("live", lambda: pipe_camera.show(jpeg(WHITE, *picture)))
    phone.bare()
    edge = PORTRAIT[1] * 2 / 3
    for x in (4, PORTRAIT[0] - 4):
        for y in (4, edge - 4):
            eventually(lambda: phone.brightness_at(x, y) > 200, "the picture's corner")  # noqa: B023
        assert phone.brightness_at(x, edge + 4) < 60
