"""The page of visits: who was there, by day, with the film of each."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Route, expect

from doorbelld.visits.visit import Visit
from tests.support import axe
from tests.support.daemon import Daemon, eventually
from tests.support.kept_visits import KeptVisits
from tests.support.old_browsers import WITHOUT_NEWER, read_styles_as
from tests.support.phone import LANDSCAPE, PORTRAIT, SMALL, TEST_CARD, Phone, Phones
from tests.support.pictures import jpeg
from tests.support.styles import BROWSERS, Browser
from tests.support.visits_server import INTERRUPTED, MOTION, OPEN, RING, VisitsServer, visit

HOUR, DAY = 3600, 24 * 3600
TABLET = (768, 1024)
SIZES = (SMALL, PORTRAIT, LANDSCAPE, SMALL[::-1], TABLET, TABLET[::-1])
STILL = 15
"""The number of the picture that is everybody's still."""

ON_THE_CANVAS = """() => {
  const canvas = document.getElementById("film");
  const look = document.createElement("canvas").getContext("2d");
  look.drawImage(canvas, canvas.width / 2, canvas.height / 2, 1, 1, 0, 0, 1, 1);
  const [shade] = look.getImageData(0, 0, 1, 1).data;
  return canvas.hidden ? null : Math.floor(shade / 16);
}"""
IN_SIGHT = """() => Array.from(document.querySelectorAll(".visit"))
  .map((each) => each.getBoundingClientRect())
  .filter(({ top, bottom }) => top >= 0 && bottom <= innerHeight).length"""
TOO_WIDE = """() => Array.from(document.querySelectorAll("main *"))
  .filter((each) => each.getClientRects().length && getComputedStyle(each).visibility !== "hidden")
  .filter((each) => !each.closest(".unseen, .board, .marks"))
  .filter(({ scrollWidth, clientWidth }) => clientWidth > 1 && scrollWidth > clientWidth + 1)
  .map((each) => each.outerHTML)
  .concat(document.documentElement.scrollWidth > innerWidth ? ["the page"] : [])"""
LOST = """() => Array.from(document.querySelectorAll("a, input, textarea, button:not(.zone)"))
  .filter((each) => each.getClientRects().length && getComputedStyle(each).visibility !== "hidden")
  .filter((each) => {
    each.scrollIntoView({ block: "center" });
    const { left, top, right, bottom } = each.getBoundingClientRect();
    const hit = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return left < 0 || right > innerWidth || bottom - top < 44 || !each.contains(hit);
  })
  .map((each) => each.outerHTML)"""
"""What can be pressed, but is too small or cannot be reached."""


def picture(_: int, number: int | None) -> bytes:
    return jpeg(STILL if number is None else number, 320, 240)


def some() -> list[Visit]:
    """Return visits of every kind."""
    now = time.time()
    midnight = now - now % DAY - DAY
    return [
        visit(9, now - 60, presses=2, pressed_at=now - 59, frames=14, seconds=2.6, before=1.0),
        visit(8, now - 300, MOTION),
        visit(7, now - 600, answered=now - 570.0),
        visit(6, midnight - DAY, still=0, frames=0, seconds=0.0, reason="missing"),
        visit(5, midnight - 2 * DAY, MOTION, still=0, frames=0, seconds=0.0, reason="space"),
        visit(4, midnight - 2 * DAY, state=INTERRUPTED),
        visit(3, midnight - 400 * DAY),
    ]


@pytest.fixture
def server() -> Iterator[VisitsServer]:
    """Return a server with visits of every kind."""
    with VisitsServer(some(), picture) as found:
        yield found


@pytest.fixture
def phone(server: VisitsServer, phones: Phones) -> Phone:  # noqa: ARG001  # ends before the server
    """Return a phone that is held upright."""
    return phones(timezone_id="UTC")


def open_list(phone: Phone, server: VisitsServer) -> Phone:
    phone.open(server, path="visits")
    expect(phone.page.locator("#choices")).to_be_visible()
    expect(phone.page.locator(".chunk, #none:not([hidden])").first).to_be_attached()
    return phone


def open_visit(phone: Phone, server: VisitsServer, number: int = 9) -> Phone:
    open_list(phone, server)
    phone.page.locator(f"[data-id='{number}'] .open").tap()
    expect(phone.page.locator("#viewer")).to_be_visible()
    return phone


def rows(phone: Phone) -> list[int]:
    found = phone.evaluate(
        "() => Array.from(document.querySelectorAll('.visit')).map((each) => +each.dataset.id)"
    )
    return list(found)


def facts(phone: Phone, number: int) -> list[str]:
    """Return what a row says, but for its time."""
    found = phone.page.locator(f"[data-id='{number}'] .facts > span").all_inner_texts()
    return [each.replace("\xa0", " ") for each in found]


def expect_notice(phone: Phone, text: str) -> None:
    expect(phone.page.get_by_role("alert")).to_have_text(text)


def is_on_the_canvas(phone: Phone, number: int) -> Callable[[], bool]:
    return lambda: bool(phone.evaluate(ON_THE_CANVAS) == number)


# Without JavaScript


