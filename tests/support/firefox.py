"""Firefox: Debian's browser, driven over WebDriver BiDi, which it speaks itself."""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.support.daemon import GUARD, eventually
from tests.support.engines import PORTRAIT, Engine, Tab
from tests.support.processes import family

FIREFOX = "/usr/bin/firefox-esr"
_COMMAND = (FIREFOX, "--headless", "--no-remote", "--remote-debugging-port=0")

_DOWNLOADS = (
    'user_pref("browser.download.folderList", 2);\nuser_pref("browser.download.dir", "{}");\n'
)
_NO_JAVASCRIPT = 'user_pref("javascript.enabled", false);\n'


class BiDi:
    """A session with a browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    def ask(self, method: str, **parameters: object) -> Any:
        """Send a command; return its result."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters}
        self._connection.send(json.dumps(command))
        while True:
            message = json.loads(self._connection.recv(GUARD))
            if message.get("id") == number:  # others are events
                assert message["type"] == "success", f"{method}: {message['message']}"
                return message["result"]


class FirefoxTab(Tab):
    """The page in a tab of Firefox, in front of an empty one."""

    def __init__(self, bidi: BiDi, process: int, page: str, other: str) -> None:
        self._bidi = bidi
        self._process = process
        self._page = page
        self._other = other

    def visit(self, url: str) -> None:
        # "complete" would wait for the first picture.
        self._ask("browsingContext.navigate", url=url, wait="interactive")

    def back(self) -> None:
        self._ask("browsingContext.traverseHistory", delta=-1)

    def evaluate(self, expression: str) -> Any:
        found = self._bidi.ask(
            "script.evaluate",
            expression=f"(async () => JSON.stringify([await ({expression})]))()",
            target={"context": self._page},
            awaitPromise=True,
        )
        assert found["type"] == "success", found["exceptionDetails"]["text"]
        (value,) = json.loads(found["result"]["value"])
        return value

    def screenshot(self) -> bytes:
        return base64.b64decode(self._ask("browsingContext.captureScreenshot")["data"])

    def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height}
        self._ask("browsingContext.setViewport", viewport=size)

    def hide(self) -> None:
        self._bidi.ask("browsingContext.activate", context=self._other)

    def show(self) -> None:
        self._ask("browsingContext.activate")

    def processes(self) -> list[int]:
        return family(self._process)

    def _ask(self, method: str, **parameters: object) -> Any:
        return self._bidi.ask(method, context=self._page, **parameters)


class Firefox(Engine):
    """A running Firefox."""

    name = "firefox"

    def __init__(self, bidi: BiDi, process: int, folder: Path) -> None:
        self._bidi = bidi
        self._process = process
        self.downloads = folder

    @contextmanager
    def tab(self, *, javascript: bool = True) -> Iterator[Tab]:
        if not javascript:  # A setting of the whole browser.
            folder = Path(mkdtemp(dir=self.downloads))
            with firefox(folder, _NO_JAVASCRIPT) as other, other.tab() as tab:
                yield tab
            return
        container = self._bidi.ask("browser.createUserContext")["userContext"]
        other, page = (
            self._bidi.ask("browsingContext.create", type="tab", userContext=container)["context"]
            for _ in range(2)
        )
        tab = FirefoxTab(self._bidi, self._process, page, other)
        tab.resize(*PORTRAIT)
        try:
            yield tab
        finally:
            self._bidi.ask("browser.removeUserContext", userContext=container)


@contextmanager
def firefox(folder: Path, settings: str = "") -> Iterator[Firefox]:
    """Run a Firefox with a new profile in ``folder``."""
    profile = folder / "profile"
    profile.mkdir(parents=True)
    (profile / "user.js").write_text(_DOWNLOADS.format(folder) + settings, encoding="ascii")
    address = profile / "WebDriverBiDiServer.json"

    def port() -> int | None:
        try:
            return int(json.loads(address.read_text(encoding="ascii"))["ws_port"])
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*_COMMAND, f"--profile={profile}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        url = f"ws://127.0.0.1:{eventually(port, 'Firefox ready')}/session"
        with connect(url, max_size=None, open_timeout=GUARD, proxy=None) as connection:
            bidi = BiDi(connection)
            bidi.ask("session.new", capabilities={"alwaysMatch": {"acceptInsecureCerts": True}})
            yield Firefox(bidi, process.pid, folder)
    finally:
        process.terminate()
        process.wait()
