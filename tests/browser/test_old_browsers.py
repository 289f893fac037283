"""Browsers of 2018 show the page."""

from __future__ import annotations

from playwright.sync_api import Locator

from tests.support.daemon import Daemon, eventually
from tests.support.phone import Phone

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


def moves(picture: Locator) -> None:
    seen: set[bytes] = set()

    def look() -> bool:
        seen.add(picture.screenshot())
        return len(seen) > 2

    eventually(look, "three different pictures on the screen")


def test_browser_of_2018_shows_the_page(phone: Phone, doorbell: Daemon) -> None:
    phone.page.add_init_script(WITHOUT_NEWER)
    phone.open(doorbell).wait_for("live")
    assert phone.evaluate("() => 'createImageBitmap' in window") is False
    moves(phone.page.locator("canvas#picture"))
    phone.page.get_by_role("button", name="Snapshot").tap()
    eventually(lambda: phone.text("notice") == "Snapshot saved", "the snapshot")
    assert phone.problems == []
