"""Someone rings: what the page shows, says and plays, and what it does about it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.support.daemon import Daemon, eventually
from tests.support.phone import Phone
from tests.support.ringing import COUNTED, Door, chimes

SILENCED = """
  let isTouched = false;
  const { prototype } = AudioContext;
  addEventListener("pointerup", () => { isTouched = true; }, true);
  Object.defineProperty(prototype, "state", { get: () => (isTouched ? "running" : "suspended") });
  prototype.resume = () => (isTouched ? Promise.resolve() : new Promise(() => null));
"""
"""A browser that silences each page until it is touched, as all do after it is loaded again."""

PAINTED = """() => {
  const copy = Object.assign(document.createElement("canvas"), { width: 16, height: 16 });
  copy.getContext("2d").drawImage(picture, 0, 0, 16, 16);
  const { data } = copy.getContext("2d").getImageData(0, 0, 16, 16);
  return data.some((value, index) => index % 4 < 3 && value > 0);
}"""
"""Returns whether anything is on the canvas."""


@pytest.fixture
def door(daemon: Daemon, tmp_path: Path) -> Door:
    return Door(daemon, tmp_path, **{"bell.again": 1})


@pytest.fixture
def page(phone: Phone, door: Door) -> Phone:
    """Return a phone that shows a live picture."""
    phone.page.add_init_script(COUNTED)
    return phone.open(door.daemon).wait_for("live")


def rest(phone: Phone) -> None:
    """Let some time of the page pass, in which it would chime."""
    since = phone.evaluate("() => performance.now()")
    eventually(lambda: phone.evaluate("() => performance.now()") > since + 1500, "some time")


def test_banner_has_the_picture_of_the_press(page: Phone, door: Door) -> None:
    ring = page.page.locator("#ring")
    last = page.page.get_by_role("link", name="Last rang")
    expect(page.page.get_by_role("link", name="Visits")).to_have_attribute("href", "visits")
    expect(last).to_be_hidden()
    door.ring()
    expect(page.page.get_by_role("alert")).to_have_text("Someone is at the door")
    assert re.fullmatch(r"\d?\d:\d\d", page.text("ring-detail"))
    expect(page.page).to_have_title("Ringing: Front door")
    still = "() => document.getElementById('ring-still').naturalWidth"
    eventually(lambda: page.evaluate(still) == 320, "the picture of the press")
    rest(page)  # or it would be the same ring
    door.ring()
    expect(page.page.locator("#ring-detail")).to_have_text(re.compile("^Rang twice, last at "))
    page.page.get_by_role("button", name="Close").tap()
    expect(ring).to_be_hidden()
    expect(page.page).to_have_title("● Front door")
    expect(last).to_have_attribute("href", "visits")
    page.page.reload(wait_until="domcontentloaded")
    expect(last).to_be_visible()
    expect(ring).to_be_hidden()
    assert page.problems == []


def test_banner_is_there_before_its_picture(page: Phone, door: Door) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.page.emulate_media(reduced_motion="reduce")
    page.page.route("**/visits/*.jpg*", hold)
    door.ring()
    expect(page.page.locator("#ring")).to_be_visible()
    before = page.box("#ring")
    eventually(lambda: page.state() and held, "the picture asked for")
    for each in held:
        each.continue_()
    expect(page.page.locator("#ring-still")).to_be_visible()
    assert page.box("#ring") == before


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, ""), (403, "this device may not do it"), (500, "answers with error 500")],
)
def test_answer_that_is_refused_is_explained(
    page: Phone, door: Door, status: int, words: str
) -> None:
    page.page.route("**/answered", lambda route: route.fulfill(status=status, body="no"))
    door.ring()
    page.page.get_by_role("button", name="Answered").tap()
    if words:
        expect(page.page.locator("#notice")).to_contain_text(words)
        expect(page.page.locator("#ring")).to_be_visible()
    else:  # It has been deleted.
        expect(page.page.locator("#ring")).to_be_hidden()


def test_chime_after_one_tap_and_never_twice(page: Phone, door: Door) -> None:
    door.ring()
    expect(page.page.locator("#ring")).to_be_visible()
    assert chimes(page.page.evaluate) == 0
    sound = page.page.locator("#sound")
    sound.tap()
    expect(page.page.locator("#stage")).to_have_attribute("data-sound", "on")
    expect(sound).to_have_attribute("title", "Sound off")
    # It plays as a promise, and not for the ring that was before.
    eventually(lambda: chimes(page.page.evaluate) == 1, "the first chime")
    door.post("/visits/1/answered")
    expect(page.page.locator("#ring")).to_be_hidden()
    door.daemon.request("/visits/delete", "POST")
    door.ring()
    eventually(lambda: chimes(page.page.evaluate) == 2, "the chime")
    assert page.evaluate("() => vibrations") == 1
    door.daemon.stop()
    page.wait_for("offline")
    door.start()
    page.wait_for("live")
    rest(page)
    assert chimes(page.page.evaluate) == 2
    page.page.reload(wait_until="domcontentloaded")
    page.wait_for("live")
    rest(page)
    assert chimes(page.page.evaluate) == 0


def test_page_that_the_browser_has_silenced_says_so(page: Phone, door: Door) -> None:
    page.page.locator("#sound").tap()
    page.page.add_init_script(SILENCED)
    page.page.reload(wait_until="domcontentloaded")
    stage = page.page.locator("#stage")
    expect(stage).to_have_attribute("data-sound", "silenced")
    expect(page.page.locator("#sound")).to_have_text("Tap for sound")
    expect(page.page.locator("#notice")).to_contain_text("has silenced this page")
    door.ring()
    expect(page.page.locator("#ring")).to_be_visible()
    rest(page)
    assert chimes(page.page.evaluate) == 0
    page.page.locator("#picture").tap(position={"x": 100, "y": 200})  # Any tap will do.
    expect(stage).to_have_attribute("data-sound", "on")
    rest(page)
    assert chimes(page.page.evaluate) == 0  # It is too late for that ring.


def test_camera_is_paused_after_one_question(page: Phone, door: Door) -> None:
    assert page.evaluate(PAINTED) is True
    pause = page.page.get_by_role("button", name="Pause camera", exact=True)
    pause.tap()
    page.page.get_by_role("button", name="Cancel").tap()
    expect(page.page.locator("#question")).to_be_hidden()
    pause.tap()
    page.page.locator("#pause-yes").tap()
    page.wait_for("shut")
    expect(page.page.locator("#headline")).to_have_text(re.compile(r"^Camera paused since \d"))
    expect(page.page).to_have_title("Front door \u2013 camera paused")
    expect(page.page.locator("#pause")).to_be_hidden()
    assert page.text("taken") == ""
    assert page.evaluate(PAINTED) is False
    door.ring()
    expect(page.page.locator("#ring-none")).to_have_text("No picture. The camera is paused")
    expect(page.page.locator("#ring-still")).to_be_hidden()
    page.page.get_by_role("button", name="Resume").tap()
    page.wait_for("live")
    assert page.evaluate(PAINTED) is True
    assert page.problems == []


def test_tap_on_their_number_says_who_is_watching(page: Phone, door: Door) -> None:
    other = page.page.context.new_page()
    other.goto(f"http://127.0.0.1:{door.daemon.port}/", wait_until="domcontentloaded")
    watching = page.page.get_by_role("button", name="2 watching")
    watching.tap()
    rows = page.page.locator("#watchers li")
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text="this page")).to_have_count(1)
    expect(rows.first).to_have_text(re.compile(r"^127\.0\.0\.1, since \d?\d:\d\d"))
    watching.tap()
    expect(page.page.locator("#watchers")).to_be_hidden()
    watching.tap()
    other.close()
    expect(page.page.locator("#watchers")).to_be_hidden()


def test_page_that_finds_no_room_hears_the_bell(
    phone: Phone, daemon: Daemon, tmp_path: Path
) -> None:
    door = Door(daemon, tmp_path, **{"server.max_viewers": 1})
    other = phone.page.context.new_page()
    other.goto(f"http://127.0.0.1:{daemon.port}/", wait_until="domcontentloaded")
    daemon.wait_for_viewers(1)
    phone.open(daemon).wait_for("full")
    door.ring()
    expect(phone.page.locator("#ring")).to_be_visible()
    door.post("/shutter?closed=yes")
    phone.wait_for("shut")
    assert phone.evaluate(PAINTED) is False
