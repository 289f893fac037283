"""Whatever breaks, the page comes back by itself."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from tests.support.daemon import Daemon, eventually
from tests.support.phone import TEST_CARD, Phone
from tests.support.pictures import jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.wire import Wire


def key_of_stream(daemon: Daemon) -> str:
    """Return the key of the only viewer."""
    return str(daemon.wait_for_viewers(1)[0]["key"])


def keys_of_streams(daemon: Daemon) -> set[str]:
    """Return the keys of all viewers."""
    return {row["key"] for row in daemon.status()["viewers"]}


def test_page_survives_a_restart_of_the_daemon(
    phone: Phone, daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    settings = {"camera.source": pipe_camera.source}
    daemon.start(settings)
    phone.open(daemon).wait_for("live", lambda: pipe_camera.show(jpeg(5, 640, 480)))
    daemon.stop()
    phone.wait_for("offline")
    assert phone.text("headline") == "No connection"
    pipe_camera.disconnect()
    daemon.start(settings)
    phone.wait_for("live", lambda: pipe_camera.show(jpeg(9, 640, 480)))

    def look() -> bool:
        pipe_camera.show(jpeg(9, 640, 480))
        return phone.number() == 9

    eventually(look, "the new picture on the screen")


def test_stream_that_goes_dead_or_is_cut_is_set_up_again(phone: Phone, daemon: Daemon) -> None:
    daemon.start(TEST_CARD)
    with Wire(daemon.port) as wire:
        phone.open(daemon, wire.port).wait_for("live")
        dead = key_of_stream(daemon)
        assert wire.deaden("/live?") == 1
        phone.wait_for("stale")
        expect(phone.page.locator("#headline")).to_have_text("Weak connection")
        phone.wait_for("live")
        before = keys_of_streams(daemon)
        assert before - {dead}
        assert wire.cut("/live?") == 1
        eventually(lambda: keys_of_streams(daemon) - before, "a new stream")
        phone.wait_for("live")
        phone.page.close()


def test_reload_of_the_page_leaves_no_stream_behind(phone: Phone, daemon: Daemon) -> None:
    daemon.start(TEST_CARD)
    phone.open(daemon).wait_for("live")
    old = key_of_stream(daemon)
    phone.page.reload(wait_until="domcontentloaded")
    phone.wait_for("live")
    assert key_of_stream(daemon) != old


def test_page_that_is_left_lets_go_and_is_live_again_on_the_way_back(
    phone: Phone, daemon: Daemon
) -> None:
    daemon.start(TEST_CARD)
    phone.open(daemon).wait_for("live")
    phone.page.goto(f"http://127.0.0.1:{daemon.port}/healthz")
    daemon.wait_for_viewers(0)
    phone.page.go_back(wait_until="commit")
    phone.wait_for("live")
    daemon.wait_for_viewers(1)


def test_hidden_page_lets_go_and_resumes_when_it_is_shown(
    browser: Browser, daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 60})
    # In the contexts that Playwright makes no page is ever hidden.
    own = browser.contexts[0]
    page, other = own.new_page(), own.new_page()
    try:
        page.bring_to_front()
        phone = Phone(page).open(daemon)
        phone.wait_for("live", lambda: pipe_camera.show(jpeg(5, 640, 480)))
        key = key_of_stream(daemon)
        other.bring_to_front()
        daemon.wait_for_viewers(0)
        assert phone.state() == "paused"
        assert page.title() == "Front door \u2013 paused"
        expect(page.get_by_role("status")).to_have_text("Paused")
        page.bring_to_front()
        phone.wait_for("live", lambda: pipe_camera.show(jpeg(6, 640, 480)))
        assert key_of_stream(daemon) != key
        assert phone.problems == []
    finally:
        page.close()
        other.close()


def test_page_opened_hidden_waits_until_it_is_shown(browser: Browser, daemon: Daemon) -> None:
    daemon.start(TEST_CARD)
    own = browser.contexts[0]
    page, other = own.new_page(), own.new_page()
    try:
        other.bring_to_front()
        phone = Phone(page).open(daemon)
        assert phone.state() == "paused"
        assert daemon.status()["watching"] == 0
        page.bring_to_front()
        phone.wait_for("live")
    finally:
        page.close()
        other.close()
