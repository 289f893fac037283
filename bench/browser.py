"""What the page costs in a browser, and how old a picture is when the browser shows it.

Chromium draws without a graphics card here, so it needs more than a phone does. That is why the
page is compared with a bare ``<img>`` of the same stream, in the same place of the screen.

An age counts from the moment at which the camera has the picture until Chromium has put it onto the
screen: both ends are outside of the page.
"""

from __future__ import annotations

import base64
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from bench import material, servers
from bench.age import Ages
from bench.startup import wait_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from bench.material import Material
    from bench.servers import Running

_CHROMIUM = Path("/usr/bin/chromium")
_WIDTH, _HEIGHT, _SCALE = 390, 844, 2
"""A phone held upright: CSS pixels, and pixels of the screen for each of them."""

_ROUNDS = 3
_SETTLE, _SECONDS = 2.0, 6.0
_BITS = 6
_SQUARE = 40
"""The side of each square that stands for a bit of a picture's number, in pixels."""

_PLACE = """() => {
  const picture = document.getElementById("picture");
  const { left, top, width, height } = picture.getBoundingClientRect();
  return [left, top, width, height, getComputedStyle(picture).objectFit];
}"""
_IMAGE = """<!doctype html><meta name=viewport content="width=device-width">
<body style="margin: 0; background: black"><img src="/video_feed" style="position: fixed;
left: {0.left}px; top: {0.top}px; width: {0.width}px; height: {0.height}px; object-fit: {0.fit}">"""


class Place(NamedTuple):
    """Where the picture is on the screen, in CSS pixels, and how it is fitted into that box."""

    left: float
    top: float
    width: float
    height: float
    fit: str


@dataclass(frozen=True)
class Costs:
    """The CPU of all processes of the browser, in percent of a core."""

    page: float
    image: float


@dataclass(frozen=True)
class Shown:
    """Ages of pictures when they were on the screen."""

    page: Ages
    image: Ages


def is_possible() -> bool:
    """Return whether Chromium is installed."""
    return _CHROMIUM.exists()


def measure(frames: Material) -> tuple[Costs, Shown]:
    """Measure the page and the bare image in turns."""
    # Imported here because a machine without Chromium need not have it.
    from tests.support.chromium import chromium

    with tempfile.TemporaryDirectory(prefix="doorbelld-bench-") as name:
        folder = Path(name)
        with chromium(folder / "profile") as browser:
            return _costs(browser, frames), _shown(browser, folder, frames)


def _costs(browser: Browser, frames: Material) -> Costs:
    page, image = [], []
    with servers.doorbelld(f"file:{frames.mjpeg}").run() as running:
        wait_frame(running)
        for _ in range(_ROUNDS):
            with open_page(browser, running) as (tab, place):
                page.append(_percent(browser, tab))
            with _open_image(browser, running, place) as tab:
                image.append(_percent(browser, tab))
    return Costs(median(page), median(image))


def _percent(browser: Browser, tab: Page) -> float:
    """Return what the browser needs for the tab that is open."""
    from tests.support.chromium import processes
    from tests.support.processes import cpu_seconds

    tab.wait_for_timeout(1000 * _SETTLE)
    pids = processes(browser)
    begin, before = time.monotonic(), sum(map(cpu_seconds, pids))
    tab.wait_for_timeout(1000 * _SECONDS)
    used = sum(map(cpu_seconds, pids)) - before
    return 100 * used / (time.monotonic() - begin)


@contextmanager
def _open(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": _WIDTH, "height": _HEIGHT},
        device_scale_factor=_SCALE,
        is_mobile=True,
        has_touch=True,
    )
    try:
        yield context.new_page()
    finally:
        context.close()


@contextmanager
def open_page(browser: Browser, running: Running) -> Iterator[tuple[Page, Place]]:
    """Open the page; with where its picture is."""
    with _open(browser) as tab:
        tab.goto(_url(running), wait_until="domcontentloaded")
        tab.wait_for_selector("#stage[data-state=live]")
        yield tab, Place(*tab.evaluate(_PLACE))


