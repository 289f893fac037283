"""Takes the README's pictures: the real page of a real daemon, and a drawn front door.

And the contact sheet: every state of the page on every kind of screen.

Run it from the top folder: ``tools/screenshots``.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser

from tests.support import chromium, scene, v4l2
from tests.support.daemon import ROOT, Daemon
from tests.support.phone import LANDSCAPE, PORTRAIT, Phone
from tests.support.posed_page import CARDS, MANY, STATES, PosedPage
from tests.support.visits_server import MOTION, VisitsServer, visit

DOCS = ROOT / "docs"
_SHEET = DOCS / "page-states.jpg"
_SCREENS = ((195, 400), (360, 800), PORTRAIT, LANDSCAPE, (768, 1024), (1280, 800))
_SCALE = 0.4
_GAP = 14
_GREY = (88, 88, 88)
_DEVICE = "/dev/video0"
_SIZE = f"{scene.WIDTH}x{scene.HEIGHT}"
_DUSK = 18
"""The hour."""

_FADED = "() => Promise.all(document.getAnimations().map(({ finished }) => finished))"
_LOADED = """() => Array.from(document.images)
  .every((each) => !each.getAttribute("src") || (each.complete && each.naturalWidth > 0))"""


def main() -> None:
    """Take them all."""
    door = scene.front_door()  # Drawing it takes seconds.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        device = v4l2.V4l2Device(v4l2.build(folder), folder, [door])
        with Daemon(folder) as daemon, chromium.chromium(folder / "profile") as browser:
            daemon.start(
                {"camera.source": f"v4l2:{_DEVICE}", "camera.resolution": _SIZE},
                environ={
                    **device.environ,
                    "FAKE_V4L2_DEVICE": _DEVICE,
                    "FAKE_V4L2_SIZE": _SIZE,
                },
            )
            daemon.wait_for_state("streaming")
            phone = _phone(browser).open(daemon).wait_for("live")
            _take(phone, PORTRAIT, "page-portrait")
            _take(phone, LANDSCAPE, "page-landscape")
            _take_sheet(browser, daemon, door)
            _take_visits(browser, door)
            device.become("unplugged")
            phone.wait_for("offline")
            _take(phone, LANDSCAPE, "page-offline")


def _phone(browser: Browser) -> Phone:
    # A time zone in which it is dusk now; Etc/GMT counts to the west.
    west = (time.gmtime().tm_hour - _DUSK + 12) % 24 - 12
    context = browser.new_context(
        is_mobile=True,
        has_touch=True,
        device_scale_factor=1.5,
        locale="en-GB",
        timezone_id=f"Etc/GMT{west:+d}",
    )
    return Phone(context.new_page())


def _take(phone: Phone, size: tuple[int, int], name: str) -> None:
    phone.turn(*size)
    phone.page.keyboard.press("Shift")  # The bars stay a moment longer.
    phone.evaluate(_FADED)
    whole = phone.page.screenshot()
    # A palette, or the dusk alone would take half a megabyte.
    palette = "split[a][b];[a]palettegen=max_colors=255[p];[b][p]paletteuse=dither=sierra2_4a"
    command = ["ffmpeg", "-loglevel", "error", "-y", "-i", "-", "-vf", palette]
    subprocess.run([*command, DOCS / f"{name}.png"], input=whole, check=True)
    print(f"docs/{name}.png: {(DOCS / f'{name}.png').stat().st_size // 1024} KB")  # noqa: T201


def _take_sheet(browser: Browser, daemon: Daemon, door: bytes) -> None:
    context = browser.new_context(is_mobile=True, has_touch=True, locale="en-GB")
    posed = PosedPage(Phone(context.new_page()), daemon)
    posed.page.emulate_media(reduced_motion="reduce")  # Nothing fades.
    posed.draw(door)
    rows = []
    for state in STATES:
        posed.show(state)
        rows.append(_row(posed, state))
    for title, (state, more) in CARDS.items():
        posed.show(state, **more)
        rows.append(_row(posed, title))
    posed.show("offline", **MANY)
    posed.enlarge_text(200)
    rows.append(_row(posed, "offline, text of 200 %, a password, others watching"))
    posed.enlarge_text(100)
    posed.page.emulate_media(forced_colors="active", reduced_motion="reduce")
    rows.append(_row(posed, "offline, the user's own colours"))
    cv2.imwrite(str(_SHEET), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 82])
    print(f"docs/{_SHEET.name}: {_SHEET.stat().st_size // 1024} KB")  # noqa: T201
    context.close()


def _take_visits(browser: Browser, door: bytes) -> None:
    """Take the list of visits, and one of them, side by side."""
    now = int(time.time())
    # Not today's, which may be now: a ring of the last minutes has more buttons.
    evening = now - now % 86400 - 86400 + _DUSK * 3600
    visits = [
        visit(9, evening, presses=2, pressed_at=evening + 6, frames=200),
        visit(8, evening - 2500, MOTION),
        visit(7, evening - 9000, answered=evening - 8960.0),
        visit(6, evening - 20000, MOTION),
        visit(5, evening - 30000, still=0, frames=0, seconds=0.0, reason="paused"),
        visit(4, evening - 86400),
    ]
    with VisitsServer(visits, lambda *_: door) as server:
        phone = _phone(browser)
        page = phone.page
        page.clock.set_fixed_time(evening + 600)
        phone.open(server, path="visits").turn(*PORTRAIT)
        page.locator(".chunk").wait_for()
        page.wait_for_function(_LOADED)
        images = [page.screenshot()]
        page.locator(".open").first.click()
        page.locator("#player").wait_for()
        page.wait_for_function(_LOADED)
        images.append(page.screenshot())
        page.context.close()
    decoded = [cv2.imdecode(np.frombuffer(each, np.uint8), cv2.IMREAD_COLOR) for each in images]
    sheet = np.hstack([_framed(each, 0)[34 - _GAP // 2 :] for each in decoded])
    path = DOCS / "visits-page.jpg"
    cv2.imwrite(str(path), sheet, [cv2.IMWRITE_JPEG_QUALITY, 80])
    print(f"docs/{path.name}: {path.stat().st_size // 1024} KB")  # noqa: T201


def _row(posed: PosedPage, title: str) -> NDArray[Any]:
    """Return one state on all screens, side by side."""
    images = []
    for size in _SCREENS:
        posed.phone.turn(*size)
        posed.page.evaluate("() => new Promise(requestAnimationFrame)")
        png = np.frombuffer(posed.page.screenshot(), np.uint8)
        image = cv2.imdecode(png, cv2.IMREAD_COLOR)
        assert image is not None
        images.append(cv2.resize(image, None, fx=_SCALE, fy=_SCALE, interpolation=cv2.INTER_AREA))
    height = max(each.shape[0] for each in images)
    columns = [_framed(each, height - each.shape[0]) for each in images]
    row = np.hstack(columns)
    at = (_GAP // 2, 22)
    cv2.putText(row, title, at, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255,) * 3, 1, cv2.LINE_AA)
    return row


def _framed(image: Any, below: int) -> NDArray[Any]:
    half = _GAP // 2
    edges = (34, below + half, half, half)
    framed: NDArray[Any] = cv2.copyMakeBorder(image, *edges, cv2.BORDER_CONSTANT, value=_GREY)
    return framed


if __name__ == "__main__":
    main()
