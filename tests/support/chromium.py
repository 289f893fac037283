"""Chromium: Debian's browser as a child process, driven over its DevTools protocol."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.support.daemon import eventually

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
