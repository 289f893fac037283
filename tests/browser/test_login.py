"""The password on a phone: logging in, staying in, and being asked again."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from doorbelld.access.password import hashed
from tests.support import axe
from tests.support.daemon import Daemon, eventually
from tests.support.phone import PORTRAIT, SMALL, TEST_CARD, Phone, Phones

WORD, OTHER = "correct horse", "battery staple"


def set_password(daemon: Daemon, password: str) -> None:
    new = daemon.folder / "new"
    new.write_text(hashed(password))
    new.replace(daemon.folder / "password")


@pytest.fixture
def locked(daemon: Daemon) -> Daemon:
    """Return a daemon with a password and a picture."""
    set_password(daemon, WORD)
    daemon.start({**TEST_CARD, "access.password_file": daemon.folder / "password"})
    daemon.wait_for_log("camera streaming")
    return daemon


def at_the_form(phone: Phone) -> None:
    expect(phone.page.locator("#password")).to_be_focused()
    assert phone.page.url.endswith("/login")
    assert phone.page.title() == "Doorbell"


def log_in(phone: Phone, password: str = WORD) -> None:
    at_the_form(phone)
    phone.page.keyboard.type(password)
    phone.page.get_by_role("button", name="See who is there").tap()


def test_password_opens_the_page(phone: Phone, locked: Daemon) -> None:
    log_in(phone.open(locked))
    phone.wait_for("live")
    assert phone.page.url == f"http://127.0.0.1:{locked.port}/"
    phone.page.reload(wait_until="domcontentloaded")
    phone.wait_for("live")
    (cookie,) = phone.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert phone.evaluate("() => document.cookie") == ""


def test_wrong_password_is_reported_and_can_be_corrected(phone: Phone, locked: Daemon) -> None:
    log_in(phone.open(locked), "wrong horse")
    message = phone.page.get_by_role("alert")
    expect(message).to_have_text("That is not the password.")
    log_in(phone)
    phone.wait_for("live")


def test_form_works_without_scripts(phones: Phones, locked: Daemon) -> None:
    phone = phones(java_script_enabled=False).open(locked)
    log_in(phone)
    expect(phone.page.locator("noscript img.picture")).to_be_visible()


def test_log_out_asks_again(phone: Phone, locked: Daemon) -> None:
    log_in(phone.open(locked))
    phone.wait_for("live")
    phone.page.get_by_role("button", name="Log out").tap()
    at_the_form(phone)
    watched = locked.log().count("watching (")
    phone.page.goto(f"http://127.0.0.1:{locked.port}/", wait_until="domcontentloaded")
    at_the_form(phone)
    assert locked.log().count("watching (") == watched


@pytest.mark.parametrize("size", [SMALL, PORTRAIT])
def test_three_buttons_find_room(phones: Phones, locked: Daemon, size: tuple[int, int]) -> None:
    phone = phones(size).open(locked)
    log_in(phone)
    phone.wait_for("live")
    expect(phone.page.locator("#logout")).to_be_visible()
    for name in ("snapshot", "fullscreen", "logout"):
        room = f"() => {{ const b = document.getElementById('{name}'); return"
        assert phone.evaluate(f"{room} b.scrollWidth <= b.clientWidth; }}"), name


def test_without_a_password_there_is_no_log_out(phone: Phone, doorbell: Daemon) -> None:
    phone.open(doorbell).wait_for("live")
    expect(phone.page.locator("#logout")).to_be_hidden()


def test_open_page_asks_for_the_new_password(phone: Phone, locked: Daemon) -> None:
    log_in(phone.open(locked))
    phone.wait_for("live")
    set_password(locked, OTHER)
    log_in(phone, OTHER)
    phone.wait_for("live")


def test_link_from_another_site_leads_to_the_picture(phone: Phone, locked: Daemon) -> None:
    log_in(phone.open(locked))
    phone.wait_for("live")
    # In a frame of another site the browser sends no cookie, so the page asks again.
    phone.page.goto(f"data:text/html,<a href='http://127.0.0.1:{locked.port}/'>Door</a>")
    phone.page.get_by_role("link").tap()
    phone.wait_for("live")


def test_browser_has_nothing_to_complain_about(phone: Phone, locked: Daemon) -> None:
    phone.open(locked)
    at_the_form(phone)
    # The form finds out whether the user is logged in by a request that is refused if not.
    refused = f"http://127.0.0.1:{locked.port}/status: 401"
    # Playwright reports nothing until it is called.
    asked = "() => true"
    eventually(lambda: phone.evaluate(asked) and refused in phone.problems, "the form has asked")
    rest = [each for each in phone.problems if "401" not in each]
    assert rest == []


@pytest.mark.parametrize("size", [SMALL, (844, 390), (1280, 800)])
def test_form_fits_every_screen(phones: Phones, locked: Daemon, size: tuple[int, int]) -> None:
    phone = phones(size).open(locked)
    at_the_form(phone)
    for selector in ("#password", "button"):
        box = phone.box(selector)
        assert box["x"] >= 16
        assert box["x"] + box["width"] <= size[0] - 16
        assert box["height"] >= 48
    assert phone.evaluate("() => document.documentElement.scrollWidth") <= size[0]


def test_password_managers_find_what_they_look_for(phone: Phone, locked: Daemon) -> None:
    phone.open(locked)
    at_the_form(phone)
    expect(phone.page.locator("form")).to_match_aria_snapshot("""
      - textbox "Password"
      - alert
      - button "See who is there"
    """)
    found = phone.evaluate(
        "() => Array.from(document.querySelectorAll('input'), (each) => each.autocomplete)"
    )
    assert found == ["username", "current-password"]


@pytest.mark.parametrize("size", [(195, 400), SMALL, (844, 390)])
def test_form_can_be_used_with_large_text(
    phones: Phones, locked: Daemon, size: tuple[int, int]
) -> None:
    phone = phones(size).open(locked)
    at_the_form(phone)
    phone.evaluate("() => { document.documentElement.style.fontSize = '200%'; }")
    assert phone.evaluate("() => document.documentElement.scrollWidth") <= size[0]
    words = "(e) => e.scrollWidth <= e.clientWidth && e.scrollHeight <= e.clientHeight"
    assert phone.page.locator("button").evaluate(words)
    assert phone.page.locator("h1").evaluate("(e) => e.scrollWidth <= e.clientWidth")
    log_in(phone)
    phone.wait_for("live")


def test_form_speaks_german(phones: Phones, locked: Daemon) -> None:
    phone = phones(locale="de-AT").open(locked)
    expect(phone.page.get_by_role("heading")).to_have_text("Türklingel")
    assert phone.page.title() == "Türklingel"
    assert phone.evaluate("() => document.documentElement.lang") == "de"
    phone.page.get_by_label("Passwort").fill("wrong horse")
    phone.page.get_by_role("button", name="Nachsehen, wer da ist").tap()
    expect(phone.page.get_by_role("alert")).to_have_text("Das ist nicht das Passwort.")
    assert axe.violations(phone.page.evaluate) == []


def test_form_keeps_the_rules_of_accessibility(phone: Phone, locked: Daemon) -> None:
    phone.open(locked)
    at_the_form(phone)
    assert axe.violations(phone.page.evaluate) == []