@contextmanager
def _open_image(browser: Browser, running: Running, place: Place) -> Iterator[Page]:
    """Open a page of the daemon's origin with nothing but the picture, at this place."""
    body = _IMAGE.format(place)
    with _open(browser) as tab:
        tab.route("**/bare", lambda route: route.fulfill(body=body, content_type="text/html"))
        tab.goto(_url(running) + "bare", wait_until="domcontentloaded")
        tab.unroute_all()
        yield tab


def _url(running: Running) -> str:
    return f"http://{running.host}:{running.port}/"


def _shown(browser: Browser, folder: Path, frames: Material) -> Shown:
    pictures = [
        _numbered(path, number) for number, path in enumerate(sorted(frames.folder.iterdir()))
    ]
    from tests.support.pipe_camera import PipeCamera

    with (
        PipeCamera(folder / "camera.mjpeg") as camera,
        servers.doorbelld(camera.source).run() as running,
    ):
        running.wait_listening()
        with _showing(camera, pictures) as taken:
            wait_frame(running)
            with open_page(browser, running) as (tab, place):
                page = _ages(tab, place, taken)
            with _open_image(browser, running, place) as tab:
                image = _ages(tab, place, taken)
    return Shown(page, image)


def _numbered(path: Path, number: int) -> bytes:
    """Return a picture with its number in its middle, as black and white squares."""
    picture = cv2.imread(str(path))
    top, left = (material.HEIGHT - _SQUARE) // 2, (material.WIDTH - _BITS * _SQUARE) // 2
    for bit in range(_BITS):
        at = left + bit * _SQUARE
        picture[top : top + _SQUARE, at : at + _SQUARE] = 255 * (number >> bit & 1)
    return material.encode(picture)


@contextmanager
def _showing(camera: Any, pictures: list[bytes]) -> Iterator[dict[int, float]]:
    """Take the pictures over and over; yield when each was taken last, in Unix seconds."""
    taken: dict[int, float] = {}
    ended = threading.Event()

    def run() -> None:
        begin, count = time.monotonic(), 0
        while not ended.wait(begin + count / material.FPS - time.monotonic()):
            number = count % len(pictures)
            taken[number] = time.time()
            camera.show(pictures[number])
            count += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield taken
    finally:
        ended.set()
        thread.join()


def _ages(tab: Page, place: Place, taken: dict[int, float]) -> Ages:
    """Return how old each picture was when the browser put it onto the screen."""
    from playwright.sync_api import Error  # Only where there is a browser.

    found: dict[float, float] = {}
    devtools = tab.context.new_cdp_session(tab)
    begin = time.monotonic() + _SETTLE
    last = -1

    def look(frame: dict[str, Any]) -> None:
        nonlocal last
        with suppress(Error):  # The last one may come while the tab is being closed.
            devtools.send("Page.screencastFrameAck", {"sessionId": frame["sessionId"]})
        number = _number(base64.b64decode(frame["data"]), place)
        if number != last and time.monotonic() > begin:
            at = frame["metadata"]["timestamp"]
            found[at] = at - taken[number]
        last = number

    devtools.on("Page.screencastFrame", look)
    devtools.send(
        "Page.startScreencast", {"format": "jpeg", "quality": 50, "maxWidth": _WIDTH // 2}
    )
    tab.wait_for_timeout(1000 * (_SETTLE + _SECONDS))
    devtools.send("Page.stopScreencast")
    return Ages(
        sorted(1000 * age for age in found.values()), len(found) / _SECONDS, material.LENGTH
    )


def _number(screen: bytes, place: Place) -> int:
    """Return the number of the picture on the screen."""
    image = cv2.imdecode(np.frombuffer(screen, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    scale = image.shape[1] / _WIDTH
    ratios = (place.width / material.WIDTH, place.height / material.HEIGHT)
    side = _SQUARE * scale * (max(ratios) if place.fit == "cover" else min(ratios))
    middle = scale * (place.left + place.width / 2)
    row = int(scale * (place.top + place.height / 2))
    return sum(
        int(image[row, int(middle + side * (bit + 0.5 - _BITS / 2))] > 127) << bit
        for bit in range(_BITS)
    )