def test_daemons_own_page_shows_the_newest_without_javascript(
    server: VisitsServer, phones: Phones
) -> None:
    phone = phones(java_script_enabled=False)
    phone.open(server, path="visits")
    expect(phone.page.locator(".visit")).to_have_count(7)
    day = re.compile("Today|Yesterday")  # a minute after midnight
    expect(phone.page.get_by_role("heading", level=2).first).to_have_text(day)
    expect(phone.page.get_by_text("The camera is not connected")).to_be_visible()
    expect(phone.page.get_by_text("Visits are kept for 30 days.")).to_be_visible()
    expect(phone.page.locator("#filter")).to_be_hidden()
    expect(phone.page.locator("#choices")).to_be_hidden()
    with phone.page.expect_download() as download:
        phone.page.locator(".get").first.tap()
    assert Path(download.value.path()).read_bytes() == b"".join(picture(9, n) for n in range(14))
    assert phone.problems == []


def test_script_makes_the_rows_that_the_daemon_makes(phone: Phone, server: VisitsServer) -> None:
    shape = """(html) => Array.from((html
      ? new DOMParser().parseFromString(html, "text/html") : document).querySelectorAll(".visit"))
      .map((row) => Array.from(row.querySelectorAll(".open *"))
        .map((each) => `${each.tagName} ${each.className} ${each.textContent}`)
        .filter((each) => !each.startsWith("TIME") && !each.includes("facts")))"""
    open_list(phone, server)
    shown = phone.page.evaluate(shape, "")
    assert shown == phone.page.evaluate(shape, server.page().decode())
    assert len(shown) == 7


# The list


def test_nothing_is_said_of_motion_where_there_is_none(phone: Phone, server: VisitsServer) -> None:
    server.visits = [each for each in server.visits if each.kind is RING]
    open_list(phone, server)
    about_motion = [phone.page.locator("#filter"), phone.page.locator("#ignore")]
    expect(phone.page.get_by_role("button", name="Delete all")).to_be_visible()
    for place in about_motion:
        expect(place).to_be_hidden()
    newest = server.visits[0].id
    server.replace(visit(newest + 1, time.time(), MOTION))
    server.replace(visit(newest + 2, time.time()))  # The page hears of rings alone.
    for place in about_motion:
        expect(place).to_be_visible()


def test_visits_by_day_say_what_is_known(phone: Phone, server: VisitsServer) -> None:
    open_list(phone, server)
    days = phone.page.get_by_role("heading", level=2).all_inner_texts()
    assert len(days) == 4
    assert days[0] in ("Today", "Yesterday")  # a minute after midnight
    assert re.fullmatch(r"\w+,? \d+ \w+ \d{4}", days[-1])
    assert facts(phone, 9) == ["Ring", "2 presses", "Not answered", "3 s"]
    assert facts(phone, 8) == ["Motion", "20 s"]
    assert facts(phone, 7)[1].startswith("Answered at ")
    assert facts(phone, 4) == ["Ring", "Not answered", "Cut short by a restart", "20 s"]
    expect(phone.page.locator("[data-id='6'] .nothing")).to_have_text(
        "No pictureThe camera is not connected"
    )
    expect(phone.page.locator("#kept")).to_have_text(
        "6 MB of 1.0 GB used. Visits are kept for 30 days."
    )
    assert phone.problems == []


def test_rings_and_motion_can_be_shown_alone(phone: Phone, server: VisitsServer) -> None:
    open_list(phone, server)
    phone.page.get_by_role("button", name="Rings").tap()
    eventually(lambda: rows(phone) == [9, 7, 6, 4, 3], "the rings")
    phone.page.get_by_role("button", name="Motion").tap()
    eventually(lambda: rows(phone) == [8, 5], "motion")
    expect(phone.page.get_by_role("button", name="Motion")).to_have_attribute(
        "aria-pressed", "true"
    )
    server.visits = [each for each in server.visits if each.kind is RING]
    phone.page.get_by_role("button", name="All", exact=True).tap()
    phone.page.get_by_role("button", name="Motion").tap()
    expect(phone.page.locator("#none")).to_have_text("No motion yet")


def test_new_visit_appears_and_changes_without_moving_what_is_read(
    phone: Phone, server: VisitsServer
) -> None:
    open_list(phone, server)
    eventually(lambda: any("live?" in each for each in server.asked), "the stream")
    assert "GET /live?v=1&pictures=no" in server.asked
    new = visit(10, time.time(), state=OPEN, until=None, still=0, frames=0, seconds=0.0)
    server.replace(new)
    eventually(lambda: rows(phone)[0] == 10, "the new visit")
    expect(phone.page.get_by_role("status")).to_have_text(re.compile("New: Ring, "))
    assert facts(phone, 10) == ["Ring", "Going on now"]
    link = phone.page.locator("[data-id='10'] a")
    link.focus()
    server.replace(replace(new, still=1, presses=2, answered=time.time()))
    eventually(lambda: "2 presses" in facts(phone, 10), "the second press")
    assert facts(phone, 10)[3].startswith("Answered at ")
    expect(phone.page.locator("[data-id='10'] img")).to_have_attribute("src", "visits/10.jpg?v=1")
    expect(link).to_be_focused()
    server.visits = [each for each in server.visits if each.id != 8]
    server.replace(replace(new, state=INTERRUPTED))
    eventually(lambda: rows(phone)[:3] == [10, 9, 7], "the deleted one gone")


