"""The picture under fingers, mouse and keys, the bars that leave it alone, and full screen."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import CDPSession, expect

from tests.support.daemon import Daemon, eventually
from tests.support.phone import LANDSCAPE, PORTRAIT, Phones
from tests.support.pictures import encoded
from tests.support.posed_page import PosedPage

WIDTH, HEIGHT = 640, 480
ZOOM = "() => posed.screen.zoom"
OPACITY = "() => getComputedStyle(document.querySelector('.controls')).opacity"
WITHOUT_POINTERS = """
  delete window.PointerEvent;
  const stop = (event) => event.stopImmediatePropagation();
  for (const kind of ["pointerdown", "pointermove", "pointerup"]) {
    window.addEventListener(kind, stop, { capture: true });
  }
"""
"""Makes a browser like Safari of 2018, which has no pointer events."""


def gradient() -> bytes:
    """Return a picture that is darker to the left and, in blue, darker to the top."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:, :, 1] = np.linspace(0, 255, WIDTH).astype(np.uint8)
    image[:, :, 0] = np.linspace(0, 255, HEIGHT).astype(np.uint8)[:, None]
    return encoded(image)


class Fingers:
    """Fingers on the screen of a phone."""

    def __init__(self, posed: PosedPage) -> None:
        self._devtools: CDPSession = posed.page.context.new_cdp_session(posed.page)

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        found = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        self._devtools.send(
            "Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": found}
        )

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.touch("Start", start)
        for step in range(1, 6):
            self.touch("Move", tuple(a + (b - a) * step / 5 for a, b in zip(start, end)))  # type: ignore[arg-type]
        self.touch("End")

    def pinch(self, middle: tuple[float, float], start: float, end: float) -> None:
        """Move two fingers, as far from each other as this, to as far as that."""
        x, y = middle
        self.touch("Start", (x - start / 2, y))
        self.touch("Start", (x - start / 2, y), (x + start / 2, y))
        for step in range(1, 11):
            apart = start + (end - start) * step / 10
            self.touch("Move", (x - apart / 2, y), (x + apart / 2, y))
        self.touch("End")


