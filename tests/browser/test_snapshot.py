"""The snapshot: the frame on the screen, or the true reason why there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Request, Route, expect

from tests.support.daemon import Daemon, eventually
from tests.support.phone import Phone, Phones
from tests.support.pictures import jpeg, phone_picture
from tests.support.pipe_camera import PipeCamera
from tests.support.posed_page import PosedPage

SHOWN = 1764147600.5
"""Unix seconds of 2025-11-26, 09:00 in UTC."""

SHARES = """
  window.shared = [];
  navigator.canShare = (data) => Boolean(data.files);
  navigator.share = (data) => { shared.push(data.files[0].name); return ANSWER; };
"""


@pytest.fixture
def posed(phones: Phones, doorbell: Daemon) -> PosedPage:
    """Return a live page in Vienna, with a picture on it."""
    found = PosedPage(phones(timezone_id="Europe/Vienna"), doorbell)
    found.show("live")
    found.draw(jpeg(7, 640, 480), SHOWN)
    return found


def press(posed: PosedPage) -> None:
    posed.page.get_by_role("button", name="Snapshot").tap()


def expect_notice(posed: PosedPage, text: str) -> None:
    expect(posed.page.get_by_role("alert")).to_have_text(text)


def test_frame_on_the_screen_is_saved_without_asking_the_doorbell(posed: PosedPage) -> None:
    asked: list[Request] = []

    def note(request: Request) -> None:
        if not request.url.startswith("blob:"):
            asked.append(request)

    posed.page.on("request", note)
    with posed.page.expect_download() as download:
        press(posed)
    assert Path(download.value.path()).read_bytes() == jpeg(7, 640, 480)
    assert download.value.suggested_filename == "Front door 2025-11-26 10.00.00.jpg"
    expect_notice(posed, "Snapshot saved")
    assert asked == []


def test_snapshot_is_the_picture_on_the_screen_byte_for_byte(
    phone: Phone, daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    picture = phone_picture(jpeg(9, 640, 480), jpeg(3), b"")
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 60})
    phone.open(daemon).wait_for("live", lambda: pipe_camera.show(picture))
    with phone.page.expect_download() as download:
        phone.page.get_by_role("button", name="Snapshot").tap()
    assert Path(download.value.path()).read_bytes() == picture


def test_without_a_live_picture_the_doorbell_is_asked(posed: PosedPage) -> None:
    headers = {"X-Timestamp": str(SHOWN + 60), "Content-Type": "image/jpeg"}
    posed.page.route("**/snapshot.jpg", lambda route: route.fulfill(body=jpeg(8), headers=headers))
    posed.draw(jpeg(7, 640, 480))
    with posed.page.expect_download() as download:
        press(posed)
    assert Path(download.value.path()).read_bytes() == jpeg(8)
    assert download.value.suggested_filename == "Front door 2025-11-26 10.01.00.jpg"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "please log in again."),
        (403, "this device may not watch."),
        (503, "there is no live picture."),
        (500, "the doorbell answers with error 500."),
    ],
)
def test_refusal_is_named_as_it_is(posed: PosedPage, status: int, reason: str) -> None:
    posed.page.route("**/snapshot.jpg", lambda route: route.fulfill(status=status))
    posed.draw(jpeg(7, 640, 480))
    press(posed)
    expect_notice(posed, f"No snapshot: {reason}")


def test_doorbell_that_does_not_answer_has_six_seconds(phones: Phones, doorbell: Daemon) -> None:
    phone = phones()
    phone.page.clock.install()
    posed = PosedPage(phone, doorbell)
    waiting: list[Route] = []

    def leave_waiting(route: Route) -> None:
        waiting.append(route)

    posed.page.route("**/snapshot.jpg", leave_waiting)
    press(posed)
    button = posed.page.locator("#snapshot")
    expect(button).to_have_attribute("aria-busy", "true")
    expect_notice(posed, "Saving the picture")
    eventually(lambda: posed.phone.evaluate("() => 1") and waiting, "the request")
    press(posed)  # Impatience changes nothing.
    posed.page.clock.run_for(6000)
    expect_notice(posed, "No snapshot: there was no answer for 6 s.")
    expect(button).to_have_attribute("aria-busy", "false")
    assert len(waiting) == 1


def sharing(phones: Phones, doorbell: Daemon, answer: str) -> PosedPage:
    """Return a page in a browser that can share files."""
    phone = phones(timezone_id="UTC")
    phone.page.add_init_script(SHARES.replace("ANSWER", answer))
    posed = PosedPage(phone, doorbell)
    posed.draw(jpeg(7, 640, 480), SHOWN)
    return posed


def failing(name: str) -> str:
    return f"Promise.reject(new DOMException('no', {json.dumps(name)}))"


def test_snapshot_is_shared_where_browsers_can(phones: Phones, doorbell: Daemon) -> None:
    posed = sharing(phones, doorbell, "Promise.resolve()")
    press(posed)
    expect_notice(posed, "Snapshot shared")
    assert posed.phone.evaluate("() => shared") == ["Front door 2025-11-26 09.00.00.jpg"]


def test_sharing_that_fails_becomes_a_download(phones: Phones, doorbell: Daemon) -> None:
    posed = sharing(phones, doorbell, failing("NotAllowedError"))
    with posed.page.expect_download() as download:
        press(posed)
    assert Path(download.value.path()).read_bytes() == jpeg(7, 640, 480)
    expect_notice(posed, "Snapshot saved")


def test_sharing_that_the_user_cancels_is_no_error(phones: Phones, doorbell: Daemon) -> None:
    posed = sharing(phones, doorbell, failing("AbortError"))
    press(posed)
    eventually(lambda: posed.phone.evaluate("() => shared.length") == 1, "the dialog")
    expect(posed.page.locator("#snapshot")).to_have_attribute("aria-busy", "false")
    expect(posed.page.locator("#notice")).to_be_hidden()
