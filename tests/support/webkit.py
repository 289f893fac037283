"""WebKitGTK: the engine of iPhones, as Debian has it, in a window of a screen of its own.

The window really hides the page and shows it again, as another app on a phone does.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.engines import PORTRAIT, Engine, Tab
from tests.support.processes import family

_PYTHON = "/usr/bin/python3"
_VIEW = Path(__file__).with_name("webkit_view.py")
_ENVIRON = {
    # The sandbox needs user namespaces, which a container may not give.
    "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",
    "GSETTINGS_BACKEND": "memory",
    "NO_AT_BRIDGE": "1",
}


class WebKitTab(Tab):
    """The page in WebKitGTK's view."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, name: str, *arguments: object) -> Any:
        """Send the view a command; return the answer."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps([name, *arguments]), file=self._process.stdin, flush=True)
        good, result = json.loads(self._process.stdout.readline())
        assert good, f"{name}: {result}"
        return result

    def visit(self, url: str) -> None:
        self.ask("visit", url)

    def back(self) -> None:
        self.ask("back")

    def evaluate(self, expression: str) -> Any:
        (value,) = self.ask("evaluate", expression)
        return value

    def screenshot(self) -> bytes:
        return base64.b64decode(self.ask("screenshot"))

    def resize(self, width: int, height: int) -> None:
        self.ask("resize", width, height)

    def hide(self) -> None:
        self.ask("hide")

    def show(self) -> None:
        self.ask("show")

    def processes(self) -> list[int]:
        return family(self._process.pid)


class WebKit(Engine):
    """A running WebKitGTK."""

    name = "webkit"

    def __init__(self, process: subprocess.Popen[str], downloads: Path) -> None:
        self._process = process
        self.downloads = downloads

    @contextmanager
    def tab(self, *, javascript: bool = True) -> Iterator[Tab]:
        tab = WebKitTab(self._process)
        tab.ask("new", javascript)
        tab.resize(*PORTRAIT)
        try:
            yield tab
        finally:
            tab.ask("close")


@contextmanager
def webkit(folder: Path) -> Iterator[WebKit]:
    """Run WebKitGTK on a screen of its own, with its log in ``folder``."""
    screen = ["Xvfb", "-displayfd", "1", "-screen", "0", "1024x1024x24", "-nolisten", "tcp"]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            screen, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
        ) as display,
    ):
        assert display.stdout
        try:
            number = display.stdout.readline().strip()
            environ = {**os.environ, **_ENVIRON, "DISPLAY": f":{number}", "HOME": str(folder)}
            with subprocess.Popen(
                [_PYTHON, str(_VIEW), str(folder)],
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as process:
                yield WebKit(process, folder)
                # The end of its input ends it, on the way out of this block.
        finally:
            display.terminate()
