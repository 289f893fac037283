"""Chromium: Debian's browser as a child process, driven over its DevTools protocol."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Page, sync_playwright

from tests.support.daemon import eventually
from tests.support.engines import PORTRAIT, Engine, Tab

CHROMIUM = "/usr/bin/chromium"
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--host-resolver-rules=MAP *.local 127.0.0.1",
)


def trust(root: Path, database: Path) -> None:
    """Make a database of NSS, as a new user of Chromium and Firefox has it, that trusts a root."""
    database.mkdir(parents=True, exist_ok=True)
    certutil = ["certutil", "-d", f"sql:{database}"]
    subprocess.run([*certutil, "-N", "--empty-password"], check=True)
    subprocess.run([*certutil, "-A", "-n", "root", "-t", "C,,", "-i", str(root)], check=True)


@contextmanager
def chromium(
    folder: Path, root: Path | None = None, beside: Browser | None = None
) -> Iterator[Browser]:
    """Run a Chromium with a new profile in ``folder``, which trusts the authority ``root``.

    ``beside`` is another browser that runs already.

    In its own context, ``contexts[0]``, a tab behind another one is hidden, as for a user.
    In the contexts that Playwright makes, every tab always counts as visible.
    """
    command = [CHROMIUM, *_FLAGS, f"--user-data-dir={folder}", "about:blank"]
    address = folder / "DevToolsActivePort"

    def port() -> str | None:
        lines = address.read_text().splitlines() if address.exists() else []
        return lines[0] if len(lines) > 1 else None

    folder.mkdir(exist_ok=True)
    environ = {**os.environ, "HOME": str(folder)} if root else None
    if root:
        trust(root, folder / ".pki" / "nssdb")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ
        )
    try:
        url = f"http://127.0.0.1:{eventually(port, 'Chromium ready')}"
        with ExitStack() as stack:  # There can be one Playwright in a process.
            kind = (
                beside.browser_type if beside else stack.enter_context(sync_playwright()).chromium
            )
            browser = kind.connect_over_cdp(url, no_defaults=True, is_local=True)
            yield browser
            browser.close()
    finally:
        process.terminate()
        process.wait()


class ChromiumTab(Tab):
    """The page in a tab of Chromium, in front of an empty one."""

    def __init__(self, page: Page, other: Page) -> None:
        self._page = page
        self._other = other

    def visit(self, url: str) -> None:
        # "load" would wait for the first picture.
        self._page.goto(url, wait_until="domcontentloaded")

    def back(self) -> None:
        self._page.go_back(wait_until="commit")

    def evaluate(self, expression: str) -> Any:
        try:
            return self._page.evaluate(expression)
        except Error as error:
            if "navigation" not in error.message:
                raise
            self._page.wait_for_load_state("domcontentloaded")
            return self._page.evaluate(expression)

    def screenshot(self) -> bytes:
        return self._page.screenshot()

    def resize(self, width: int, height: int) -> None:
        self._page.set_viewport_size({"width": width, "height": height})

    def hide(self) -> None:
        self._other.bring_to_front()

    def show(self) -> None:
        self._page.bring_to_front()

    def processes(self) -> list[int]:
        return processes(self._page.context.browser)

    def memory(self) -> int:
        # It keeps what it may use again, sometimes a hundred megabytes, until memory is short.
        devtools = self._page.context.new_cdp_session(self._page)
        devtools.send("HeapProfiler.collectGarbage")
        devtools.send("Memory.simulatePressureNotification", {"level": "critical"})
        devtools.detach()
        return super().memory()


class Chromium(Engine):
    """A running Chromium."""

    name = "chromium"

    def __init__(self, browser: Browser, folder: Path) -> None:
        self._browser = browser
        self.downloads = folder
        where = {"behavior": "allow", "downloadPath": str(folder)}
        browser.new_browser_cdp_session().send("Browser.setDownloadBehavior", where)

    @contextmanager
    def tab(self, *, javascript: bool = True) -> Iterator[Tab]:
        context = self._browser.contexts[0]
        other, page = context.new_page(), context.new_page()
        devtools = context.new_cdp_session(page)
        devtools.send("Security.setIgnoreCertificateErrors", {"ignore": True})
        devtools.send("Emulation.setScriptExecutionDisabled", {"value": not javascript})
        tab = ChromiumTab(page, other)
        tab.resize(*PORTRAIT)
        try:
            yield tab
        finally:
            page.close()
            other.close()
            context.clear_cookies()


def processes(browser: Browser | None) -> list[int]:
    """Return the ids of all processes of a Chromium."""
    assert browser
    devtools = browser.new_browser_cdp_session()
    try:
        found = devtools.send("SystemInfo.getProcessInfo")["processInfo"]
        return [int(each["id"]) for each in found]
    finally:
        devtools.detach()
