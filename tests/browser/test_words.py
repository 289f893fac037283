"""The page in the language of the browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.support.daemon import Daemon
from tests.support.phone import SMALL, TEST_CARD, Phone, Phones

SPEAK = """Object.defineProperty(navigator, "languages", {{ get: () => {languages} }});"""
NARROW = (195, 600)
SPILLED = """async () => {
  const { say } = await import("/words.js");
  const reasons = "none missing busy denied login unreachable silent damaged hangs software"
    + " settings other";
  const isSpilled = (each) => each.scrollWidth > each.clientWidth && each.clientWidth > 1
    && getComputedStyle(each).display !== "inline";
  return reasons.split(" ").flatMap((reason) => {
    document.getElementById("detail").textContent = say(`reason.${reason}`);
    document.getElementById("help").textContent = say(`reason.${reason}.help`);
    return Array.from(document.querySelectorAll("h1, p, span, summary, button"))
      .filter(isSpilled)
      .map((each) => `${reason}: ${each.outerHTML}`);
  });
}"""
"""Returns what is wider than its place, whatever is wrong with the camera."""


def speaking(phone: Phone, *languages: str) -> Phone:
    """Let the phone's user read these languages, the first one best."""
    phone.page.add_init_script(SPEAK.format(languages=list(languages)))
    return phone


def test_german_page(phone: Phone, doorbell: Daemon) -> None:
    speaking(phone, "de-AT", "en").open(doorbell).wait_for("live")
    assert phone.evaluate("() => document.documentElement.lang") == "de"
    assert phone.text("snapshot") == "Foto"
    assert phone.text("fullscreen-label") == "Vollbild"
    assert re.fullmatch(r"Bild: \d\d?:\d\d", phone.text("taken"))
    phone.page.get_by_role("button", name="Foto").tap()
    expect(phone.page.get_by_role("alert")).to_have_text("Foto gespeichert")
    assert phone.problems == []


def test_german_reason_with_the_daemons_own_sentence_folded_away(
    phone: Phone, daemon: Daemon
) -> None:
    daemon.start({"camera.source": "file:/nowhere/door.mjpeg"})
    speaking(phone, "de").open(daemon).wait_for("offline")
    assert phone.page.title() == "Front door \u2013 offline"
    assert re.fullmatch(r"Offline seit \d\d?:\d\d", phone.text("headline"))
    assert phone.text("detail") == "Die Kamera ist nicht angeschlossen"
    assert phone.text("help") == "Kabel und Stecker prüfen."
    phone.page.get_by_text("Technische Details").tap()
    expect(phone.page.locator("#technical")).to_have_text("There is no file /nowhere/door.mjpeg")
    expect(phone.page.locator("#technical")).to_have_attribute("lang", "en")


def test_other_languages_are_english(phone: Phone, doorbell: Daemon) -> None:
    speaking(phone, "fr-FR", "it").open(doorbell).wait_for("live")
    assert phone.evaluate("() => document.documentElement.lang") == "en"
    assert phone.text("snapshot") == "Snapshot"


@pytest.mark.parametrize("size", [SMALL, NARROW])
@pytest.mark.parametrize("language", ["en", "de"])
def test_longest_sentences_fit(
    phones: Phones, daemon: Daemon, language: str, size: tuple[int, int]
) -> None:
    daemon.start({**TEST_CARD, "camera.source": "file:/nowhere/door.mjpeg"})
    phone = speaking(phones(size), language).open(daemon).wait_for("offline")
    phone.page.locator("summary").tap()
    assert phone.evaluate(SPILLED) == []