def test_thousands_of_visits_have_few_rows_at_a_time(phones: Phones) -> None:
    now = time.time()
    many = [visit(700 - number, now - number * 1000) for number in range(700)]
    with VisitsServer(many, picture) as server:
        phone = open_list(phones(), server)
        counts = set()

        def go_down() -> bool:
            phone.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
            counts.add(len(rows(phone)))
            return rows(phone)[-1:] == [1]

        eventually(go_down, "the oldest")
        assert max(counts) < 300
        assert len([each for each in server.asked if "visits.json" in each]) <= 17
        place = phone.evaluate("() => document.querySelectorAll('.chunk').length")
        assert place == 14
        phone.evaluate("() => scrollTo(0, 0)")
        eventually(lambda: 700 in rows(phone), "the newest again")
        assert rows(phone) == sorted(rows(phone), reverse=True)
        # Somewhere in the middle, no row is missing.
        phone.evaluate("() => scrollTo(0, document.documentElement.scrollHeight / 2)")
        eventually(lambda: phone.evaluate(IN_SIGHT) >= 4, "those in the middle")
        assert len(rows(phone)) < 300
        phone.page.close()


def test_answer_that_fails_is_explained_and_asked_for_again(
    phone: Phone, server: VisitsServer
) -> None:
    server.refuses["/visits.json"] = 503
    phone.open(server, path="visits")
    text = phone.page.locator("#trouble-text")
    expect(text).to_have_text("The doorbell is busy or its storage is not there. Try again.")
    expect(phone.page.locator(".visit")).to_have_count(7)  # the daemon's own
    server.refuses["/visits.json"] = 0
    phone.page.get_by_role("button", name="Try again").tap()
    expect(text).to_have_text("The doorbell does not answer. Check the connection and try again.")
    server.refuses.clear()
    phone.page.get_by_role("button", name="Try again").tap()
    expect(phone.page.locator("#trouble")).to_be_hidden()
    eventually(lambda: len(rows(phone)) == 7, "the list")


