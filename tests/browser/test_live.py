"""The page's stream: one connection, ended at once, and never believed when it is late."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from playwright.sync_api import Route, expect

from tests.support.daemon import Daemon, eventually
from tests.support.faulty_system import FaultySystem
from tests.support.phone import TEST_CARD, Phone, Phones
from tests.support.pictures import jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.wire import Wire

HOUR = 3600
SLOW = 25_000
"""Bytes a second: less than the camera sends."""

HIDE = """() => {
  window.isAway = false;
  Object.defineProperty(document, "hidden", { get: () => isAway });
  window.flip = (away) => {
    isAway = away;
    document.dispatchEvent(new Event("visibilitychange"));
  };
}"""
"""Playwright never hides a page: makes the page believe it."""


def show_or_hide(phone: Phone, *, away: bool) -> None:
    phone.evaluate(f"() => flip({str(away).lower()})")


def heap(phone: Phone) -> float:
    """Return the bytes of JavaScript's memory that are in use."""
    devtools = phone.page.context.new_cdp_session(phone.page)
    devtools.send("HeapProfiler.collectGarbage")
    used: float = devtools.send("Runtime.getHeapUsage")["usedSize"]
    devtools.detach()
    return used


def padded(number: int) -> bytes:
    """Return a picture of 30 KB."""
    small = jpeg(number, 640, 480)
    return small[:-2] + bytes(30_000 - len(small)) + small[-2:]


@contextmanager
def filming(camera: PipeCamera) -> Iterator[Callable[[], int]]:
    """Show ten pictures a second, numbered by the second; yield what returns the number now."""
    end = Event()
    started = time.monotonic()

    def number() -> int:
        return int(time.monotonic() - started) % 16

    def film() -> None:
        while not end.wait(0.1):
            camera.show(padded(number()))

    thread = Thread(target=film)
    thread.start()
    try:
        yield number
    finally:
        end.set()
        thread.join()


def test_page_asks_for_nothing_else_while_its_stream_flows(phone: Phone, daemon: Daemon) -> None:
    daemon.start(TEST_CARD)
    phone.open(daemon).wait_for("live")
    asked: list[str] = []
    phone.page.on("request", lambda request: asked.append(request.url))
    seen = daemon.status()["camera"]["frames"]
    # Playwright reports nothing until it is called.
    eventually(lambda: phone.evaluate("() => true") and frames(daemon) > seen + 40, "pictures")
    assert asked == []
    daemon.wait_for_viewers(1)


def frames(daemon: Daemon) -> int:
    return int(daemon.status()["camera"]["frames"])


def show_and_wait(camera: PipeCamera, data: bytes, daemon: Daemon) -> None:
    """Show a picture, and wait until the daemon has it."""
    before = frames(daemon)
    camera.show(data)
    eventually(lambda: frames(daemon) > before, "the camera's picture")


def test_ten_returns_leave_one_stream(phone: Phone, daemon: Daemon) -> None:
    daemon.start(TEST_CARD)
    phone.open(daemon).wait_for("live")
    phone.evaluate(HIDE)
    for _ in range(10):
        show_or_hide(phone, away=True)
        assert phone.state() == "paused"
        daemon.wait_for_viewers(0)
        show_or_hide(phone, away=False)
        phone.wait_for("live")
        daemon.wait_for_viewers(1)
    assert phone.problems == []


def test_page_that_is_hidden_and_shown_in_haste_leaves_nothing_behind(
    phone: Phone, daemon: Daemon
) -> None:
    daemon.start(TEST_CARD)
    phone.open(daemon).wait_for("live")
    phone.evaluate(HIDE)
    before = heap(phone)
    phone.evaluate("""async () => {
      for (let turn = 0; turn < 200; turn += 1) {
        flip(turn % 2 === 0);
        await new Promise((done) => setTimeout(done, 5));
      }
      flip(true);
    }""")
    daemon.wait_for_viewers(0)
    assert heap(phone) - before < 1_000_000
    assert daemon.log().count("watching (") < 20
    show_or_hide(phone, away=False)
    phone.wait_for("live")
    daemon.wait_for_viewers(1)


def test_damaged_stream_is_opened_again(phone: Phone, daemon: Daemon) -> None:
    daemon.start(TEST_CARD)
    with Wire(daemon.port) as wire:
        phone.open(daemon, wire.port).wait_for("live")
        key = daemon.wait_for_viewers(1)[0]["key"]
        assert wire.damage("/live?") == 1

        def keys() -> set[str]:
            return {row["key"] for row in daemon.status()["viewers"]}

        eventually(lambda: keys() and key not in keys(), "another stream")
        phone.wait_for("live")
        phone.page.close()


