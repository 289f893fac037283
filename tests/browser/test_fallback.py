"""A script that fails leaves the picture, and never more than one stream."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Route

from tests.support.daemon import ROOT, Daemon, eventually
from tests.support.phone import TEST_CARD, Phone
from tests.support.wire import Wire

STATIC = ROOT / "doorbelld" / "web" / "static"


def replace(phone: Phone, name: str, code: str) -> None:
    """Give the browser another script of that name."""

    def answer(route: Route) -> None:
        route.fulfill(content_type="text/javascript", body=code)

    phone.page.route(re.compile(f"/{name}$"), answer)


def plain_picture(phone: Phone, daemon: Daemon) -> None:
    """Wait for the picture in an <img> alone: nothing says that it is live."""
    picture = phone.page.locator("img#picture")
    picture.wait_for()
    phone.page.wait_for_function("() => picture.naturalWidth > 0")
    assert not phone.page.locator("#badge").is_visible()
    assert phone.page.locator("canvas").all() == []
    daemon.wait_for_viewers(1)


@pytest.fixture
def door(daemon: Daemon) -> Daemon:
    return daemon.start(TEST_CARD)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("app.js", "throw new Error('broken');"),
        ("app.js", "this is no script"),
        ("clock.js", "throw new Error('broken');"),
        ("words.js", "export const another = 1;"),
        ("states.js", "await nothing of this;"),
    ],
)
def test_script_that_fails_at_its_start(phone: Phone, door: Daemon, name: str, code: str) -> None:
    replace(phone, name, code)
    plain_picture(phone.open(door), door)


def test_script_that_is_missing(phone: Phone, door: Daemon) -> None:
    phone.page.route(re.compile("/painter.js$"), lambda route: route.abort())
    plain_picture(phone.open(door), door)


def test_script_that_never_comes(phone: Phone, door: Daemon) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    phone.page.route(re.compile("/painter.js$"), hold)
    phone.page.goto(f"http://127.0.0.1:{door.port}/", wait_until="commit")
    plain_picture(phone, door)
    held[0].continue_()
    phone.page.wait_for_load_state("load")
    door.wait_for_viewers(1)


def test_script_that_fails_later(phone: Phone, door: Daemon) -> None:
    code = (STATIC / "clock.js").read_text()
    replace(phone, "clock.js", f"{code}; window.breakIt = () => setTimeout(() => nothing.there);")
    phone.open(door).wait_for("live")
    phone.evaluate("() => breakIt()")
    plain_picture(phone, door)


@pytest.mark.parametrize("missing", ["fetch", "ReadableStream", "AbortController", "TextDecoder"])
def test_browser_without_streams(phone: Phone, door: Daemon, missing: str) -> None:
    phone.page.add_init_script(f"delete window.{missing};")
    plain_picture(phone.open(door), door)


def test_fallback_itself_is_for_every_browser() -> None:
    code = (STATIC / "fallback.js").read_text()
    newer = re.compile(
        r"=>|`|\b(?:let|const|class|async|await|import|export)\b(?! )|\b(?:let|const) "
    )
    assert newer.findall(re.sub(r"//.*", "", code)) == []


def test_every_script_is_loaded_as_a_module_after_the_fallback() -> None:
    page = (STATIC / "index.html").read_text()
    scripts = re.findall(r"<script[^>]*>", page)
    assert scripts == ['<script src="fallback.js">', '<script type="module" src="app.js">']


def broken(phone: Phone) -> Phone:
    """Break the page's scripts, so that it is the <img> that has to come back."""
    replace(phone, "app.js", "throw new Error('broken');")
    return phone


def moving(phone: Phone) -> None:
    """Wait until three different pictures have been on the screen."""
    seen: set[bytes] = set()

    def look() -> bool:
        seen.add(phone.centre())
        return len(seen) > 2

    eventually(look, "three different pictures")


def test_picture_comes_back_when_the_daemon_does(phone: Phone, door: Daemon) -> None:
    plain_picture(broken(phone).open(door), door)
    assert door.stop() == 0
    door.start(TEST_CARD)
    moving(phone)
    door.wait_for_viewers(1)


def test_picture_comes_back_after_its_stream_was_cut(phone: Phone, door: Daemon) -> None:
    with Wire(door.port) as wire:
        broken(phone).open(door, wire.port)
        door.wait_for_viewers(1)
        assert wire.cut("/video_feed?") == 1
        door.wait_for_viewers(0)
        door.wait_for_viewers(1)
        moving(phone)
        phone.page.close()


def test_picture_that_goes_on_is_left_alone(phone: Phone, door: Daemon) -> None:
    asked: list[str] = []
    phone.page.on("request", lambda request: asked.append(request.url))
    plain_picture(broken(phone).open(door), door)
    # Playwright reports requests only while it is asked for something.
    eventually(
        lambda: phone.state() == "" and sum("/status?" in url for url in asked) > 3, "some looks"
    )
    assert sum("/video_feed?" in url for url in asked) == 1


def test_login_that_has_ended_leads_to_the_form(phone: Phone, door: Daemon) -> None:
    plain_picture(broken(phone).open(door), door)
    phone.page.route(re.compile("/status\\?"), lambda route: route.fulfill(status=401))
    with phone.page.expect_event("framenavigated"):
        pass
