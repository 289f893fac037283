"""The bell in every browser: a banner on all pages until one answers, and a chime while hidden."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.support.daemon import Daemon, eventually
from tests.support.engines import Tab
from tests.support.phone import Phone
from tests.support.ringing import COUNTED, Door, chimes

AUDIBLE = """(() => {
  const { prototype } = window.AudioContext;
  Object.defineProperty(prototype, "state", { get: () => "running" });
  prototype.resume = () => Promise.resolve();
})()"""
"""A script cannot touch the page as a finger does, which is what lets it make a sound."""


def is_ringing(tab: Tab) -> bool:
    """Return whether the banner is there, with its picture."""
    return bool(
        tab.evaluate("""(() => {
          const still = document.getElementById("ring-still");
          return !document.getElementById("ring").hidden && still.naturalWidth === 320
            && document.title === "Ringing: Front door";
        })()""")
    )


def test_ring_is_on_all_pages_until_one_answers(
    tab: Tab, phone: Phone, daemon: Daemon, tmp_path: Path
) -> None:
    door = Door(daemon, tmp_path)
    tab.open(daemon).wait_for("live")
    phone.open(daemon).wait_for("live")
    door.ring()
    eventually(lambda: is_ringing(tab), "the banner")
    expect(phone.page.locator("#ring")).to_be_visible()
    tab.evaluate("document.getElementById('answered').click()")
    eventually(lambda: not is_ringing(tab), "the banner gone")
    expect(phone.page.locator("#ring")).to_be_hidden()
    # What one page pauses is paused on the other one.
    phone.page.locator("#pause").tap()
    phone.page.locator("#pause-yes").tap()
    tab.wait_for("shut")


def test_ring_is_answered_where_its_message_leads(
    tab: Tab, phone: Phone, daemon: Daemon, tmp_path: Path
) -> None:
    door = Door(daemon, tmp_path)
    phone.open(daemon).wait_for("live")
    door.ring()
    expect(phone.page.locator("#ring")).to_be_visible()
    tab.open(daemon, path="visits#1")
    is_recent = "!(document.getElementById('recent') || {hidden: true}).hidden"
    eventually(lambda: tab.evaluate(is_recent), "the buttons for a ring that is recent")
    tab.evaluate("document.getElementById('answered').click()")
    eventually(lambda: "Answered at" in tab.text("viewer-facts"), "the time of the answer")
    assert not tab.evaluate(is_recent)
    expect(phone.page.locator("#ring")).to_be_hidden()
    tab.evaluate("document.getElementById('watch').click()")
    tab.wait_for("live")


def test_hidden_page_chimes(tab: Tab, daemon: Daemon, tmp_path: Path) -> None:
    door = Door(daemon, tmp_path)
    tab.open(daemon).wait_for("live")
    tab.evaluate(COUNTED)
    tab.evaluate(AUDIBLE)
    tab.evaluate("document.getElementById('sound').click()")
    eventually(lambda: chimes(tab.evaluate) == 1, "the chime that promises more")
    tab.hide()
    daemon.wait_for_viewers(0)
    door.ring()
    eventually(lambda: chimes(tab.evaluate) == 2, "the chime")
    assert tab.evaluate("document.title") == "Ringing: Front door"
    tab.show()
    tab.wait_for("live")
    eventually(lambda: is_ringing(tab), "the banner")
    assert chimes(tab.evaluate) == 2
