"""The page at other places than the root of its own site: under a path, and in frames of Home
Assistant."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from tests.support.daemon import Daemon, eventually
from tests.support.dashboard import Dashboard
from tests.support.home_assistant import PREFIX, HomeAssistant
from tests.support.passwords import WORD, set_password
from tests.support.phone import TEST_CARD, Phone
from tests.support.ports import free_port
from tests.support.proxy_manual import block, moved
from tests.support.proxy_servers import nginx, wait_until_it_listens

PROXIED = {**TEST_CARD, "access.trusted_proxies": "127.0.0.1, 172.30.32.0/23"}
SANDBOX = "allow-forms allow-popups allow-pointer-lock allow-same-origin allow-scripts allow-modals"
"""What Home Assistant's Webpage card allows, downloads aside."""


def start(daemon: Daemon, **more: object) -> None:
    settings = {**PROXIED, **more}
    daemon.start(settings)
    daemon.wait_for_log("camera streaming")


def with_password(daemon: Daemon) -> dict[str, object]:
    path = daemon.folder / "password"
    set_password(path, WORD)
    return {"access.password_file": path}


def log_in(place: Page | FrameLocator) -> None:
    place.locator("#password").fill(WORD)
    place.locator("button[type=submit]").click()


# Under a path


@pytest.fixture
def under_a_path(daemon: Daemon, tmp_path: Path) -> Iterator[str]:
    """Return where nginx shows the daemon."""
    start(daemon, **with_password(daemon))
    location = moved(block("nginx path"), ("127.0.0.1:5000", f"127.0.0.1:{daemon.port}"))
    port = free_port()
    with nginx(tmp_path, f"server {{\nlisten 127.0.0.1:{port};\n{location}}}\n"):
        connect = partial(socket.create_connection, ("127.0.0.1", port))
        wait_until_it_listens(connect, tmp_path)
        yield f"http://127.0.0.1:{port}/doorbell"


def test_all_of_the_page_works_under_a_path(phone: Phone, under_a_path: str) -> None:
    page = phone.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(under_a_path, wait_until="domcontentloaded")
    expect(page).to_have_url(f"{under_a_path}/login")
    log_in(page)
    expect(page).to_have_url(f"{under_a_path}/")
    phone.wait_for("live")
    with page.expect_download() as download:
        page.locator("#snapshot").click()
    assert download.value.path().read_bytes().startswith(b"\xff\xd8")
    page.reload(wait_until="domcontentloaded")
    phone.wait_for("live")
    page.locator("#logout").click()
    expect(page).to_have_url(f"{under_a_path}/login")
    assert page.context.cookies() == []
    elsewhere = [url for url in asked if not url.startswith((f"{under_a_path}/", "blob:"))]
    assert elsewhere == [under_a_path], "which the proxy redirects"


# Home Assistant


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


class Complaints:
    """What the browser says on its console about a page."""

    def __init__(self, page: Page) -> None:
        self.all: list[str] = []
        page.on("console", lambda message: self.all.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.all.append(str(error)))


@pytest.mark.parametrize("password", [False, True], ids=["no password", "password"])
def test_page_works_in_home_assistants_ingress(daemon: Daemon, page: Page, password: bool) -> None:
    start(daemon, **(with_password(daemon) if password else {}))
    with HomeAssistant(daemon.port) as home:
        complaints = Complaints(page)
        page.goto(f"{home.origin}/panel", wait_until="domcontentloaded")
        frame = page.frame_locator("iframe")
        if password:
            expect(frame.locator("#framed")).to_be_hidden()
            log_in(frame)
        expect(frame.locator("#stage")).to_have_attribute("data-state", "live")
        if password:
            (cookie,) = page.context.cookies()
            assert cookie["path"] == PREFIX.rstrip("/")
            frame.locator("#logout").click()
            expect(frame.locator("#password")).to_be_visible()
            assert page.context.cookies() == []
        assert [each for each in complaints.all if "401" not in each] == []
        page.goto("about:blank")
        eventually(lambda: not daemon_watchers(daemon), "no viewer")


def daemon_watchers(daemon: Daemon) -> int:
    """Return how many have begun to watch and not left."""
    return daemon.log().count(": watching (") - daemon.log().count(" left after ")


def test_page_works_in_a_frame_that_allows_nothing_more(daemon: Daemon, page: Page) -> None:
    """No full screen, and no storage, as a browser that blocks cookies of other sites."""
    with Dashboard() as dashboard:
        direct = {"access.trusted_proxies": None, "access.embed": dashboard.origin}
        start(daemon, **direct)
        dashboard.headers = {"Referrer-Policy": "no-referrer"}
        url = f"http://door.local:{daemon.port}/"
        dashboard.body = f"<iframe width=500 height=700 sandbox='{SANDBOX}' src='{url}'></iframe>"
        page.add_init_script(
            "for (const name of ['localStorage', 'sessionStorage', 'indexedDB'])"
            " Object.defineProperty(window, name, { get() { throw new Error('blocked'); } });"
        )
        complaints = Complaints(page)
        page.goto(dashboard.origin, wait_until="domcontentloaded")
        frame = page.frame_locator("iframe")
        expect(frame.locator("#stage")).to_have_attribute("data-state", "live")
        full = frame.locator("#fullscreen")
        if full.is_visible():
            full.click()
            expect(frame.locator("#stage")).to_have_attribute("data-state", "live")
        assert complaints.all == []
