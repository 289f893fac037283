"""The page asks for pictures as wide as its screen can use, and again when it can use more."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from tests.support.daemon import Daemon, eventually
from tests.support.phone import LANDSCAPE, SMALL, Phone, Phones

LARGE = {"camera.framerate": 5, "camera.resolution": "1280x720"}
OWN = {"camera.framerate": 10, "camera.resolution": "640x480"}
WATCHED = """() => {
  window.states = [];
  new MutationObserver(() => states.push(stage.dataset.state))
    .observe(stage, { attributes: true, attributeFilter: ["data-state"] });
}"""


def widths_asked(phone: Phone) -> list[int]:
    """Return a list that grows by the width in each request for a stream."""
    asked: list[int] = []

    def note(url: str) -> None:
        if "/live?" in url and "key=" in url:
            asked.append(int(parse_qs(urlsplit(url).query)["width"][0]))

    phone.page.on("request", lambda request: note(request.url))
    return asked


def wait_for_picture(phone: Phone, width: int) -> None:
    eventually(
        lambda: phone.evaluate("() => document.getElementById('picture').width") == width,
        f"a picture {width} pixels wide",
    )


def rest(phone: Phone, seconds: float) -> None:
    """Let some time of the page pass."""
    start = phone.evaluate("() => performance.now()")
    eventually(
        lambda: phone.evaluate("() => performance.now()") > start + 1000 * seconds, "some time"
    )


def enlarge(phone: Phone, times: int) -> None:
    for _ in range(times):
        phone.page.keyboard.press("+")


def test_picture_is_sharp_again_after_it_was_enlarged(phones: Phones, daemon: Daemon) -> None:
    daemon.start(LARGE)
    phone = phones(SMALL)
    asked = widths_asked(phone)
    phone.open(daemon)
    wait_for_picture(phone, 640)
    phone.wait_for("live")
    phone.evaluate(WATCHED)
    enlarge(phone, 1)  # By a quarter: it is not worth it.
    rest(phone, 2)
    assert len(asked) == 1
    enlarge(phone, 3)
    wait_for_picture(phone, 1280)
    rest(phone, 2)
    first, second = asked
    assert 640 <= first < 1000
    assert second >= 1280
    assert set(phone.evaluate("() => states")) <= {"live", "slow", "stale"}
    daemon.wait_for_viewers(1)
    phone.wait_for("live")


def test_picture_is_sharp_again_after_the_phone_was_turned(phones: Phones, daemon: Daemon) -> None:
    daemon.start(LARGE)
    phone = phones((260, 300), device_scale_factor=2)
    asked = widths_asked(phone)
    phone.open(daemon)
    wait_for_picture(phone, 640)
    phone.turn(*LANDSCAPE)
    wait_for_picture(phone, 1280)
    assert len(asked) == 2


def test_cameras_own_picture_is_not_asked_for_again(phones: Phones, daemon: Daemon) -> None:
    daemon.start(OWN)
    phone = phones(SMALL)
    asked = widths_asked(phone)
    phone.open(daemon)
    wait_for_picture(phone, 640)
    phone.wait_for("live")
    asked_before = len(asked)
    enlarge(phone, 6)
    rest(phone, 3)
    assert len(asked) == asked_before
