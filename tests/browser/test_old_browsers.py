"""Browsers of 2018 show the page."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator

from doorbelld.access.password import hashed
from tests.support.crowding import check
from tests.support.daemon import Daemon, eventually
from tests.support.old_browsers import UNREACHABLE, WITHOUT_NEWER, read_styles_as
from tests.support.phone import LANDSCAPE, PORTRAIT, SMALL, TEST_CARD, Phone
from tests.support.posed_page import MANY, STATES, PosedPage
from tests.support.styles import BROWSERS, Browser

TABLET = (768, 1024)
SIZES = (SMALL, PORTRAIT, LANDSCAPE, SMALL[::-1], TABLET, TABLET[::-1])
COVERED = """() => {
  const view = document.getElementById("view").getBoundingClientRect();
  const picture = document.getElementById("picture").getBoundingClientRect();
  const isFilled = ["left", "top", "right", "bottom"]
    .every((edge) => Math.abs(view[edge] - picture[edge]) < 1);
  return isFilled && [view.width / innerWidth, view.height / innerHeight];
}"""
"""How much of the screen the picture has, if it fills its part."""

CROWDED = """() => {
  const boxes = Array.from(document.querySelectorAll(".button"))
    .map((each) => each.getBoundingClientRect()).filter((box) => box.width > 0);
  const isApart = (one, other) => one === other
    || one.right + 7.9 <= other.left || other.right + 7.9 <= one.left
    || one.bottom + 7.9 <= other.top || other.bottom + 7.9 <= one.top;
  return boxes.filter((box) => box.right > innerWidth - 15.9
    || !boxes.every((other) => isApart(box, other))).length;
}"""
"""How many buttons are too close to another, or to the edge."""


def named(browser: Browser) -> str:
    return browser.name


def moves(picture: Locator) -> None:
    seen: set[bytes] = set()

    def look() -> bool:
        seen.add(picture.screenshot())
        return len(seen) > 2

    eventually(look, "three different pictures on the screen")


def test_browser_of_2018_shows_the_page(phone: Phone, doorbell: Daemon) -> None:
    phone.page.add_init_script(WITHOUT_NEWER)
    read_styles_as(BROWSERS[0], phone)
    phone.open(doorbell).wait_for("live")
    assert phone.evaluate("() => 'createImageBitmap' in window") is False
    moves(phone.page.locator("canvas#picture"))
    phone.page.get_by_role("button", name="Snapshot").tap()
    eventually(lambda: phone.text("notice") == "Snapshot saved", "the snapshot")
    assert phone.problems == []


@pytest.mark.parametrize("browser_of_2018", BROWSERS, ids=named)
def test_picture_and_buttons_have_their_places(
    phone: Phone, doorbell: Daemon, browser_of_2018: Browser
) -> None:
    read_styles_as(browser_of_2018, phone)
    posed = PosedPage(phone, doorbell)
    for width, height in SIZES:
        phone.turn(width, height)
        for state in STATES:
            posed.show(state, **MANY)
            check(posed, f"{state} at {width}x{height}")
            assert phone.evaluate(CROWDED) == 0, f"{state} at {width}x{height}"
            across, down = phone.evaluate(COVERED)
            assert across == 1
            # Many words leave it less than the usual two thirds.
            assert down == 1 if width > height else down >= 0.3, f"{state} at {width}x{height}"


@pytest.mark.parametrize("browser_of_2018", BROWSERS, ids=named)
def test_form_and_instructions_can_be_used(
    phone: Phone, daemon: Daemon, browser_of_2018: Browser
) -> None:
    read_styles_as(browser_of_2018, phone)
    password = daemon.folder / "password"
    password.write_text(hashed("correct horse"))
    daemon.start({**TEST_CARD, "access.password_file": password})
    phone.open(daemon)
    for width, height in SIZES:
        phone.turn(width, height)
        assert phone.evaluate(UNREACHABLE) == []
    phone.page.keyboard.type("correct horse")
    phone.page.get_by_role("button", name="See who is there").tap()
    phone.wait_for("live")
    phone.page.goto(f"http://127.0.0.1:{daemon.port}/install.html")
    for width, height in SIZES:
        phone.turn(width, height)
        assert phone.evaluate(UNREACHABLE) == []
