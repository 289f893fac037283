"""What ``doorbelld status`` says of bell, visits and shutter."""

from __future__ import annotations

import time
from typing import Any

import pytest

from doorbelld.commands import status

NOTHING: dict[str, Any] = {
    "bell": {"state": "off", "detail": "", "devices": []},
    "visits": {"state": "ok", "detail": "", "count": 0, "bytes": 0, "space": 1_000_000_000},
    "shutter": {"closed": False, "since": 0.0, "detail": ""},
}
DEVICES = [{"path": "/dev/input/event3", "name": "button@11"}]
NOW = time.time()
CLOCK = time.strftime("%H:%M", time.localtime(NOW))
FULL = "/var/lib/doorbelld/visits: there is no room left on the disk"


def lines(
    ring: dict[str, Any] | None = None, button: str = "auto", **changes: dict[str, Any]
) -> list[str]:
    answer = {name: {**part, **changes.get(name, {})} for name, part in NOTHING.items()}
    return list(status._doorbell(answer, ring, button))


@pytest.mark.parametrize("answer", [NOTHING, {}])
def test_nothing_is_said_where_there_is_nothing(answer: dict[str, Any]) -> None:
    assert list(status._doorbell(answer, None, "auto")) == []


def test_button_is_named_or_its_problem() -> None:
    found = lines(bell={"devices": DEVICES})
    assert found == ["The bell's button: button@11 (/dev/input/event3)."]
    missing = {"state": "missing", "detail": "There is no device at /dev/input/x"}
    assert lines(bell=missing) == [], "there need not be one"
    found = lines(bell=missing, button="/dev/input/x")
    assert found == ["The bell's button: There is no device at /dev/input/x."]


def test_visits_are_counted_and_the_last_ring_has_its_time() -> None:
    many = {"count": 12, "bytes": 412_345_678}
    ring = {"pressed_at": NOW, "answered": None}
    assert lines(visits=many) == ["12 visits, 412 of 1000 MB."]
    assert lines(ring, visits=many) == [f"12 visits, 412 of 1000 MB; last rang {CLOCK}."]
    ring = {"pressed_at": 1_700_000_000.0, "answered": NOW}
    [line] = lines(ring, visits={"count": 1})
    assert line.startswith("1 visit, 0 of 1000 MB; last rang 2023-11-1")
    assert line.endswith(", answered.")


def test_visits_that_cannot_be_kept_are_reported() -> None:
    assert lines(visits={"state": "failed", "detail": FULL}) == [
        f"No visits, 0 of 1000 MB ({FULL})."
    ]


def test_closed_shutter_is_reported() -> None:
    found = lines(shutter={"closed": True, "since": NOW})
    assert found == [f"The camera is paused since {CLOCK}; the page opens it again."]