def test_today_is_yesterday_after_midnight(phone: Phone, server: VisitsServer) -> None:
    midnight = (int(time.time()) // DAY + 1) * DAY
    server.visits = [visit(9, midnight - 60, answered=midnight - 30.0)]
    phone.page.clock.set_fixed_time(midnight - 10)
    open_list(phone, server)
    day = phone.page.get_by_role("heading", level=2)
    expect(day).to_have_text("Today")
    link = phone.page.locator("[data-id='9'] a")
    link.focus()
    phone.page.clock.set_fixed_time(midnight + 10)
    expect(day).to_have_text("Yesterday")
    expect(link).to_be_focused()
    assert re.fullmatch(r"Answered at \w+,? \d+ \w+,? 23:59", facts(phone, 9)[1])
    link.tap()
    expect(phone.page.locator("#viewer-title")).to_have_text(re.compile(r"\d+ \w+,? 23:59$"))
    phone.page.clock.set_fixed_time(midnight - 10)
    expect(phone.page.locator("#viewer-title")).to_have_text("Ring, 23:59")


def test_login_that_has_ended_leads_to_the_form(phone: Phone, server: VisitsServer) -> None:
    open_list(phone, server)
    server.refuses = {"/visits.json": 401, "/status": 401}
    phone.page.get_by_role("button", name="Rings").tap()
    expect(phone.page).to_have_url(f"http://127.0.0.1:{server.port}/login")


def test_page_works_under_a_path(phone: Phone, server: VisitsServer) -> None:
    server.prefix = "/house/bell"
    phone.open(server, path="house/bell/visits")
    eventually(lambda: len(rows(phone)) == 7, "the list")
    phone.page.locator("[data-id='9'] .open").tap()
    phone.page.locator("#start").tap()
    eventually(lambda: phone.evaluate(ON_THE_CANVAS) is not None, "the film")
    phone.page.locator("#viewer-back").tap()
    phone.page.get_by_role("link", name="Live picture").tap()
    expect(phone.page).to_have_url(f"http://127.0.0.1:{server.port}/house/bell/")
    assert [each for each in server.asked if " /house/bell/" not in each] == []


# The real daemon


def test_ring_is_listed_watched_and_deleted_while_it_goes_on(
    phones: Phones, daemon: Daemon, tmp_path: Path
) -> None:
    kept = KeptVisits(tmp_path / "state")
    kept.add([jpeg(number, 320, 240) for number in range(10)], still=jpeg(STILL, 320, 240))
    settings = {**TEST_CARD, **kept.settings(), "visits.ignore": "0 0 1 0.2"}
    daemon.start(settings, environ=kept.environ)
    daemon.wait_for_state("streaming")
    plain = phones(java_script_enabled=False).open(daemon, path="visits")
    expect(plain.page.locator(".visit")).to_have_count(1)
    phone = phones().open(daemon, path="visits")
    eventually(lambda: rows(phone) == [1], "the kept visit")
    assert daemon.request(f"/ring?token={kept.token}")[0].status == 200
    eventually(lambda: rows(phone) == [2, 1], "the ring")
    expect(phone.page.locator("[data-id='2'] .more")).to_have_text("Going on now")
    phone.page.locator("[data-id='2'] .open").tap()
    phone.page.locator("#start").tap()
    eventually(lambda: phone.evaluate(ON_THE_CANVAS) is not None, "the film so far")
    delete(phone)
    eventually(lambda: rows(phone) == [1], "the ring gone")
    expect(phone.page.locator("#viewer")).to_be_hidden()
    phone.page.locator("[data-id='1'] .open").tap()
    phone.page.locator("#moment").press("End")
    eventually(is_on_the_canvas(phone, 9), "the last picture")
    phone.page.locator("#viewer-back").tap()
    phone.page.get_by_role("link", name="Parts to ignore").tap()
    eventually(lambda: line(phone) == "ignore = 0.00 0.00 1.00 0.20", "what is ignored")
    assert phone.problems == []


# The film


def test_still_comes_first_and_then_the_film(phone: Phone, server: VisitsServer) -> None:
    open_visit(phone, server)
    expect(phone.page.locator("#still")).to_be_visible()
    assert phone.evaluate(ON_THE_CANVAS) is None
    start = phone.page.locator("#start")
    seen: list[int] = []
    start.tap()

    def has_ended() -> bool:
        number = phone.evaluate(ON_THE_CANVAS)
        if number is not None and number not in seen:
            seen.append(number)
        return bool(number == 13)

    begun = time.monotonic()
    eventually(has_ended, "the end of the film")
    assert time.monotonic() - begun > 2.4  # It has 2.6 seconds.
    assert seen == sorted(seen)
    assert len(seen) > 5
    expect(start).to_be_hidden()
    expect(phone.page.locator("#still")).to_be_hidden()
    expect(phone.page.locator("#play-label")).to_have_text("Play")
    assert phone.problems == []


def test_film_is_scrubbed_by_keys_and_stepped_by_buttons(
    phone: Phone, server: VisitsServer
) -> None:
    open_visit(phone, server)
    scrubber = phone.page.get_by_role("slider", name="Moment in the film")
    scrubber.focus()
    phone.page.keyboard.press("End")
    eventually(is_on_the_canvas(phone, 13), "the last picture")
    phone.page.keyboard.press("ArrowLeft")
    eventually(is_on_the_canvas(phone, 12), "the one before")
    assert re.fullmatch(
        r"\d+:\d\d:\d\d \(\+1\.4 s\)", scrubber.get_attribute("aria-valuetext") or ""
    )
    phone.page.get_by_role("button", name="One picture back").tap()
    eventually(is_on_the_canvas(phone, 11), "one picture back")
    phone.page.get_by_role("button", name="One picture on").tap()
    phone.page.get_by_role("button", name="One picture on").tap()
    phone.page.get_by_role("button", name="One picture on").tap()
    eventually(is_on_the_canvas(phone, 13), "the last picture, and no further")
    expect(scrubber).to_have_js_property("value", "13")


def test_film_is_scrubbed_by_thumb_and_mouse(phone: Phone, server: VisitsServer) -> None:
    open_visit(phone, server)
    box = phone.box("#scrubber")
    devtools = phone.page.context.new_cdp_session(phone.page)

    def touch(kind: str, part: float) -> None:
        at = {"x": box["x"] + part * box["width"], "y": box["y"] + 30}
        points = [] if kind == "touchEnd" else [at]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0.5)
    eventually(lambda: phone.evaluate(ON_THE_CANVAS) in (6, 7), "the middle")
    touch("touchMove", 0.75)
    eventually(lambda: phone.evaluate(ON_THE_CANVAS) in (9, 10), "three quarters")
    touch("touchMove", 2)
    eventually(is_on_the_canvas(phone, 13), "the end")
    touch("touchEnd", 0)
    phone.page.mouse.move(box["x"] + 4, box["y"] + 20)
    phone.page.mouse.down()
    phone.page.mouse.up()
    eventually(is_on_the_canvas(phone, 0), "the beginning")


def test_presses_are_marked_in_the_film(phone: Phone, server: VisitsServer) -> None:
    open_visit(phone, server)
    expect(phone.page.locator(".mark")).to_have_count(2)
    marks = phone.evaluate(
        "() => Array.from(document.querySelectorAll('.mark')).map((each) => each.style.left)"
    )
    assert [round(float(each.rstrip("%"))) for each in marks] == [38, 77]  # 5 and 10 of 13


def test_open_visit_can_be_watched_as_far_as_it_is(phone: Phone, server: VisitsServer) -> None:
    new = visit(10, time.time(), state=OPEN, until=None, frames=3, seconds=0.4, before=0.2)
    server.visits.insert(0, new)
    open_visit(phone, server, 10)
    scrubber = phone.page.locator("#moment")
    scrubber.press("End")
    eventually(is_on_the_canvas(phone, 2), "the last picture so far")
    server.visits[0] = replace(new, frames=6, seconds=1.0)
    expect(scrubber).to_have_attribute("max", "5")
    phone.page.locator("#play").tap()
    eventually(is_on_the_canvas(phone, 5), "the last picture")
    expect(phone.page.locator("#play-label")).to_have_text("Pause")  # It waits for more.
    server.replace(replace(server.visits[0], state=INTERRUPTED))
    expect(phone.page.locator("#play-label")).to_have_text("Play")
    expect(phone.page.locator("#viewer-facts")).to_contain_text("Cut short by a restart")


