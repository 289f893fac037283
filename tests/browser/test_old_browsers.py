"""Old browsers show the picture, and so do those in which the page's scripts fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Route

from tests.support.daemon import Daemon, eventually
from tests.support.phone import TEST_CARD, Phone, Phones

WITHOUT_NEWER = """
  for (const name of ["createImageBitmap", "ResizeObserver", "PointerEvent", "OffscreenCanvas",
    "queueMicrotask", "structuredClone", "visualViewport", "requestIdleCallback"]) {
    delete window[name];
  }
  for (const name of ["at", "flat", "flatMap", "findLast", "toSorted"]) {
    delete Array.prototype[name];
  }
  for (const name of ["at", "matchAll", "replaceAll"]) delete String.prototype[name];
  delete Object.fromEntries;
  delete Object.hasOwn;
  delete Promise.any;
  delete Promise.allSettled;
  delete Element.prototype.replaceChildren;
"""
"""Makes a browser one of 2018, as far as scripts can see."""


def fails(route: Route) -> None:
    route.fulfill(status=500, body="no", content_type="text/plain")


def with_body(body: str, *, before: bool) -> Callable[[Route], None]:
    """Return what answers with the script, and this text before or after its own."""

    def answer(route: Route) -> None:
        answer = route.fetch()
        text = answer.text()
        route.fulfill(response=answer, body=body + text if before else text + body)

    return answer


BROKEN = {
    "a syntax error": ("app.js", with_body("\nlet 1 = 2;", before=False)),
    "a syntax error in a module": ("live.js", with_body("\nlet 1 = 2;", before=False)),
    "an error at the start": ("app.js", with_body("throw new Error('no');\n", before=True)),
    "an error after the start": ("app.js", with_body("\nthrow new Error('no');", before=False)),
    "an error later": (
        "app.js",
        with_body("\nsetTimeout(() => { throw new Error('no'); }, 300);", before=False),
    ),
    "a module that is missing": ("states.js", fails),
    "a script that is missing": ("app.js", fails),
}


def moves(phone: Phone) -> None:
    """Wait until the image that needs no script has shown three different pictures."""
    _moves(phone.page.locator("img.picture"))


def _moves(picture: Locator) -> None:
    seen: set[bytes] = set()

    def look() -> bool:
        seen.add(picture.screenshot())
        return len(seen) > 2

    eventually(look, "three different pictures on the screen")


def test_browser_of_2018_shows_the_page(phone: Phone, doorbell: Daemon) -> None:
    phone.page.add_init_script(WITHOUT_NEWER)
    phone.open(doorbell).wait_for("live")
    assert phone.evaluate("() => 'createImageBitmap' in window") is False
    _moves(phone.page.locator("canvas#picture"))
    phone.page.get_by_role("button", name="Snapshot").tap()
    eventually(lambda: phone.text("notice") == "Snapshot saved", "the snapshot")
    assert phone.problems == []


@pytest.mark.parametrize("fault", BROKEN)
def test_script_that_fails_leaves_the_picture(phone: Phone, daemon: Daemon, fault: str) -> None:
    daemon.start(TEST_CARD)
    name, answer = BROKEN[fault]
    phone.page.route(f"**/{name}", answer)
    phone.open(daemon)
    moves(phone)
    assert not phone.page.locator("#badge").is_visible()
    daemon.wait_for_viewers(1)


@pytest.mark.parametrize("missing", ["ReadableStream", "AbortController", "fetch"])
def test_browser_without_streams_shows_the_picture(
    phones: Phones, daemon: Daemon, missing: str
) -> None:
    daemon.start(TEST_CARD)
    phone = phones()
    phone.page.add_init_script(f"delete window.{missing}")
    phone.open(daemon)
    moves(phone)
    daemon.wait_for_viewers(1)
    assert phone.problems == []