def test_picture_behind_a_slow_proxy_is_new_or_said_to_be_old(
    phone: Phone, daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source})
    with filming(pipe_camera) as number, Wire(daemon.port, SLOW) as wire:
        phone.open(daemon, wire.port)
        eventually(lambda: phone.state() in ("live", "slow"), "a picture")
        states = set()
        end = time.monotonic() + 12
        while time.monotonic() < end:
            # The shade of an old picture is another one.
            before = phone.state()
            phone.bare()
            seen = phone.number()
            age = (number() - seen) % 16
            if before == phone.state() in ("live", "slow"):
                assert age <= 4, f"{before}, but the picture is {age} s old"
            states.add(before)
        assert states - {"live"}, "it is never said"
        phone.page.close()


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
def test_daemons_clock_may_be_set(phone: Phone, daemon: Daemon, tmp_path: Path, jump: int) -> None:
    with FaultySystem(tmp_path) as system:
        daemon.start(TEST_CARD, environ=system.environ)
        phone.open(daemon).wait_for("live")
        system.set_clock(jump)
        seen = frames(daemon)
        eventually(lambda: frames(daemon) > seen + 20, "pictures after that")
        phone.wait_for("live")
        daemon.wait_for_viewers(1)
        phone.page.close()


def test_phone_may_have_any_clock(phones: Phones, doorbell: Daemon) -> None:
    phone = phones()
    phone.page.add_init_script("""{
      const now = Date.now;
      Date.now = () => now() - 40 * 86400 * 1000;
    }""")
    phone.open(doorbell).wait_for("live")


def test_busy_page_shows_one_picture_after_the_other(
    phones: Phones, daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "server.max_viewers": 1})
    with filming(pipe_camera):
        first = phones().open(daemon).wait_for("live")
        second = phones().open(daemon).wait_for("full")
        seen = set()

        def look() -> bool:
            assert second.state() == "full"
            second.bare()
            seen.add(second.number())
            return len(seen - {0, 1}) > 2

        eventually(look, "three pictures")
        expect(second.page.locator("#note")).to_have_text(
            "One picture a second until there is room"
        )
        first.page.close()
        second.wait_for("live")


@pytest.mark.parametrize(
    ("status", "headline"),
    [
        (403, "This device may not watch"),
        (421, "The doorbell does not know this name"),
        (500, "The doorbell has an internal error"),
        (502, "The doorbell is not running"),
        (418, "The doorbell answers with an error"),
    ],
)
def test_refusal_is_offline_with_its_own_sentence(
    phone: Phone, doorbell: Daemon, status: int, headline: str
) -> None:
    def refuse(route: Route) -> None:
        route.fulfill(status=status, content_type="text/plain", body="some reason")

    phone.page.route(re.compile("/live\\?"), refuse)
    phone.open(doorbell).wait_for("offline")
    assert phone.text("headline") == headline
    assert "We keep trying." in phone.text("message")
    expect(phone.page.locator("#technical")).to_have_text(f"{status}: some reason")
    phone.page.unroute(re.compile("/live\\?"))
    phone.wait_for("live")


def test_answer_of_another_program_is_no_connection(phone: Phone, doorbell: Daemon) -> None:
    def answer(route: Route) -> None:
        route.fulfill(status=200, content_type="text/html", body="<h1>Hotel Wi-Fi</h1>")

    phone.page.route(re.compile("/live\\?"), answer)
    phone.open(doorbell).wait_for("offline")
    assert phone.text("headline") == "No connection"


def test_newest_picture_is_drawn_and_those_that_come_too_fast_are_skipped(
    phone: Phone, daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 60})
    phone.page.add_init_script("""{
      const decode = window.createImageBitmap;
      window.decoded = 0;
      window.createImageBitmap = async (blob) => {
        decoded += 1;
        await new Promise((done) => setTimeout(done, 300));
        return decode(blob);
      };
    }""")
    phone.open(daemon)
    phone.bare()
    for number in range(16):
        show_and_wait(pipe_camera, jpeg(number, 640, 480), daemon)
    eventually(lambda: phone.number() == 15, "the newest picture")
    assert phone.evaluate("() => decoded") < 10


@pytest.mark.parametrize("replacement", ["undefined", "() => Promise.reject(new TypeError())"])
def test_browser_without_image_bitmaps_shows_the_picture(
    phone: Phone, daemon: Daemon, pipe_camera: PipeCamera, replacement: str
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 60})
    phone.page.add_init_script(f"window.createImageBitmap = {replacement};")
    phone.open(daemon)
    phone.bare()
    for number in (3, 12):
        pipe_camera.show(jpeg(number, 640, 480))
        eventually(lambda number=number: phone.number() == number, f"picture {number}")  # type: ignore[misc]