def test_back_leads_to_the_same_row(phone: Phone, server: VisitsServer) -> None:
    open_list(phone, server)
    row = phone.page.locator("[data-id='4'] .open")
    row.scroll_into_view_if_needed()
    before = phone.evaluate("() => scrollY")
    row.tap()
    expect(phone.page.locator("#viewer-title")).to_be_focused()
    expect(phone.page.locator("#all")).not_to_be_visible()
    phone.page.go_back()
    expect(phone.page.locator("#viewer")).to_be_hidden()
    expect(row).to_be_focused()
    assert phone.evaluate("() => scrollY") == before
    row.tap()
    expect(phone.page.locator("#viewer-title")).to_be_focused()
    phone.page.keyboard.press("Escape")
    expect(phone.page.locator("#viewer")).to_be_hidden()
    expect(phone.page).to_have_url(f"http://127.0.0.1:{server.port}/visits")


def test_address_of_a_visit_opens_it(phone: Phone, server: VisitsServer) -> None:
    phone.open(server, path="visits#7")
    expect(phone.page.locator("#viewer-title")).to_have_text(re.compile("^Ring, "))
    phone.page.locator("#viewer-back").tap()
    expect(phone.page.locator("#viewer")).to_be_hidden()
    eventually(lambda: len(rows(phone)) == 7, "the list")
    phone.evaluate("() => { location.hash = '#77'; }")
    expect_notice(phone, "This visit is not there any more.")
    expect(phone.page.locator("#viewer")).to_be_hidden()


def test_visit_without_a_picture_says_why(phone: Phone, server: VisitsServer) -> None:
    open_visit(phone, server, 6)
    expect(phone.page.locator("#nothing")).to_have_text("No picture: The camera is not connected")
    for name in ("#still", "#start", "#player", "#save-still", "#save-film"):
        expect(phone.page.locator(name)).to_be_hidden()
    expect(phone.page.locator("#delete")).to_be_visible()


# While the visitor may still be there


def recent(phone: Phone) -> Locator:
    """Return what is shown besides while the visitor may still be there."""
    return phone.page.locator("#recent")


def test_recent_ring_is_answered_where_its_message_leads(
    phone: Phone, server: VisitsServer
) -> None:
    phone.open(server, path="visits#9")
    link = recent(phone).get_by_role("link", name="Live picture")
    expect(link).to_be_visible()
    assert "Answered at" not in phone.text("viewer-facts")
    recent(phone).get_by_role("button", name="Answered").tap()
    expect(phone.page.locator("#viewer-facts")).to_contain_text("Answered at ")
    expect(recent(phone)).to_be_hidden()
    expect(phone.page.locator("#viewer-title")).to_be_focused()
    assert server.asked.count("POST /visits/9/answered") == 1
    phone.page.locator("#viewer-back").tap()
    eventually(lambda: facts(phone, 9)[2].startswith("Answered at "), "its row")
    assert phone.problems == []


def test_recent_ring_leads_to_the_live_picture(phone: Phone, server: VisitsServer) -> None:
    # A device whose own clock is wrong.
    phone.page.clock.set_fixed_time(time.time() + 30 * DAY)
    phone.open(server, path="visits#9")
    recent(phone).get_by_role("link", name="Live picture").tap()
    expect(phone.page).to_have_url(f"http://127.0.0.1:{server.port}/")
    phone.page.go_back(wait_until="commit")  # It never loads again.
    expect(recent(phone)).to_be_visible()


@pytest.mark.parametrize("number", [8, 7, 4], ids=["motion", "answered", "old"])
def test_other_visit_is_only_a_film(phone: Phone, server: VisitsServer, number: int) -> None:
    open_visit(phone, server, 9)
    expect(recent(phone)).to_be_visible()  # So the time is known.
    phone.evaluate(f"() => {{ location.hash = '#{number}'; }}")
    expect(phone.page.locator("#viewer-title")).to_be_focused()
    expect(recent(phone)).to_be_hidden()


def test_ring_that_another_page_answers_needs_no_answer(phone: Phone, server: VisitsServer) -> None:
    open_visit(phone, server)
    expect(recent(phone)).to_be_visible()
    server.replace(replace(server.visits[0], answered=time.time()))
    expect(recent(phone)).to_be_hidden()


def test_ring_is_not_recent_for_ever(phone: Phone, server: VisitsServer) -> None:
    open_visit(phone, server)
    expect(recent(phone)).to_be_visible()
    recent(phone).get_by_role("button", name="Answered").focus()
    server.ahead = 600
    server.announce()
    expect(recent(phone)).to_be_hidden()
    expect(phone.page.locator("#viewer-title")).to_be_focused()


# Saving and deleting


