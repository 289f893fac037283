"""Old browsers: today's browser without what is newer than 2018, and what cannot be used in it."""

from __future__ import annotations

from playwright.sync_api import Route

from tests.support.phone import Phone
from tests.support.styles import Browser, as_read_by, styles

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

UNREACHABLE = """() => Array.from(document.querySelectorAll("input:not(.unseen), button, a"))
  .filter((each) => each.getBoundingClientRect().width > 0)
  .filter((each) => {
    each.scrollIntoView({ block: "center" });
    const box = each.getBoundingClientRect();
    const hit = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
    return box.left < 16 || box.right > innerWidth - 16 || box.height < 44 || hit !== each;
  })
  .map((each) => each.outerHTML)"""
"""What can be pressed, but is too small or not in reach."""


def read_styles_as(browser: Browser, phone: Phone) -> None:
    """Give a phone the styles as that browser reads them."""

    def answer(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        route.fulfill(content_type="text/css", body=as_read_by(browser, styles()[name]))

    phone.page.route("**/*.css", answer)
