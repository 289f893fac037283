"""Which ring is news to a page, and which it still shows: once, in time, and never again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import evaluate

pytestmark = pytest.mark.process

RING: dict[str, Any] = {"id": 5, "presses": 1, "answered": None}
NOW = 2_000_000_000
"""Unix seconds by the clock of this device."""


def hear(folder: Path, *heard: dict[str, Any]) -> list[list[bool]]:
    """Return whether each of these is news, and whether it is shown.

    Each has more or less than :data:`RING`, ``after``, the seconds since the first one, and ``age``
    by the daemon's clock. With ``reload`` the page is loaded again before, with ``close`` the user
    has closed the banner before.
    """
    rows = [{"after": 0, "age": 0.1, **RING, **each} for each in heard]
    script = f"""
      const {{ Rings }} = await import("./ring.js");
      const kept = {{}};
      const storage = {{
        getItem: (key) => kept[key] || null,
        setItem: (key, value) => {{ kept[key] = value; }},
      }};
      let rings = new Rings(storage);
      return {json.dumps(rows)}.map((row) => {{
        if (row.reload) rings = new Rings(storage);
        if (row.close) rings.close();
        return [rings.hear(row, row.age, {NOW} + row.after), rings.shows(row, row.age)];
      }});
    """
    found: list[list[bool]] = evaluate(folder, script)
    return found


NEWS, SHOWN, NOTHING = [True, True], [False, True], [False, False]


def test_ring_is_news_once_and_shown_for_a_minute(tmp_path: Path) -> None:
    ages = (0.1, 1, 30, 59.9, 60.1, 4000)
    found = hear(tmp_path, *({"after": age, "age": age} for age in ages))
    assert found == [NEWS, SHOWN, SHOWN, SHOWN, NOTHING, NOTHING]


def test_old_ring_is_none(tmp_path: Path) -> None:
    assert hear(tmp_path, {"age": 61}, {"after": 1, "age": 62}) == [NOTHING, NOTHING]


def test_page_that_is_opened_in_the_middle_shows_it(tmp_path: Path) -> None:
    assert hear(tmp_path, {"age": 40}) == [NEWS]


def test_page_that_is_loaded_again_shows_it_silently(tmp_path: Path) -> None:
    again = {"after": 5, "age": 5, "reload": True}
    assert hear(tmp_path, {}, again, {**again, "after": 90, "age": 90}) == [NEWS, SHOWN, NOTHING]


def test_browser_that_keeps_nothing_rings_too(tmp_path: Path) -> None:
    script = f"""
      const {{ Rings }} = await import("./ring.js");
      const rings = new Rings(null);
      const ring = {json.dumps(RING)};
      return [rings.hear(ring, 0, {NOW}), rings.hear(ring, 1, {NOW} + 1), rings.shows(ring, 1)];
    """
    assert evaluate(tmp_path, script) == [True, False, True]


@pytest.mark.parametrize("kept", ["", "null", "{}", "7", "no JSON", '{"rangAt": "x"}'])
def test_storage_with_anything_in_it_does_no_harm(tmp_path: Path, kept: str) -> None:
    script = f"""
      const {{ Rings }} = await import("./ring.js");
      const rings = new Rings({{ getItem: () => {json.dumps(kept)}, setItem: () => null }});
      return rings.hear({json.dumps(RING)}, 0, {NOW});
    """
    assert evaluate(tmp_path, script) is True


def test_ring_that_was_answered_is_over_for_all(tmp_path: Path) -> None:
    answered = {"answered": NOW + 3}
    assert hear(tmp_path, {}, {"after": 3, "age": 3, **answered}) == [NEWS, NOTHING]
    assert hear(tmp_path, answered) == [NOTHING]


def test_further_press_is_news_again(tmp_path: Path) -> None:
    """The daemon only counts those that are not of the same impatient visitor."""
    presses = [{"presses": 2, "after": 1}, {"presses": 2, "after": 2, "age": 1}]
    assert hear(tmp_path, {}, *presses) == [NEWS, NEWS, SHOWN]


def test_banner_that_was_closed_is_back_when_it_rings_again(tmp_path: Path) -> None:
    found = hear(
        tmp_path,
        {},
        {"after": 3, "age": 3, "close": True},
        {"after": 4, "age": 4, "reload": True},
        {"after": 20, "presses": 2},
    )
    assert found == [NEWS, NOTHING, NOTHING, NEWS]


def test_restart_of_the_daemon_rings_nothing(tmp_path: Path) -> None:
    """It knows less of the presses then, or of a later one that pages have not seen."""
    before = [{}, {"presses": 2, "after": 12}]
    after = {"presses": 1, "after": 25, "age": 4}
    assert hear(tmp_path, *before, after) == [NEWS, NEWS, SHOWN]


def test_next_visit_is_news_however_soon(tmp_path: Path) -> None:
    assert hear(tmp_path, {}, {"id": 6, "after": 2}) == [NEWS, NEWS]


def test_visit_that_was_deleted_leaves_no_other_one(tmp_path: Path) -> None:
    """The newest one is then the one before, which may have rung a moment ago as well."""
    before, newest = {"id": 5, "age": 30}, {"id": 6, "after": 30}
    assert hear(tmp_path, newest, {**before, "after": 31, "age": 31}) == [NEWS, NOTHING]


def test_doorbell_that_counts_from_1_again_rings(tmp_path: Path) -> None:
    again = [{"id": 1, "after": 70}, {"id": 1, "after": 140}, {"id": 1, "after": 141, "age": 1}]
    assert hear(tmp_path, {}, *again) == [NEWS, NEWS, NEWS, SHOWN]


def test_clock_of_the_daemon_that_is_set_rings_nothing(tmp_path: Path) -> None:
    """The press and the present are moved together, so its age stays."""
    found = hear(tmp_path, {}, {"after": 20, "age": 20}, {"after": 20.5, "age": 16.5})
    assert found == [NEWS, SHOWN, SHOWN]
