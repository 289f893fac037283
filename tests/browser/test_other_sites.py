"""Pages of other web sites in a real browser: only those in ``embed`` show the doorbell."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.support.daemon import Daemon, eventually
from tests.support.phone import TEST_CARD

STREAM, SNAPSHOT, STATUS = "/video_feed", "/snapshot.jpg", "/status"

SHOW = """([url, policy, cors]) => new Promise((done) => {
  const image = new Image();
  image.referrerPolicy = policy;
  if (cors) image.crossOrigin = cors;
  image.onerror = () => done(0);
  image.onload = () => done(image.naturalWidth);
  image.src = url;
  document.body.append(image);
})"""
"""Returns the width of the picture that the page shows, 0 if it shows none."""

READ = "(url) => fetch(url).then((answer) => answer.text()).catch(() => 'refused')"


class DashboardHandler(BaseHTTPRequestHandler):
    """A page of another site, with the doorbell in a frame."""

    def do_GET(self) -> None:  # its name there
        """Answer with the page; its query is what it frames."""
        framed = self.path.partition("?")[2]
        body = f"<!doctype html><body><iframe src='{framed}'></iframe>".encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def dashboard() -> Iterator[str]:
    """Return the origin of another site: another name and another port than the doorbell's."""
    with ThreadingHTTPServer(("127.0.0.1", 0), DashboardHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def visit(browser: Browser, dashboard: str) -> Iterator[Callable[[Daemon], Page]]:
    """Return a function that opens the other site's page with a daemon's page in its frame."""
    context = browser.new_context()

    def open_page(daemon: Daemon) -> Page:
        page = context.new_page()
        page.goto(f"{dashboard}/?{url(daemon, '/')}")
        return page

    yield open_page
    context.close()


def url(daemon: Daemon, path: str) -> str:
    return f"http://127.0.0.1:{daemon.port}{path}"


def width(page: Page, daemon: Daemon, path: str, policy: str = "", cors: str = "") -> Any:
    return page.evaluate(SHOW, [url(daemon, path), policy, cors])


def framed_state(page: Page, daemon: Daemon) -> str | None:
    """Return the state that the page in the frame shows; None if our page is not there."""
    frame = next((each for each in page.frames if each.url == url(daemon, "/")), None)
    stage = frame.query_selector("#stage") if frame else None
    return stage.get_attribute("data-state") if stage else None


def test_no_other_site_shows_or_reads_us(doorbell: Daemon, visit: Callable[[Daemon], Page]) -> None:
    page = visit(doorbell)
    for path in (STREAM, SNAPSHOT, "/icon-192.png"):
        for policy in ("unsafe-url", "no-referrer"):
            assert width(page, doorbell, path, policy) == 0
            assert width(page, doorbell, path, policy, "anonymous") == 0
    assert page.evaluate(READ, url(doorbell, STATUS)) == "refused"
    assert framed_state(page, doorbell) is None


def test_named_site_shows_and_reads_us(
    daemon: Daemon, dashboard: str, visit: Callable[[Daemon], Page]
) -> None:
    daemon.start({**TEST_CARD, "access.embed": dashboard})
    daemon.wait_for_state("streaming")
    page = visit(daemon)
    for path in (STREAM, SNAPSHOT):
        assert width(page, daemon, path) == 320
        assert width(page, daemon, path, cors="anonymous") == 320
        assert width(page, daemon, path, "no-referrer") == 0, "it sends no referrer"
    assert '"camera"' in page.evaluate(READ, url(daemon, STATUS))
    eventually(lambda: framed_state(page, daemon) == "live", "live in the frame")


def test_sites_that_are_not_named_stay_out_though_another_is(
    daemon: Daemon, visit: Callable[[Daemon], Page]
) -> None:
    daemon.start({**TEST_CARD, "access.embed": "http://dashboard.local"})
    daemon.wait_for_state("streaming")
    page = visit(daemon)
    assert width(page, daemon, STREAM) == 0
    assert width(page, daemon, SNAPSHOT, "no-referrer") == 0
    assert page.evaluate(READ, url(daemon, STATUS)) == "refused"
    assert framed_state(page, daemon) is None