def test_picture_is_saved(phone: Phone, server: VisitsServer) -> None:
    open_visit(phone, server, 3)
    save = phone.page.get_by_role("button", name="Save picture")
    with phone.page.expect_download() as download:
        save.tap()
    assert Path(download.value.path()).read_bytes() == picture(3, None)
    name = time.strftime("Front door %Y-%m-%d %H.%M.%S.jpg", time.gmtime(server.visits[-1].at))
    assert download.value.suggested_filename == name
    expect_notice(phone, "Snapshot saved")
    phone.page.locator("#moment").press("End")
    eventually(is_on_the_canvas(phone, 3), "picture 19")  # 19 - 16
    with phone.page.expect_download() as download:
        save.tap()
    assert Path(download.value.path()).read_bytes() == picture(3, 19)


def test_film_is_saved(phone: Phone, server: VisitsServer) -> None:
    open_visit(phone, server)
    with phone.page.expect_download() as download:
        phone.page.get_by_role("button", name="Save film").tap()
    assert Path(download.value.path()).read_bytes() == b"".join(picture(9, n) for n in range(14))
    assert re.fullmatch(r"Front door [\d-]{10} [\d.]{8}\.mjpeg", download.value.suggested_filename)


REFUSALS = {
    403: "This device may not do that.",
    503: "The doorbell is busy or its storage is not there. Try again.",
    500: "The doorbell answers with error 500.",
    0: "The doorbell does not answer. Check the connection and try again.",
}


def test_refusal_is_a_sentence_and_nothing_is_lost(phone: Phone, server: VisitsServer) -> None:
    open_visit(phone, server)
    for status, sentence in REFUSALS.items():
        server.refuses["POST /visits/9/delete"] = server.refuses["HEAD /visits/9.mjpeg"] = status
        for act in (phone.page.get_by_role("button", name="Save film").tap, lambda: delete(phone)):
            phone.evaluate("() => { document.getElementById('notice').textContent = ''; }")
            act()
            expect_notice(phone, sentence)
            expect(phone.page.locator("#deeds")).to_be_visible()
    server.refuses["POST /visits/9/answered"] = 403
    recent(phone).get_by_role("button", name="Answered").tap()
    expect_notice(phone, REFUSALS[403])
    expect(recent(phone)).to_be_visible()
    phone.page.locator("#viewer-back").tap()
    assert rows(phone)[0] == 9


def delete(phone: Phone) -> Locator:
    """Delete the visit that is shown; return the question."""
    question = phone.page.get_by_role("group", name="Delete this visit for good?")
    phone.page.get_by_role("button", name="Delete").tap()
    expect(question.get_by_role("button", name="Keep")).to_be_focused()
    question.get_by_role("button", name="Delete").tap()
    return question


def test_visit_is_deleted_after_a_question(phone: Phone, server: VisitsServer) -> None:
    open_visit(phone, server)
    phone.page.get_by_role("button", name="Delete").tap()
    phone.page.get_by_role("button", name="Keep").tap()
    expect(phone.page.get_by_role("button", name="Delete")).to_be_focused()
    assert "POST /visits/9/delete" not in server.asked
    delete(phone)
    expect_notice(phone, "Visit deleted")
    expect(phone.page.locator("#viewer")).to_be_hidden()
    eventually(lambda: rows(phone)[0] == 8, "the row gone")
    assert server.find(9) is None
    assert server.asked.count("POST /visits/9/delete") == 1
    expect(phone.page.locator("#kept")).to_contain_text("5 MB of")


def test_visit_that_was_deleted_elsewhere_is_gone(phone: Phone, server: VisitsServer) -> None:
    open_list(phone, server)
    server.visits = [each for each in server.visits if each.id != 7]
    phone.page.locator("[data-id='7'] .open").tap()
    expect_notice(phone, "This visit is not there any more.")
    expect(phone.page.locator("#viewer")).to_be_hidden()
    eventually(lambda: 7 not in rows(phone), "the row gone")


def test_all_are_deleted_after_a_question_with_their_number(
    phone: Phone, server: VisitsServer
) -> None:
    open_list(phone, server)
    phone.page.get_by_role("button", name="Delete all").tap()
    question = phone.page.get_by_role("group", name="Delete all 7 visits for good?")
    question.get_by_role("button", name="Keep").tap()
    expect(question).to_be_hidden()
    phone.page.get_by_role("button", name="Delete all").tap()
    question.get_by_role("button", name="Delete all 7").tap()
    expect_notice(phone, "All visits deleted")
    expect(phone.page.locator("#none")).to_have_text("No visits yet")
    assert server.visits == []
    eventually(lambda: rows(phone) == [], "no row")
    expect(phone.page.get_by_role("button", name="Delete all")).to_be_hidden()


# Parts of the picture to ignore


def line(phone: Phone) -> str:
    return phone.page.locator("#zones-line").input_value()


def open_zones(phone: Phone, server: VisitsServer) -> dict[str, float]:
    open_list(phone, server)
    phone.page.get_by_role("link", name="Parts to ignore").tap()
    expect(phone.page.locator("#zones")).to_be_visible()
    eventually(
        lambda: phone.evaluate("() => document.getElementById('zones-picture').naturalWidth"),
        "the picture",
    )
    return phone.box("#board")


