"""The page, open in Chromium all the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Error

from tests.support.chromium import Chromium, chromium
from tests.support.daemon import Daemon
from tests.support.engines import Tab


@contextmanager
def open_page(daemon: Daemon, folder: Path) -> Iterator[Tab]:
    """Open the page in a browser, with its profile in ``folder``."""
    # An interrupt ends the browser too.
    with suppress(Error), chromium(folder) as browser, Chromium(browser, folder).tab() as tab:
        tab.open(daemon).wait_for("live")
        yield tab
