"""A script that fails leaves the picture, and never more than one stream."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Route

from tests.support.daemon import ROOT, Daemon
from tests.support.phone import TEST_CARD, Phone

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