def drag(phone: Phone, board: dict[str, float], *points: tuple[float, float]) -> None:
    """Press at the first point, and move to the others; in parts of the picture."""
    for number, (x, y) in enumerate(points):
        phone.page.mouse.move(board["x"] + x * board["width"], board["y"] + y * board["height"])
        if number == 0:
            phone.page.mouse.down()
    phone.page.mouse.up()


def test_parts_are_drawn_moved_and_resized(phone: Phone, server: VisitsServer) -> None:
    board = open_zones(phone, server)
    assert board["width"] / board["height"] == pytest.approx(4 / 3, rel=0.02)
    assert line(phone) == "ignore = none"
    drag(phone, board, (0.1, 0.2), (0.3, 0.3), (0.4, 0.6))
    assert line(phone) == "ignore = 0.10 0.20 0.30 0.40"
    drag(phone, board, (0.2, 0.3), (0.3, 0.35))
    assert line(phone) == "ignore = 0.20 0.25 0.30 0.40"
    drag(phone, board, (0.5, 0.65), (0.6, 0.75))
    assert line(phone) == "ignore = 0.20 0.25 0.40 0.50"
    drag(phone, board, (0.9, 0.9), (0.9, 0.9))  # A tap is no part.
    drag(phone, board, (0.7, 0.1), (2, -1))
    assert line(phone) == "ignore = 0.20 0.25 0.40 0.50, 0.70 0.00 0.30 0.10"
    phone.page.get_by_role("button", name="Remove").tap()
    assert line(phone) == "ignore = 0.20 0.25 0.40 0.50"
    assert phone.problems == []


def test_parts_are_drawn_by_touch(phone: Phone, server: VisitsServer) -> None:
    board = open_zones(phone, server)
    devtools = phone.page.context.new_cdp_session(phone.page)
    for kind, x, y in (("touchStart", 0.2, 0.2), ("touchMove", 0.5, 0.5), ("touchMove", 0.6, 0.8)):
        point = {"x": board["x"] + x * board["width"], "y": board["y"] + y * board["height"]}
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    eventually(lambda: line(phone) == "ignore = 0.20 0.20 0.40 0.60", "the part")


def test_parts_are_changed_by_keys(phone: Phone, server: VisitsServer) -> None:
    open_zones(phone, server)
    phone.page.get_by_role("button", name="Add a part").press("Enter")
    assert line(phone) == "ignore = 0.35 0.35 0.30 0.30"
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowDown", "Shift+ArrowLeft"):
        phone.page.keyboard.press(key)
    assert line(phone) == "ignore = 0.37 0.34 0.29 0.31"
    name = "Part 1: left 37 %, top 34 %, 29 \u00d7 31 %"
    expect(phone.page.get_by_role("button", name=name)).to_be_focused()
    phone.page.keyboard.press("Delete")
    assert line(phone) == "ignore = none"


def test_parts_that_are_ignored_already_are_shown(phone: Phone, server: VisitsServer) -> None:
    server.ignore = [[0, 0, 1, 0.2], [0.5, 0.5, 0.25, 0.25]]
    open_zones(phone, server)
    eventually(
        lambda: line(phone) == "ignore = 0.00 0.00 1.00 0.20, 0.50 0.50 0.25 0.25", "the parts"
    )
    expect(phone.page.locator(".zone")).to_have_count(2)


def test_part_that_is_drawn_early_comes_after_those_there_are(
    phone: Phone, server: VisitsServer
) -> None:
    held: list[Route] = []
    server.ignore = [[0, 0, 1, 0.2]]

    def hold(route: Route) -> None:
        held.append(route)

    phone.page.route("**/status*", hold)
    open_zones(phone, server)
    phone.page.get_by_role("button", name="Add a part").tap()
    eventually(lambda: bool(phone.text("zones-title") and held), "the question")
    held[0].continue_()
    eventually(
        lambda: line(phone) == "ignore = 0.00 0.00 1.00 0.20, 0.35 0.35 0.30 0.30", "both parts"
    )
    expect(phone.page.locator(".zone").last).to_be_focused()
    phone.page.keyboard.press("ArrowRight")
    assert line(phone).endswith(", 0.36 0.35 0.30 0.30")


def test_line_is_copied_where_browsers_allow_no_clipboard(
    phone: Phone, server: VisitsServer
) -> None:
    phone.page.add_init_script(
        "Object.defineProperty(navigator, 'clipboard', { value: undefined });"
        "document.execCommand = (name) => { window.done = `${name} ${getSelection()}`; };"
    )
    open_zones(phone, server)
    phone.page.get_by_role("button", name="Copy").tap()
    expect_notice(phone, "Copied")
    assert phone.evaluate("() => done") == "copy ignore = none"


def test_parts_are_drawn_over_the_newest_still_if_there_is_no_live_picture(
    phone: Phone, server: VisitsServer
) -> None:
    server.refuses["/snapshot.jpg"] = 503
    open_zones(phone, server)
    expect(phone.page.locator("#zones-picture")).to_have_attribute("src", "visits/9.jpg?v=1")


# On every screen, for everyone


