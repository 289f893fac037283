"""The page itself: no errors, accessible, installable, and as configured."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import expect

from tests.support.daemon import Daemon, eventually
from tests.support.phone import TEST_CARD, Phone
from tests.support.pictures import jpeg
from tests.support.pipe_camera import PipeCamera

NASTY = """<b onclick="alert('1')">Tür</b> & "co" {{name}} 門"""

SHIFTS = """() => new Promise((done) => {
  new PerformanceObserver((list) => done(list.getEntries().map(({ value }) => value)))
    .observe({ type: "layout-shift", buffered: true });
  // Nothing is reported where nothing has shifted.
  requestAnimationFrame(() => requestAnimationFrame(() => done([])));
})"""


def test_browser_has_nothing_to_complain_about(phone: Phone, doorbell: Daemon) -> None:
    phone.open(doorbell).wait_for("live")
    assert phone.problems == []
    assert phone.strangers == []


def test_nothing_shifts_whatever_happens(
    phone: Phone, daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source})
    phone.open(daemon).wait_for("connecting")
    fixed = ("#name", "#picture", "#snapshot", "#fullscreen")
    before = [phone.box(each) for each in fixed]
    phone.wait_for("live", lambda: pipe_camera.show(jpeg(5, 640, 480)))
    assert [phone.box(each) for each in fixed] == before
    pipe_camera.disconnect()
    phone.wait_for("offline")
    phone.wait_for("live", lambda: pipe_camera.show(jpeg(5, 1280, 720)))
    assert [phone.box(each) for each in fixed] == before
    assert phone.evaluate(SHIFTS) == []


def test_assistive_technology_finds_names_and_roles(phone: Phone, doorbell: Daemon) -> None:
    phone.open(doorbell).wait_for("live")
    expect(phone.page.locator("body")).to_match_aria_snapshot("""
      - main:
        - /children: equal
        - img "Front door camera"
        - heading "Front door" [level=1]
        - paragraph:
          - time: /Picture of \\d+:\\d\\d/
        - paragraph: Live
        - status: Live
        - button "Snapshot"
        - button "Full screen"
        - link "Add to home screen"
        - navigation "Doorbell":
          - button "Sound on"
    """)
    assert phone.evaluate("() => document.documentElement.lang") == "en"


def test_voice_speaks_only_when_something_changes(phone: Phone, doorbell: Daemon) -> None:
    phone.open(doorbell).wait_for("live")
    voice = phone.page.get_by_role("status")
    expect(voice).to_have_text("Live")
    phone.evaluate("""() => {
      window.spoken = 0;
      const options = { childList: true, characterData: true, subtree: true };
      new MutationObserver(() => { spoken += 1; }).observe(
        document.querySelector("[role=status]"), options);
    }""")
    seen = doorbell.status()["camera"]["frames"]
    eventually(lambda: doorbell.status()["camera"]["frames"] > seen + 30, "more pictures")
    assert phone.evaluate("() => spoken") == 0


def test_words_can_be_read(phone: Phone, daemon: Daemon) -> None:
    """White, red and grey on the page's background: at least 4.5 to 1, as WCAG demands."""
    daemon.start({"camera.source": "file:/nowhere/door.mjpeg"})
    phone.open(daemon).wait_for("offline")
    colour = "(id) => getComputedStyle(document.getElementById(id)).color"
    expect(phone.page.locator("#badge")).to_have_css("color", "rgb(255, 122, 122)")
    ground = luminance("rgb(10, 12, 15)")
    for name in ("badge", "headline", "detail", "watching", "name"):
        ink = luminance(phone.page.evaluate(colour, name))
        assert (ink + 0.05) / (ground + 0.05) >= 4.5, name


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, as WCAG 2 defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_page_is_installable(phone: Phone, doorbell: Daemon) -> None:
    phone.open(doorbell)
    devtools = phone.page.context.new_cdp_session(phone.page)
    found = devtools.send("Page.getAppManifest")
    assert found["errors"] == []
    manifest = json.loads(found["data"])
    assert manifest["name"] == "Front door"
    assert manifest["display"] == "standalone"
    theme = phone.page.locator("meta[name=theme-color]").get_attribute("content")
    assert manifest["theme_color"] == manifest["background_color"] == theme
    background = phone.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert background == "rgb({}, {}, {})".format(*bytes.fromhex(theme[1:]))  # type: ignore[index]
    problems = devtools.send("Page.getInstallabilityErrors")["installabilityErrors"]
    # Chromium installs nothing in a private window, which every test's context is.
    assert [each["errorId"] for each in problems if each["errorId"] != "in-incognito"] == []


def test_icons_have_the_size_that_is_said(phone: Phone, doorbell: Daemon) -> None:
    phone.open(doorbell)
    icons = json.loads(doorbell.request("/manifest.webmanifest")[1])["icons"]
    sizes = {icon["src"]: icon["sizes"] for icon in icons}
    touch = phone.page.locator("link[rel=apple-touch-icon]").get_attribute("href")
    assert touch
    sizes[touch] = "180x180"
    assert "512x512" in sizes.values()
    for path, size in sizes.items():
        answer, body = doorbell.request(f"/{path}")
        assert answer.status == 200
        if size == "any":
            assert answer.getheader("Content-Type") == "image/svg+xml"
            continue
        image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert f"{image.shape[1]}x{image.shape[0]}" == size


def test_new_name_is_shown_literally_and_at_once_on_the_open_page(
    phone: Phone, daemon: Daemon, tmp_path: Path
) -> None:
    path = write_name(tmp_path, "Front door")
    daemon.start(TEST_CARD, arguments=["--config", str(path)])
    phone.open(daemon).wait_for("live")
    write_name(tmp_path, NASTY)
    daemon.send(signal.SIGHUP)
    expect_name(phone, NASTY)
    phone.page.reload(wait_until="domcontentloaded")
    expect_name(phone, NASTY)
    devtools = phone.page.context.new_cdp_session(phone.page)
    assert json.loads(devtools.send("Page.getAppManifest")["data"])["name"] == NASTY
    assert phone.problems == []


def expect_name(phone: Phone, name: str) -> None:
    """Wait until the camera has exactly this name everywhere."""
    expect(phone.page.get_by_role("heading")).to_have_text(name)
    expect(phone.page.get_by_role("img", name=f"{name} camera", exact=True)).to_be_visible()
    expect(phone.page).to_have_title(f"● {name}")
    assert phone.page.locator("b").all() == []


def write_name(folder: Path, name: str) -> Path:
    """Write a configuration with this name; return its path."""
    path = folder / "doorbelld.conf"
    path.write_text(f"[camera]\nname = {name}\n", encoding="utf-8")
    return path
