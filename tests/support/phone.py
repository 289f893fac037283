"""Phone: the page as a user sees and touches it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import cv2
import numpy as np
from playwright.sync_api import ConsoleMessage, Page, Request, Response

from tests.support.daemon import eventually, while_doing
from tests.support.pictures import number_of

PORTRAIT = (390, 844)
LANDSCAPE = (844, 390)
SMALL = (320, 568)

TEST_CARD = {"camera.framerate": 10, "camera.resolution": "320x240"}
"""Settings for a moving picture that leaves the machine some time for the browser."""

_BARE = """() => {
  for (const element of document.querySelectorAll(".bar, .message")) {
    element.style.visibility = "hidden";
  }
  const { style } = document.getElementById("picture");
  style.transition = style.filter = "none";
  style.opacity = 1;
}"""

_BROKEN = """(besides) => {
  const found = [];
  const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    const place = text.parentElement;
    const isHidden = getComputedStyle(place).visibility === "hidden";
    if (isHidden || !place.getClientRects().length || place.closest(besides)) continue;
    for (const word of text.data.matchAll(/\\S+/g)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      const lines = new Set(Array.from(range.getClientRects(), ({ top }) => Math.round(top)));
      if (lines.size > 1) found.push(word[0]);
    }
  }
  return found;
}"""


class Site(Protocol):
    """A daemon, or what answers like one."""

    @property
    def scheme(self) -> str:
        """Return "http" or "https"."""

    @property
    def port(self) -> int:
        """Return its port on this machine."""


class Phone:
    """A browser's tab with the page of a daemon.

    ``problems`` has the browser's errors and warnings, and the failed requests; ``strangers`` has
    the addresses that the page must not request.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        self.strangers: list[str] = []
        self._origin = ""
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", self._on_request)
        page.on("requestfailed", self._on_failure)
        page.on("response", self._on_response)

    def open(self, daemon: Site, port: int = 0, path: str = "") -> Phone:
        """Open the page, or that at a ``path``; a ``port`` is that of a program in between."""
        self._origin = f"{daemon.scheme}://127.0.0.1:{port or daemon.port}/"
        # "load" would wait for the first picture.
        self.page.goto(f"{self._origin}{path}", wait_until="domcontentloaded")
        return self

    def turn(self, width: int, height: int) -> None:
        """Change the size of the screen."""
        self.page.set_viewport_size({"width": width, "height": height})

    def bare(self) -> None:
        """Hide everything over the picture, and the dimming of an old picture."""
        self.evaluate(_BARE)

    def text(self, name: str) -> str:
        """Return the text of the element of that id; "" if it is not shown."""
        return self.page.locator(f"#{name}").inner_text().strip()

    def evaluate(self, function: str) -> Any:
        """Return what a JavaScript function returns."""
        return self.page.evaluate(function)

    def state(self) -> str:
        """Return the state that the page shows: live, stale, offline, …"""
        return self.page.locator("#stage").get_attribute("data-state") or ""

    def wait_for(self, state: str, during: Callable[[], object] = lambda: None) -> Phone:
        """Wait until the page shows a state; call ``during`` ten times a second."""
        eventually(
            while_doing(during, lambda: self.state() == state), f"{state}, only {self.state()}"
        )
        return self

    def broken_words(self, besides: str) -> list[str]:
        """Return the words that are not on one line, but for those in a selector."""
        return list(self.page.evaluate(_BROKEN, besides))

    def screenshot(self, left: float, top: float, size: int = 8) -> bytes:
        """Return the pixels of a square around a point, as a PNG."""
        half = size / 2
        clip = {"x": left - half, "y": top - half, "width": size, "height": size}
        return self.page.screenshot(clip=clip)  # type: ignore[arg-type]

    def centre(self) -> bytes:
        """Return the pixels in the middle of the screen, as a PNG."""
        size = self.page.viewport_size
        assert size
        return self.screenshot(size["width"] / 2, size["height"] / 2)

    def number(self) -> int:
        """Return the number of the picture (see :mod:`pictures`) that is on the screen."""
        return number_of(self.centre())

    def brightness_at(self, left: float, top: float) -> float:
        """Return how bright the screen is around a point, 0..255."""
        return _brightness(self.screenshot(left, top, 2))

    def box(self, selector: str) -> dict[str, float]:
        """Return where an element is, in CSS pixels."""
        found = self.page.locator(selector).bounding_box()
        assert found, f"{selector} is not shown"
        return dict(found)  # type: ignore[arg-type]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(message.text)

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self._origin, "blob:", "data:")):
            self.strangers.append(request.url)

    def _on_failure(self, request: Request) -> None:
        # The page ends its stream itself, when it is hidden or left, and drops pictures of films.
        own = any(each in request.url for each in ("/live?", "/visits"))
        if own and request.failure == "net::ERR_ABORTED":
            return
        self.problems.append(f"{request.url}: {request.failure}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self.problems.append(f"{response.url}: {response.status}")


Phones = Callable[..., Phone]
"""What makes a phone, given its size and options of Playwright: a fixture of the browser tests."""


def _brightness(png: bytes) -> float:
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return float(image.mean())
