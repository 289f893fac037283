"""The doorbell on a dashboard's page, in a real browser: as an image, and in a frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from doorbelld.access.embedding import make_token, new_key
from doorbelld.access.password import Password, hashed
from tests.support.daemon import Daemon, eventually
from tests.support.dashboard import Dashboard
from tests.support.phone import TEST_CARD
from tests.support.secure import SecureDaemon, make_pair

WORD = "correct horse"
NAME = "door.local"
NO_REFERRER = {"Referrer-Policy": "no-referrer"}
"""What Home Assistant and OctoPrint send with every page."""

READ = "(url) => fetch(url).then((answer) => answer.text()).catch(() => 'refused')"
WIDTHS = "() => Array.from(document.images, (each) => each.complete ? each.naturalWidth : -1)"


@pytest.fixture
def dashboard() -> Iterator[Dashboard]:
    with Dashboard() as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(ignore_https_errors=True)
    yield context.new_page()
    context.close()


def set_up(daemon: Daemon, dashboard: Dashboard, *, password: bool, name: str = NAME) -> str:
    """Start a daemon that ``dashboard`` may show; return a token that is good there."""
    key, file = daemon.folder / "embed_key", daemon.folder / "password"
    key.write_text(new_key())
    password_id = b""
    settings = {**TEST_CARD, "access.embed_key_file": key, "access.hosts": name}
    settings["access.embed"] = dashboard.origin
    if password:
        file.write_text(hashed(WORD))
        password_id = Password(file.read_text()).key("seal")
        settings["access.password_file"] = file
    daemon.start(settings)
    daemon.wait_for_log("camera streaming")
    return make_token(bytes.fromhex(key.read_text()), password_id).decode()


def at(daemon: Daemon, path: str, name: str = NAME) -> str:
    return f"{daemon.scheme}://{name}:{daemon.port}{path}"


def shown(page: Page, dashboard: Dashboard, *images: str) -> list[int]:
    """Return how wide the dashboard shows each of these images; 0 where it shows none."""
    dashboard.body = "".join(f"<img {each}>" for each in images)
    page.goto(dashboard.origin, wait_until="commit")

    def widths() -> list[int] | None:
        found: list[int] = page.evaluate(WIDTHS)
        # A stream never ends, but it has a size as soon as the first picture is there.
        sizes = page.evaluate("() => Array.from(document.images, (each) => each.naturalWidth)")
        settled = all(size > 0 or width >= 0 for size, width in zip(sizes, found))
        return sizes if len(found) == len(images) and settled else None

    return eventually(widths, "each image is there, or has failed")


@pytest.mark.parametrize("password", [False, True], ids=["no password", "password"])
def test_embed_url_shows_the_picture_where_a_page_sends_no_referrer(
    daemon: Daemon, dashboard: Dashboard, page: Page, password: bool
) -> None:
    token = set_up(daemon, dashboard, password=password)
    dashboard.headers = NO_REFERRER
    paths = ("/video_feed", "/snapshot.jpg")
    plain = [f"src='{at(daemon, path)}'" for path in paths]
    signed = [f"src='{at(daemon, path)}?embed={token}'" for path in paths]
    wrong = [f"src='{at(daemon, path)}?embed={token[::-1]}'" for path in paths]
    assert shown(page, dashboard, *plain, *wrong, *signed) == [0, 0, 0, 0, 320, 320]
    # It may show the picture, but not read it: that is for the sites in embed.
    asking = [f"crossorigin='anonymous' {each}" for each in (*plain, *signed)]
    expected = [0, 0, 320, 320] if password else [320] * 4
    assert shown(page, dashboard, *asking) == expected
    status = page.evaluate(READ, at(daemon, f"/status?embed={token}"))
    assert (status == "refused" or '"camera"' not in status) is password


def test_site_that_is_not_named_shows_it_with_the_token_alone_and_never_reads_it(
    daemon: Daemon, dashboard: Dashboard, page: Page
) -> None:
    token = set_up(daemon, dashboard, password=False)
    with Dashboard() as other:
        image = f"src='{at(daemon, '/snapshot.jpg')}"
        for headers in ({}, NO_REFERRER):
            other.headers = headers
            assert shown(page, other, f"{image}'", f"{image}?embed={token}'") == [0, 320]
            asking = f"crossorigin='anonymous' {image}?embed={token}'"
            assert shown(page, other, asking) == [0]
            assert page.evaluate(READ, at(daemon, f"/snapshot.jpg?embed={token}")) == "refused"
            assert page.evaluate(READ, at(daemon, f"/status?embed={token}")) == "refused"


# A frame with a password.


def open_frame(page: Page, dashboard: Dashboard, daemon: Daemon, name: str = NAME) -> FrameLocator:
    dashboard.body = f"<iframe width='500' height='700' src='{at(daemon, '/', name)}'></iframe>"
    page.goto(dashboard.origin)
    return page.frame_locator("iframe")


def log_in(frame: FrameLocator) -> None:
    frame.locator("#password").fill(WORD)
    frame.get_by_role("button", name="See who is there").click()


def test_frame_over_http_says_that_the_login_is_not_kept(
    daemon: Daemon, dashboard: Dashboard, page: Page
) -> None:
    set_up(daemon, dashboard, password=True)
    frame = open_frame(page, dashboard, daemon)
    note = frame.locator("#framed")
    expect(note).to_be_visible()
    expect(note).to_contain_text("This browser will not keep the login")
    with page.context.expect_page() as opened:
        note.get_by_role("link").click()
    door = opened.value
    expect(door.locator("#password")).to_be_visible()
    expect(door.locator("#framed")).to_be_hidden()
    door.locator("#password").fill(WORD)
    door.get_by_role("button", name="See who is there").click()
    expect(door.locator("#stage")).to_have_attribute("data-state", "live")


def test_frame_in_a_page_of_the_same_site_keeps_the_login(
    daemon: Daemon, dashboard: Dashboard, page: Page
) -> None:
    # Another port of the same name is the same site for cookies.
    set_up(daemon, dashboard, password=True, name="dashboard.local")
    frame = open_frame(page, dashboard, daemon, "dashboard.local")
    expect(frame.locator("#password")).to_be_visible()
    expect(frame.locator("#framed")).to_be_hidden()
    log_in(frame)
    expect(frame.locator("#stage")).to_have_attribute("data-state", "live")


def test_frame_over_tls_keeps_the_login(tmp_path: Path, dashboard: Dashboard, page: Page) -> None:
    with SecureDaemon(tmp_path, make_pair(tmp_path)) as daemon:
        set_up(daemon, dashboard, password=True)
        dashboard.headers = NO_REFERRER
        frame = open_frame(page, dashboard, daemon)
        expect(frame.locator("#password")).to_be_visible()
        expect(frame.locator("#framed")).to_be_hidden()
        log_in(frame)
        expect(frame.locator("#stage")).to_have_attribute("data-state", "live")
        page.reload()
        expect(frame.locator("#stage")).to_have_attribute("data-state", "live")
        (cookie,) = page.context.cookies()
        assert (cookie["name"], cookie["sameSite"]) == ("doorbelld_framed", "None")
        assert (cookie["secure"], cookie["httpOnly"]) == (True, True)
        # The cookie is for this dashboard only: the page itself and other sites have to log in.
        door = page.context.new_page()
        door.goto(at(daemon, "/"))
        expect(door.locator("#password")).to_be_visible()
        door.close()
        frame.get_by_role("button", name="Log out").click()
        expect(frame.locator("#password")).to_be_visible()
        assert page.context.cookies() == []
