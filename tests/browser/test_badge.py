"""What the page says about its picture is true, and up to date."""

from __future__ import annotations

import re
import signal
import time

import pytest
from playwright.sync_api import expect

from tests.support.daemon import Daemon, eventually
from tests.support.phone import TEST_CARD, Phone, Phones
from tests.support.pictures import jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.wire import Wire

SOON = 6.0
"""Seconds: the page promises 2, and a busy machine may need some more."""


LISTEN = """() => {
  window.said = [];
  const look = () => said.push(`${stage.dataset.state}: ${headline.textContent}`);
  new MutationObserver(look).observe(stage, { attributeFilter: ["data-state"] });
}"""
"""Remembers every state that the page goes through, however short."""


@pytest.fixture
def door(daemon: Daemon, pipe_camera: PipeCamera) -> Daemon:
    """Return a daemon whose camera the test feeds; silence alone does not lose it."""
    return daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 60})


def watch(phone: Phone, door: Daemon, camera: PipeCamera) -> None:
    """Open the page and see a live picture."""
    phone.open(door).wait_for("live", lambda: camera.show(jpeg(15, 640, 480)))


def soon(phone: Phone, state: str, within: float = SOON) -> None:
    """Wait for a state that the page must show in time."""
    started = time.monotonic()
    phone.wait_for(state)
    assert time.monotonic() - started < within


def test_badge_waits_for_the_first_picture(
    phone: Phone, door: Daemon, pipe_camera: PipeCamera
) -> None:
    phone.open(door)
    expect(phone.page.locator("#badge")).to_have_text("Connecting")
    expect(phone.page.locator("#headline")).to_have_text("Starting the camera")
    phone.wait_for("live", lambda: pipe_camera.show(jpeg(4)))


def test_live_is_said_by_badge_title_and_voice(phone: Phone, doorbell: Daemon) -> None:
    phone.open(doorbell).wait_for("live")
    assert phone.text("badge") == "Live"
    assert phone.page.title() == "● Front door"
    expect(phone.page.get_by_role("status")).to_have_text("Live")
    assert not phone.page.locator("#message").is_visible()


def test_camera_that_goes_is_offline_with_reason_and_time_until_it_is_back(
    phone: Phone, door: Daemon, pipe_camera: PipeCamera
) -> None:
    watch(phone, door, pipe_camera)
    stream = door.wait_for_viewers(1)[0]["key"]
    pipe_camera.disconnect()
    soon(phone, "offline")
    assert phone.text("badge") == "Offline"
    assert re.fullmatch(r"Offline since \d?\d:\d\d( [ap]m)?", phone.text("headline"))
    technical = phone.page.locator("#technical")
    expect(technical).to_have_text(re.compile("^The program writing pictures to "))
    expect(technical).to_be_hidden()
    phone.page.locator("summary").tap()
    expect(technical).to_be_visible()
    assert phone.page.title() == "Front door \u2013 offline"
    spoken = re.compile("^Offline. Offline since ")
    expect(phone.page.get_by_role("status")).to_have_text(spoken)
    phone.wait_for("live", lambda: pipe_camera.show(jpeg(15, 640, 480)))
    assert not phone.page.locator("#message").is_visible()
    assert door.wait_for_viewers(1)[0]["key"] == stream
    assert phone.problems == []


def test_missing_camera_is_offline_from_the_start(phone: Phone, daemon: Daemon) -> None:
    daemon.start({"camera.source": "file:/nowhere/door.mjpeg"})
    phone.open(daemon).wait_for("offline")
    technical = phone.page.locator("#technical")
    expect(technical).to_have_text("There is no file /nowhere/door.mjpeg")


def test_slow_camera_is_live(phone: Phone, daemon: Daemon) -> None:
    daemon.start({"camera.framerate": 0.5})
    # From one picture alone the page cannot know how slow the camera is.
    eventually(lambda: daemon.status()["camera"]["fps"], "the rate known")
    phone.open(daemon).wait_for("live")
    phone.evaluate(LISTEN)
    seen = daemon.status()["camera"]["frames"]
    eventually(lambda: daemon.status()["camera"]["frames"] > seen, "another picture")
    assert phone.evaluate("() => said") == []


def test_camera_that_stands_still_is_stale_and_looks_like_it(
    phone: Phone, door: Daemon, pipe_camera: PipeCamera
) -> None:
    watch(phone, door, pipe_camera)
    # Between the badge and the words.
    spot = (60, 290)

    def is_bright() -> bool:
        pipe_camera.show(jpeg(15, 640, 480))
        return phone.brightness_at(*spot) > 230

    eventually(is_bright, "the picture bright")
    soon(phone, "stale")
    assert phone.text("badge") == "Stale"
    assert re.fullmatch(r"The picture is \d+ s old", phone.text("headline"))
    assert phone.text("detail") == "The camera has stopped sending for a moment."
    eventually(lambda: phone.brightness_at(*spot) < 120, "the old picture dim")
    pipe_camera.disconnect()
    soon(phone, "offline")
    eventually(lambda: 40 < phone.brightness_at(*spot) < 120, "the last picture, still there")


def test_daemon_that_hangs_is_not_live(phone: Phone, daemon: Daemon) -> None:
    daemon.start(TEST_CARD)
    phone.open(daemon).wait_for("live")
    phone.evaluate(LISTEN)
    daemon.send(signal.SIGSTOP)
    try:
        soon(phone, "offline", 2 * SOON)  # by way of stale
        assert phone.evaluate("() => said")[0] == "stale: Weak connection"
        assert phone.text("headline") == "No connection"
        assert phone.text("detail").startswith("The doorbell has not answered since ")
        assert phone.text("watching") == ""
    finally:
        daemon.send(signal.SIGCONT)
    phone.wait_for("live")


def test_phone_without_network_says_so(phone: Phone, doorbell: Daemon) -> None:
    with Wire(doorbell.port) as wire:
        phone.open(doorbell, wire.port).wait_for("live")
        phone.page.context.set_offline(True)
        wire.cut("/live?")  # The browser only refuses new connections.
        soon(phone, "offline")
        detail = phone.page.locator("#detail")
        expect(detail).to_have_text("This device is not connected to a network.")
        phone.page.context.set_offline(False)
        phone.wait_for("live")
        phone.page.close()


def test_page_without_a_place_says_so_and_gets_the_next_one(phones: Phones, daemon: Daemon) -> None:
    daemon.start({**TEST_CARD, "server.max_viewers": 1})
    first = phones().open(daemon).wait_for("live")
    second = phones().open(daemon).wait_for("full")
    assert second.text("badge") == "Busy"
    assert second.text("headline") == "No room right now"
    reason = "Only 1 can watch at the same time. This page keeps trying."
    expect(second.page.locator("#detail")).to_have_text(reason)
    first.wait_for("live")
    first.page.close()
    second.wait_for("live")
    assert not second.page.locator("#message").is_visible()
