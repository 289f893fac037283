"""Engine and Tab: the page in any browser, as far as all of them can show it.

``phone`` can do more, but only in Chromium. ``chromium``, ``firefox`` and ``webkit`` are the
browsers, all of them Debian's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.support.daemon import eventually, while_doing
from tests.support.phone import Site
from tests.support.processes import proportional

PORTRAIT = (390, 844)

_BARE = """(() => {
  for (const each of document.querySelectorAll(".bar, .message, .notice")) {
    each.style.visibility = "hidden";
  }
  const { style } = document.getElementById("picture");
  style.transition = style.filter = "none";
  style.opacity = 1;
})()"""


class Tab(ABC):
    """The page in a browser, on a phone that is held upright."""

    @abstractmethod
    def visit(self, url: str) -> None:
        """Open a page; do not wait for its pictures."""

    @abstractmethod
    def back(self) -> None:
        """Go back to the page before."""

    @abstractmethod
    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; a promise is awaited."""

    @abstractmethod
    def screenshot(self) -> bytes:
        """Return what the screen shows, as a PNG."""

    @abstractmethod
    def resize(self, width: int, height: int) -> None:
        """Change the size of the screen."""

    @abstractmethod
    def hide(self) -> None:
        """Show something else, so that the browser tells the page that it is hidden."""

    @abstractmethod
    def show(self) -> None:
        """Show the page again."""

    @abstractmethod
    def processes(self) -> list[int]:
        """Return the browser's processes."""

    def open(self, daemon: Site, port: int = 0, path: str = "") -> Tab:
        """Open the page, or that at a ``path``; a ``port`` is that of a program in between."""
        self.visit(f"{daemon.scheme}://127.0.0.1:{port or daemon.port}/{path}")
        return self

    def bare(self) -> None:
        """Hide everything over the picture, and the dimming of an old picture."""
        eventually(lambda: self.evaluate("document.readyState !== 'loading'"), "the page")
        self.evaluate(_BARE)

    def text(self, name: str) -> str:
        """Return the text of the element of that id."""
        return str(self.evaluate(f"document.getElementById('{name}').textContent")).strip()

    def state(self) -> str:
        """Return the state that the page shows: live, stale, offline, …"""
        return str(
            self.evaluate("(document.getElementById('stage') || {dataset: {}}).dataset.state")
        )

    def wait_for(self, state: str, during: Callable[[], object] = lambda: None) -> Tab:
        """Wait until the page shows a state; call ``during`` ten times a second."""
        eventually(while_doing(during, lambda: self.state() == state), f"{state}")
        return self

    def number(self) -> int:
        """Return the number of the picture (see :mod:`pictures`) in the middle of the screen."""
        return int(self._middle().mean()) // 16

    def wait_for_number(self, number: int) -> None:
        """Wait until the middle of the screen shows that picture."""
        eventually(lambda: self.number() == number, f"picture {number} on the screen")

    def wait_until_it_moves(self) -> None:
        """Wait until three different pictures have been on the screen."""
        seen: set[bytes] = set()

        def look() -> bool:
            seen.add(self._pixels().tobytes())
            return len(seen) > 2

        eventually(look, "three different pictures on the screen")

    def memory(self) -> int:
        """Return how many bytes all processes of the browser use."""
        return sum(proportional(process) for process in self.processes())

    def _middle(self) -> Any:
        pixels = self._pixels()
        height, width = pixels.shape
        return pixels[height // 2 - 4 : height // 2 + 4, width // 2 - 4 : width // 2 + 4]

    def _pixels(self) -> Any:
        pixels = cv2.imdecode(np.frombuffer(self.screenshot(), np.uint8), cv2.IMREAD_GRAYSCALE)
        assert pixels is not None
        return pixels


class Engine(ABC):
    """A running browser."""

    name: str
    downloads: Path
    """The folder for what it downloads."""

    @abstractmethod
    def tab(self, *, javascript: bool = True) -> AbstractContextManager[Tab]:
        """Open a tab without cookies, which accepts any certificate; close it at the end."""
