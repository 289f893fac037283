"""The page of visits as the daemon writes it, for browsers without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from doorbelld.visits.visit import Visit
from doorbelld.web import assets, visits_page
from tests.support.visits_server import INTERRUPTED, MOTION, OPEN, visit

NAME = """<b>Tür</b> & <!--visits--> {{name}}"""


def at(text: str) -> float:
    """Return a time of this machine's own zone."""
    return datetime.fromisoformat(text).timestamp()


NOW = at("2026-03-04 12:00")


def page(visits: Sequence[Visit], next_id: int | None = None, days: float = 30) -> str:
    kept = visits_page.Kept(412_345_678, 1_000_000_000, days)
    return visits_page.page(assets.load(NAME), visits, next_id, kept, NOW).decode()


def row(found: Visit) -> str:
    return page([found]).partition('<ol class="rows">')[2].partition("</ol>")[0]


def texts(html: str) -> list[str]:
    return [text for text in re.findall(r">([^<>]+)<", html) if text.strip()]


def test_visits_are_ordered_by_day() -> None:
    moments = ["2026-03-04 09:05", "2026-03-04 00:00", "2026-03-03 23:59", "2026-03-01 12:00"]
    moments.append("2025-12-31 23:59")
    shown = page([visit(9 - number, at(each)) for number, each in enumerate(moments)])
    assert re.findall(r'<h2 class="day">([^<]+)<|<time class="when"[^>]*>([^<]+)<', shown) == [
        ("Today", ""),
        ("", "09:05"),
        ("", "00:00"),
        ("Yesterday", ""),
        ("", "23:59"),
        ("Sunday, 1 March", ""),
        ("", "12:00"),
        ("Wednesday, 31 December 2025", ""),
        ("", "23:59"),
    ]
    assert shown.count("<ol") == shown.count("</ol>") == 4


def test_row_has_all_that_is_known() -> None:
    moment = at("2026-03-04 09:05")
    found = row(visit(12, moment, presses=2, answered=moment + 60, still=3))
    assert texts(found) == [
        "09:05",
        "Ring",
        "2 presses",
        "Answered at 09:06",
        "20\u00a0s",
        "Save film",
    ]
    assert '<img src="visits/12.jpg?v=3" alt="" loading="lazy">' in found
    assert '<a class="get" href="visits/12.mjpeg" download>' in found


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"kind": MOTION}, ["Motion", "20\u00a0s"]),
        ({}, ["Ring", "Not answered", "20\u00a0s"]),
        ({"state": OPEN, "until": None}, ["Ring", "Going on now", "20\u00a0s"]),
        ({"state": INTERRUPTED}, ["Ring", "Not answered", "Cut short by a restart", "20\u00a0s"]),
    ],
)
def test_row_says_how_it_was(more: dict[str, Any], said: list[str]) -> None:
    assert texts(row(visit(12, NOW, **more)))[1:-1] == said


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ("missing", "The camera is not connected"),
        ("none", "No camera was found"),
        ("space", "There was no room for pictures."),
        ("paused", "The camera was closed."),
        ("<new>", "The camera does not work"),
    ],
)
def test_row_without_a_picture_says_why(reason: str, why: str) -> None:
    found = row(visit(12, NOW, still=0, frames=0, seconds=0.0, reason=reason))
    assert texts(found) == ["No picture", why, "12:00", "Ring", "Not answered"]
    assert "<img" not in found
    assert "mjpeg" not in found


def test_row_without_a_picture_has_perhaps_no_reason() -> None:
    found = row(visit(12, NOW, still=0, frames=0, seconds=0.0))
    assert texts(found) == ["No picture", "12:00", "Ring", "Not answered"]


def test_no_visits() -> None:
    assert "No visits yet" in texts(page([]))


def test_earlier_visits_are_a_link_away() -> None:
    assert '<a href="visits?before=11">Earlier visits</a>' in page([visit(12, NOW)], 11)
    assert "visits?before" not in page([visit(12, NOW)])


@pytest.mark.parametrize(
    ("days", "sentence"),
    [
        (30, "412 MB of 1.0 GB used. Visits are kept for 30 days."),
        (1, "412 MB of 1.0 GB used. Visits are kept for 1 day."),
        (0.5, "412 MB of 1.0 GB used. Visits are kept for 0.5 days."),
    ],
)
def test_space_and_time_are_said(days: float, sentence: str) -> None:
    assert sentence in texts(page([], days=days))


def test_name_is_text() -> None:
    shown = page([visit(12, NOW)])
    assert "<title>&lt;b&gt;Tür&lt;/b&gt; &amp; &lt;!--visits--&gt; {{name}}</title>" in shown
    assert "<b>Tür" not in shown
    assert shown.count('<li class="visit"') == 1


def test_sentences_are_text() -> None:
    files = assets.load(NAME)
    words = files["/words.js"]
    changed = words.body.replace(b'"Not answered"', b'"<i>Not & answered"')
    kept = visits_page.Kept(0, 1, 1)
    files = {**files, "/words.js": words._replace(body=changed)}
    shown = visits_page.page(files, [visit(12, NOW)], None, kept, NOW).decode()
    assert "&lt;i&gt;Not &amp; answered" in shown
    assert "<i>" not in shown


def test_page_has_no_script_or_style_of_its_own() -> None:
    shown = page([visit(12, NOW)])
    assert re.findall(r"<script[^>]*>", shown) == ['<script type="module" src="visits.js">']
    assert not re.search(r"<style|\sstyle=|\son\w+=", shown)


def test_page_works_under_any_path() -> None:
    shown = page([visit(12, NOW)], 11)
    assert not re.search(r"""(?:href|src)=["'](?:/|\w+:)""", shown)
