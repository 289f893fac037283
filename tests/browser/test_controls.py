"""The buttons: what they do, by finger and by keyboard."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Download, expect

from tests.support.daemon import Daemon
from tests.support.phone import Phone
from tests.support.pictures import jpeg
from tests.support.pipe_camera import PipeCamera


def test_snapshot_saves_the_very_picture(
    phone: Phone, daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.name": "Front/door: 1"})
    phone.open(daemon).wait_for("live", lambda: pipe_camera.show(jpeg(7, 640, 480)))
    with phone.page.expect_download() as download:
        phone.page.get_by_role("button", name="Snapshot").tap()
    assert Path(download.value.path()).read_bytes() == jpeg(7, 640, 480)
    stamped = r"Front_door_ 1 \d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d\.jpg"
    assert re.fullmatch(stamped, download.value.suggested_filename)
    expect(phone.page.get_by_role("alert")).to_have_text("Snapshot saved")


def test_snapshot_of_nothing_is_refused_in_words(
    phone: Phone, daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    downloads: list[Download] = []

    def note(download: Download) -> None:
        downloads.append(download)

    phone.page.on("download", note)
    daemon.start({"camera.source": pipe_camera.source})
    phone.open(daemon).wait_for("live", lambda: pipe_camera.show(jpeg(7, 640, 480)))
    pipe_camera.disconnect()
    phone.wait_for("offline")
    button = phone.page.get_by_role("button", name="Snapshot")
    button.tap()
    notice = phone.page.get_by_role("alert")
    expect(notice).to_have_text("No snapshot: there is no live picture.")
    daemon.stop()
    button.tap()
    expect(notice).to_have_text("No snapshot: the doorbell does not answer.")
    assert downloads == []


def test_keyboard_reaches_and_presses_the_buttons_in_their_order(
    phone: Phone, doorbell: Daemon
) -> None:
    phone.open(doorbell).wait_for("live")
    keyboard = phone.page.keyboard
    snapshot = phone.page.get_by_role("button", name="Snapshot")
    full_screen = phone.page.get_by_role("button", name="Full screen")
    keyboard.press("Tab")
    expect(snapshot).to_be_focused()
    expect(snapshot).to_have_css("outline-style", "solid")
    for key in ("Enter", "Space"):
        with phone.page.expect_download():
            keyboard.press(key)
        expect(snapshot).to_be_focused()
        # While it is busy, pressing it does nothing.
        expect(snapshot).not_to_have_attribute("aria-busy", "true")
    keyboard.press("Tab")
    expect(full_screen).to_be_focused()
    keyboard.press("Shift+Tab")
    expect(snapshot).to_be_focused()


def test_full_screen_fills_the_phone_and_leaves_it_again(phone: Phone, doorbell: Daemon) -> None:
    phone.open(doorbell).wait_for("live")
    is_full = "() => document.fullscreenElement !== null"
    phone.page.get_by_role("button", name="Full screen", exact=True).tap()
    leave = phone.page.get_by_role("button", name="Leave full screen")
    expect(leave).to_be_visible()
    assert phone.evaluate(is_full)
    leave.tap()
    expect(phone.page.get_by_role("button", name="Full screen", exact=True)).to_be_visible()
    assert not phone.evaluate(is_full)
    phone.wait_for("live")
