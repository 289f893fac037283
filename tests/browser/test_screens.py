"""Every state on every screen: nothing on top of another, all of it in reach and to be read."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support import axe
from tests.support.crowding import FOUND, Box, check
from tests.support.daemon import Daemon
from tests.support.phone import LANDSCAPE, PORTRAIT, SMALL, Phones
from tests.support.pictures import encoded
from tests.support.posed_page import CARDS, MANY, STATES, PosedPage

TINY = (195, 400)
SIZES = (TINY, SMALL, (360, 800), PORTRAIT, (412, 915), LANDSCAPE, SMALL[::-1], (1024, 768))


@pytest.mark.parametrize("language", ["en-GB", "de-DE"])
@pytest.mark.parametrize("text", [100, 200])
@pytest.mark.parametrize("state", STATES)
def test_nothing_overlaps_and_everything_can_be_reached(
    phones: Phones, doorbell: Daemon, state: str, text: int, language: str
) -> None:
    posed = PosedPage(phones(locale=language), doorbell)
    posed.enlarge_text(text)
    for more in ({}, MANY):
        posed.show(state, **more)
        for size in SIZES:
            posed.phone.turn(*size)
            check(posed, f"{size}, {text} %, {more}")


SENTENCES = """async () => {
  const { knows, say } = await import("./words.js");
  const answers = [401, 403, 404, 421, 500, 502, "other"].map((status) => `answer.${status}`);
  const reasons = ["none", "missing", "busy", "denied", "login", "unreachable", "silent", "damaged",
    "hangs", "software", "paused", "settings", "other"].map((reason) => `reason.${reason}`);
  const headlines = ["camera.starting", "connection.none", "connection.weak", "connection.restart",
    "stale.age", "full", "offline.since", "shutter.since", "ring.headline"].concat(answers);
  const details = reasons.concat(["connection.network", "connection.silent", "connection.waiting",
    "stale.camera", "stale.connection", "shutter.bell", "full.second"]);
  const helps = reasons.concat(answers).concat("connection.restart").map((key) => `${key}.help`);
  const time = { time: "21:38", seconds: 12 };
  return [headlines, details, helps].map((keys) => (
    keys.filter(knows).map((key) => say(key, time))));
}"""
"""Returns what the panel can say: headlines, details and what helps."""


@pytest.mark.parametrize("language", ["en-GB", "de-DE"])
@pytest.mark.parametrize("text", [100, 200])
def test_panel_says_what_is_wrong_in_whole_words(
    phones: Phones, doorbell: Daemon, text: int, language: str
) -> None:
    posed = PosedPage(phones(locale=language), doorbell)
    posed.enlarge_text(text)
    posed.show("offline")
    said: list[list[str]] = posed.phone.evaluate(SENTENCES)
    assert min(map(len, said)) > 10
    for size in (TINY, SMALL, PORTRAIT, LANDSCAPE):
        posed.phone.turn(*size)
        for name, sentences in zip(("headline", "detail", "help"), said):
            # All of them at once: the panel scrolls.
            posed.page.evaluate(
                "([id, text]) => { document.getElementById(id).textContent = text; }",
                [name, " ".join(sentences)],
            )
        found = posed.phone.broken_words(".unseen, .title, .bell, .controls, .technical")
        assert found == [], size


@pytest.mark.parametrize("language", ["en-GB", "de-DE"])
@pytest.mark.parametrize("text", [100, 200])
def test_cards_leave_everything_else_free(
    phones: Phones, doorbell: Daemon, text: int, language: str
) -> None:
    posed = PosedPage(phones(locale=language), doorbell)
    posed.page.emulate_media(reduced_motion="reduce")  # Nothing moves while it is measured.
    posed.enlarge_text(text)
    for name, (state, more) in CARDS.items():
        posed.show(state, **more)
        for size in SIZES:
            posed.phone.turn(*size)
            check(posed, f"{name}: {size}, {text} %")


@pytest.mark.parametrize("language", ["en-GB", "de-DE"])
def test_ring_can_be_answered_at_once_on_a_phone_on_its_side_with_large_text(
    phones: Phones, doorbell: Daemon, language: str
) -> None:
    posed = PosedPage(phones(LANDSCAPE, locale=language), doorbell)
    posed.page.emulate_media(reduced_motion="reduce")
    for text in (100, 150, 200):
        posed.enlarge_text(text)
        for name in ("ring", "ring without picture"):
            state, more = CARDS[name]
            posed.show(state, **more)
            box = posed.phone.box("#answered")
            assert box["y"] + box["height"] <= LANDSCAPE[1], f"{name}, {text} %"


def flat(brightness: int) -> bytes:
    return encoded(np.full((480, 640, 3), brightness, np.uint8))


@pytest.mark.parametrize("brightness", [0, 255], ids=["black", "white"])
@pytest.mark.parametrize("size", [PORTRAIT, LANDSCAPE, (1024, 768)], ids=str)
def test_words_can_be_read_over_any_picture(
    phones: Phones, doorbell: Daemon, size: tuple[int, int], brightness: int
) -> None:
    posed = PosedPage(phones(size, device_scale_factor=2), doorbell)
    posed.page.emulate_media(reduced_motion="reduce")  # Nothing fades while it is measured.
    posed.draw(flat(brightness))
    check_contrast(posed)


@pytest.mark.parametrize("size", [PORTRAIT, LANDSCAPE], ids=str)
def test_colours_that_the_user_has_chosen_can_be_read(
    phones: Phones, doorbell: Daemon, size: tuple[int, int]
) -> None:
    posed = PosedPage(phones(size, device_scale_factor=2), doorbell)
    posed.page.emulate_media(forced_colors="active", reduced_motion="reduce")
    posed.draw(flat(128))
    check_contrast(posed)
    style = "() => getComputedStyle(document.querySelector('.badge'))"
    assert posed.phone.evaluate(f"{style}.borderTopWidth") == "1px"


def check_contrast(posed: PosedPage) -> None:
    """Check all words in every state, as they are on the screen: 4.5 to 1, as WCAG demands."""
    for state in STATES:
        posed.show(state, **MANY)
        found: dict[str, Box] = posed.phone.evaluate(FOUND)
        found.pop("last")  # It has a picture beside its words, or instead of them.
        png = np.frombuffer(posed.page.screenshot(), np.uint8)
        image = cv2.imdecode(png, cv2.IMREAD_COLOR)
        assert image is not None
        for id_, (left, top, right, bottom) in found.items():
            part = image[int(top * 2) : int(bottom * 2), int(left * 2) : int(right * 2)]
            assert contrast(part) >= 4.5, f"{id_} while {state}"


def contrast(part: NDArray[Any]) -> float:
    """Return the contrast between the words in a part of the screen and what is behind them."""
    scaled = part.reshape(-1, 3)[:, ::-1] / 255
    linear = np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)
    light = linear @ [0.2126, 0.7152, 0.0722] + 0.05
    behind = float(np.median(light))
    return max(behind / float(light.min()), float(light.max()) / behind)


@pytest.mark.parametrize("size", [TINY, PORTRAIT, LANDSCAPE, (1024, 768)], ids=str)
def test_rules_of_accessibility_are_kept_in_every_state(
    phones: Phones, doorbell: Daemon, size: tuple[int, int]
) -> None:
    posed = PosedPage(phones(size), doorbell)
    posed.page.emulate_media(reduced_motion="reduce")
    posed.draw(flat(255))
    for state in STATES:
        posed.show(state, **MANY)
        assert axe.violations(posed.page.evaluate) == [], state
    for name, (state, more) in CARDS.items():
        posed.show(state, **more)
        assert axe.violations(posed.page.evaluate) == [], name


def test_bars_are_as_dark_as_can_be_if_more_contrast_is_wanted(
    phones: Phones, doorbell: Daemon
) -> None:
    posed = PosedPage(phones(LANDSCAPE), doorbell)
    posed.page.emulate_media(contrast="more")
    posed.show("live")
    ground = "() => getComputedStyle(document.querySelector('.title')).backgroundColor"
    assert posed.phone.evaluate(ground) == "rgb(0, 0, 0)"