def seen_at(posed: PosedPage, x: float, y: float) -> tuple[float, float]:
    """Return which point of the picture is on the screen there, in widths and heights of it."""
    data = np.frombuffer(posed.phone.screenshot(x, y, 4), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert image is not None
    blue, green, _ = image.mean(axis=(0, 1))
    return float(green) / 255, float(blue) / 255


def expect_seen(
    posed: PosedPage, at: tuple[float, float], wanted: tuple[float, float], what: str
) -> None:
    def look() -> bool:
        return bool(np.allclose(seen_at(posed, *at), wanted, atol=0.02))

    eventually(look, f"{what}: {wanted} at {at}, not {seen_at(posed, *at)}")


@pytest.fixture
def posed(phones: Phones, doorbell: Daemon) -> PosedPage:
    """Return the live page on a phone held upright, with the gradient."""
    found = PosedPage(phones(), doorbell)
    found.page.emulate_media(reduced_motion="reduce")  # no transitions
    found.show("live")
    found.draw(gradient())
    return found


UPPER = (PORTRAIT[0] / 2, PORTRAIT[1] / 3)
"""The middle of the picture."""


def test_upright_the_picture_fills_the_upper_two_thirds(posed: PosedPage) -> None:
    view = posed.phone.box("#view")
    assert (view["x"], view["y"], view["width"]) == (0, 0, PORTRAIT[0])
    assert abs(view["height"] - PORTRAIT[1] * 2 / 3) < 1
    expect_seen(posed, UPPER, (0.5, 0.5), "the middle")
    expect_seen(posed, (UPPER[0], view["height"] - 4), (0.5, 0.99), "the lower edge")
    # So many of its pixels make the height; only a part of the width is seen.
    share = PORTRAIT[0] / (view["height"] * WIDTH / HEIGHT)
    expect_seen(posed, (4, UPPER[1]), (0.5 - share / 2 + 0.005, 0.5), "the left edge")


def test_on_its_side_the_whole_picture_is_seen(posed: PosedPage) -> None:
    posed.phone.turn(*LANDSCAPE)
    width = LANDSCAPE[1] * WIDTH / HEIGHT
    left = (LANDSCAPE[0] - width) / 2
    expect_seen(posed, (left + width / 4, 195), (0.25, 0.5), "a quarter")
    expect_seen(posed, (left + width * 3 / 4, 380), (0.75, 380 / 390), "three quarters")


def test_finger_moves_the_picture_as_far_as_it_goes(posed: PosedPage) -> None:
    fingers = Fingers(posed)
    scale = posed.phone.box("#view")["height"] * WIDTH / HEIGHT
    fingers.drag(UPPER, (UPPER[0] + 90, UPPER[1] + 50))
    expect_seen(posed, UPPER, (0.5 - 90 / scale, 0.5), "moved by 90, and only sideways")
    for _ in range(3):
        fingers.drag((40, 300), (350, 300))
    expect_seen(posed, (4, 300), (0.01, 300 / 563), "the left edge of the picture")


def test_two_fingers_enlarge_what_is_between_them_five_times_at_most(posed: PosedPage) -> None:
    fingers = Fingers(posed)
    middle = (250.0, 200.0)
    before = seen_at(posed, *middle)
    fingers.pinch(middle, 60, 180)
    eventually(lambda: 2.5 < posed.phone.evaluate(ZOOM) < 3.1, "three times as large")
    expect_seen(posed, middle, before, "the same point between the fingers")
    for _ in range(3):
        fingers.pinch(middle, 60, 240)
    assert posed.phone.evaluate(ZOOM) == 5
    expect_seen(posed, middle, before, "the same point between the fingers")
    for _ in range(4):
        fingers.pinch(middle, 240, 60)
    assert posed.phone.evaluate(ZOOM) == 1
    # The browser's own zoom has done nothing here, and it still can elsewhere.
    assert posed.phone.evaluate("() => visualViewport.scale") == 1
    fingers.pinch((195, 640), 40, 220)
    eventually(lambda: posed.phone.evaluate("() => visualViewport.scale") > 1.5, "a larger page")
    assert posed.phone.evaluate(ZOOM) == 1


def test_double_tap_shows_the_whole_picture_and_fills_the_screen_again(posed: PosedPage) -> None:
    fingers = Fingers(posed)

    def tap() -> None:
        fingers.touch("Start", UPPER)
        fingers.touch("End")

    tap()
    tap()
    # Fitted, the picture is as wide as the phone.
    expect_seen(posed, (100, UPPER[1]), (100 / PORTRAIT[0], 0.5), "the whole picture")
    tap()
    tap()
    share = PORTRAIT[0] / (posed.phone.box("#view")["height"] * WIDTH / HEIGHT)
    expect_seen(posed, (4, UPPER[1]), (0.5 - share / 2 + 0.005, 0.5), "the filled screen")


def test_double_tap_after_a_pinch_takes_the_enlargement_away(posed: PosedPage) -> None:
    fingers = Fingers(posed)
    fingers.pinch(UPPER, 60, 180)
    eventually(lambda: posed.phone.evaluate(ZOOM) > 2, "enlarged")
    for _ in range(2):
        fingers.touch("Start", UPPER)
        fingers.touch("End")
    eventually(lambda: posed.phone.evaluate(ZOOM) == 1, "not enlarged")
    assert posed.page.locator("#stage").get_attribute("data-fit") == "fill"


def test_wheel_enlarges_at_the_pointer(posed: PosedPage) -> None:
    before = seen_at(posed, 120, 150)
    posed.page.mouse.move(120, 150)
    for _ in range(4):
        posed.page.mouse.wheel(0, -100)
    eventually(lambda: posed.phone.evaluate(ZOOM) > 2.4, "enlarged")
    expect_seen(posed, (120, 150), before, "the same point under the pointer")
    for _ in range(9):
        posed.page.mouse.wheel(0, 100)
    eventually(lambda: posed.phone.evaluate(ZOOM) == 1, "not enlarged")


def test_keys_enlarge_and_move_the_picture(posed: PosedPage) -> None:
    keyboard = posed.page.keyboard
    keyboard.press("+")
    keyboard.press("+")
    eventually(lambda: posed.phone.evaluate(ZOOM) == 1.25**2, "enlarged")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowDown")
    eventually(lambda: seen_at(posed, *UPPER) > (0.52, 0.52), "what is to the right, below")
    keyboard.press("-")
    keyboard.press("0")
    eventually(lambda: posed.phone.evaluate(ZOOM) == 1, "not enlarged")
    expect_seen(posed, UPPER, (0.5, 0.5), "the middle")
    keyboard.press("0")
    expect(posed.page.locator("#stage")).to_have_attribute("data-fit", "fit")


def test_turning_the_phone_starts_over(posed: PosedPage) -> None:
    posed.page.keyboard.press("+")
    eventually(lambda: posed.phone.evaluate(ZOOM) > 1, "enlarged")
    posed.phone.turn(*LANDSCAPE)
    eventually(lambda: posed.phone.evaluate(ZOOM) == 1, "not enlarged")
    expect(posed.page.locator("#stage")).to_have_attribute("data-fit", "fit")


def test_useful_width_follows_the_screen_and_the_zoom(phones: Phones, doorbell: Daemon) -> None:
    posed = PosedPage(phones(LANDSCAPE, device_scale_factor=2), doorbell)
    posed.draw(gradient())
    width = "() => posed.screen.width"
    # The daemon halves: what is a little wider than the screen is asked for, not half as wide.
    shown = 2 * LANDSCAPE[1] * WIDTH / HEIGHT
    eventually(lambda: posed.phone.evaluate(width) == math.ceil(1.4 * shown), "fitted")
    for _ in range(20):
        posed.page.keyboard.press("+")
    eventually(lambda: posed.phone.evaluate(width) == 4096, "as wide as is sensible")


def test_pictures_cause_no_layout(posed: PosedPage) -> None:
    devtools = posed.page.context.new_cdp_session(posed.page)
    devtools.send("Performance.enable")

    def layouts() -> Any:
        metrics = devtools.send("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "LayoutCount")

    posed.draw(gradient())
    before = layouts()
    for _ in range(20):
        posed.draw(gradient())
        posed.phone.evaluate("() => new Promise(requestAnimationFrame)")
    assert layouts() == before


# The bars


@pytest.mark.parametrize("script", ["", WITHOUT_POINTERS])
def test_bars_leave_a_live_picture_alone_until_it_is_touched(
    phones: Phones, doorbell: Daemon, script: str
) -> None:
    posed = stilled(phones, doorbell, script)
    posed.page.clock.run_for(3900)
    assert posed.phone.evaluate(OPACITY) == "1"
    wait_until_away(posed)
    posed.page.keyboard.press("Shift")
    eventually(lambda: posed.phone.evaluate(OPACITY) == "1", "the bars, for a key")
    wait_until_away(posed)
    # A finger that touches a button which cannot be seen only brings it back.
    box = posed.phone.box("#fullscreen")
    posed.page.touchscreen.tap(box["x"] + 20, box["y"] + 20)
    eventually(lambda: posed.phone.evaluate(OPACITY) == "1", "the bars")
    assert posed.phone.evaluate("() => document.fullscreenElement") is None
    wait_until_away(posed)
    posed.show("stale")
    eventually(lambda: posed.phone.evaluate(OPACITY) == "1", "the bars, for bad news")
    posed.page.clock.run_for(9000)
    assert posed.phone.evaluate(OPACITY) == "1"


def stilled(phones: Phones, doorbell: Daemon, script: str = "") -> PosedPage:
    """Return the live page on its side, where time passes only if the test says so.

    ``script`` runs before those of the page.
    """
    phone = phones(LANDSCAPE)
    phone.page.add_init_script(script)
    phone.page.clock.install()
    found = PosedPage(phone, doorbell)
    found.show("live")
    found.page.clock.run_for(100)
    found.phone.evaluate("() => posed.controls.wake()")
    return found


def wait_until_away(posed: PosedPage) -> None:
    posed.page.clock.run_for(4100)
    eventually(lambda: posed.phone.evaluate(OPACITY) == "0", "no bars")


def test_bars_stay_while_the_keyboard_is_in_them(phones: Phones, doorbell: Daemon) -> None:
    posed = stilled(phones, doorbell)
    posed.page.keyboard.press("Tab")
    expect(posed.page.locator("#snapshot")).to_be_focused()
    posed.page.clock.run_for(20000)
    assert posed.phone.evaluate(OPACITY) == "1"


@pytest.mark.parametrize(
    "media", [{"reduced_motion": "reduce"}, {"forced_colors": "active"}, {"contrast": "more"}]
)
def test_bars_stay_for_those_who_need_them(
    phones: Phones, doorbell: Daemon, media: dict[str, Any]
) -> None:
    posed = stilled(phones, doorbell)
    posed.page.emulate_media(**media)
    posed.page.clock.run_for(20000)
    assert posed.phone.evaluate(OPACITY) == "1"


def test_bars_that_cannot_be_seen_are_still_read_aloud(phones: Phones, doorbell: Daemon) -> None:
    posed = stilled(phones, doorbell)
    wait_until_away(posed)
    expect(posed.page.locator("main")).to_match_aria_snapshot("""
      - heading "Front door" [level=1]
      - button "Snapshot"
      - button "Full screen"
    """)
    # A screen reader presses a button without a finger.
    posed.phone.evaluate("() => document.getElementById('snapshot').click()")
    posed.page.clock.run_for(100)
    expect(posed.page.get_by_role("alert")).to_be_visible()


def test_upright_the_bars_cover_little_and_stay(phones: Phones, doorbell: Daemon) -> None:
    posed = stilled(phones, doorbell)
    posed.phone.turn(*PORTRAIT)
    posed.page.clock.run_for(20000)
    assert posed.phone.evaluate(OPACITY) == "1"


# Full screen


def test_iphone_gets_the_whole_window(phones: Phones, doorbell: Daemon) -> None:
    phone = phones()
    phone.page.add_init_script("""
      delete Element.prototype.requestFullscreen;
      delete Element.prototype.webkitRequestFullscreen;
    """)
    posed = PosedPage(phone, doorbell)
    posed.show("live")
    posed.draw(gradient())
    phone.page.get_by_role("button", name="Full screen", exact=True).tap()
    whole = {"x": 0, "y": 0, "width": PORTRAIT[0], "height": PORTRAIT[1]}
    eventually(lambda: phone.box("#view") == whole, "the picture has the whole window")
    expect(phone.page.locator("#stage")).to_have_attribute("data-fit", "fit")
    phone.page.get_by_role("button", name="Leave full screen").tap()
    eventually(lambda: phone.box("#view") != whole, "the page as before")
    phone.page.get_by_role("button", name="Full screen", exact=True).tap()
    eventually(lambda: phone.box("#view") == whole, "the whole window again")
    phone.page.keyboard.press("Escape")
    eventually(lambda: phone.box("#view") != whole, "the page as before, by a key")


def test_full_screen_turns_a_wide_picture(phones: Phones, doorbell: Daemon) -> None:
    phone = phones()
    phone.page.add_init_script("""
      window.turned = [];
      ScreenOrientation.prototype.lock = (way) => { turned.push(way); return Promise.reject(); };
    """)
    posed = PosedPage(phone, doorbell)
    posed.draw(gradient())
    phone.page.get_by_role("button", name="Full screen", exact=True).tap()
    eventually(lambda: phone.evaluate("() => turned") == ["landscape"], "turned")
    whole = {"x": 0, "y": 0, "width": PORTRAIT[0], "height": PORTRAIT[1]}
    eventually(lambda: phone.box("#view") == whole, "the picture has the whole screen")