def all_views(phone: Phone, server: VisitsServer) -> Iterator[str]:
    """Show the list, visits and the parts to ignore, one after the other."""
    open_list(phone, server)
    yield "the list"
    phone.page.locator("#empty").tap()
    yield "the question for all"
    phone.page.locator("#empty-no").tap()
    for number in (9, 6):
        phone.evaluate(f"() => {{ location.hash = '#{number}'; }}")
        expect(phone.page.locator("#viewer")).to_be_visible()
        if number == 9:
            expect(phone.page.locator("#player")).to_be_visible()
        yield f"visit {number}"
    phone.page.locator("#delete").tap()
    yield "the question"
    phone.evaluate("() => { location.hash = '#zones'; }")
    phone.page.locator("#zones-add").tap()
    yield "the parts"


@pytest.mark.parametrize(("text", "language"), [(100, "en-GB"), (200, "de-DE")])
def test_everything_can_be_reached_on_every_screen(
    server: VisitsServer, phones: Phones, text: int, language: str
) -> None:
    phone = phones(locale=language)
    for view in all_views(phone, server):
        phone.evaluate(f"() => {{ document.documentElement.style.fontSize = '{text}%'; }}")
        for size in (*SIZES, (195, 400)):
            phone.turn(*size)
            where = f"{view}, {size}, {text} %"
            assert phone.evaluate(TOO_WIDE) == [], where
            assert phone.evaluate(LOST) == [], where
            assert phone.broken_words(".unseen, code, textarea, [data-say='zones.where']") == [], (
                where
            )
        phone.turn(*PORTRAIT)


def test_picture_stays_in_sight_on_a_phone_on_its_side_with_large_text(
    server: VisitsServer, phones: Phones
) -> None:
    phone = phones(LANDSCAPE, locale="de-DE")
    for view in all_views(phone, server):
        screen = phone.page.locator(".over:not([hidden]) > .screen")
        if not screen.count():
            continue
        phone.turn(*LANDSCAPE)
        phone.evaluate("() => { document.documentElement.style.fontSize = '200%'; }")
        for end in (0, 9999):
            screen.evaluate("(screen, end) => { screen.parentElement.scrollTop = end; }", end)
            box = screen.bounding_box()
            assert box, view
            assert box["y"] >= 0, (view, end)
            assert box["y"] + box["height"] <= LANDSCAPE[1], (view, end)
            assert box["height"] > 300, (view, end)
        phone.turn(*PORTRAIT)


def test_scrubber_is_seen_in_colours_that_the_user_has_chosen(
    phone: Phone, server: VisitsServer
) -> None:
    phone.page.emulate_media(forced_colors="active")
    open_visit(phone, server)
    box = phone.box("#scrubber")
    thumb, track, ground = (
        phone.brightness_at(box["x"] + left, box["y"] + down)
        for left, down in ((14, 24), (0.6 * box["width"], 24), (0.6 * box["width"], 6))
    )
    assert abs(thumb - ground) > 100
    assert abs(track - ground) > 60


@pytest.mark.parametrize("browser_of_2018", BROWSERS, ids=lambda each: each.name)
def test_browser_of_2018_shows_all(
    phone: Phone, server: VisitsServer, browser_of_2018: Browser
) -> None:
    phone.page.add_init_script(WITHOUT_NEWER)
    read_styles_as(browser_of_2018, phone)
    for view in all_views(phone, server):
        for size in (SMALL, LANDSCAPE, TABLET):
            phone.turn(*size)
            assert phone.evaluate(TOO_WIDE) == [], (view, size)
            assert phone.evaluate(LOST) == [], (view, size)
        phone.turn(*PORTRAIT)
    phone.evaluate("() => { location.hash = '#9'; }")
    phone.page.locator("#start").tap()
    eventually(lambda: phone.evaluate(ON_THE_CANVAS) == 2, "the film")
    assert phone.problems == []


@pytest.mark.parametrize("size", [PORTRAIT, LANDSCAPE], ids=str)
def test_rules_of_accessibility_are_kept(
    server: VisitsServer, phones: Phones, size: tuple[int, int]
) -> None:
    phone = phones(size)
    for view in all_views(phone, server):
        assert axe.violations(phone.page.evaluate) == [], view


def test_german_page(server: VisitsServer, phones: Phones) -> None:
    phone = open_list(phones(locale="de-AT"), server)
    assert phone.evaluate("() => document.documentElement.lang") == "de"
    assert phone.page.title() == "Besuche \u2013 Front door"
    assert facts(phone, 9)[:3] == ["Klingeln", "2-mal gedrückt", "Nicht beantwortet"]
    phone.page.locator("[data-id='9'] .open").tap()
    expect(phone.page.locator("#time")).to_have_text(re.compile("\u22121,0 s"))


def test_names_are_text(phone: Phone, server: VisitsServer) -> None:
    server.name = "<b>Tür</b> & <!--visits-->"
    reason: Any = "<i>new</i>"
    server.visits[3] = replace(server.visits[3], reason=reason)
    open_list(phone, server)
    expect(phone.page.locator("#name")).to_have_text(server.name)
    expect(phone.page.locator("[data-id='6'] .nothing")).to_contain_text("The camera does not work")
    assert phone.page.locator("main i").count() == 0
