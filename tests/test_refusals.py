"""Refusals: told once, counted, and never a flood."""

from __future__ import annotations

import pytest

from doorbelld.refusals import Refusals


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the time, to be set."""
    now = [1000.0]
    monkeypatch.setattr("doorbelld.refusals.time.monotonic", lambda: now[0])
    return now


def test_each_is_told_once_a_minute(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    found = Refusals()
    for _ in range(3):
        found.note("8.8.8.8", "not let in")
    found.note("8.8.8.8", "no such name")
    found.note("9.9.9.9", "not let in")
    assert caplog.messages == [
        "8.8.8.8: refused: not let in",
        "8.8.8.8: refused: no such name",
        "9.9.9.9: refused: not let in",
    ]
    caplog.clear()
    clock[0] += 59
    found.note("8.8.8.8", "not let in")
    assert caplog.messages == []
    clock[0] += 2
    found.note("8.8.8.8", "not let in")
    assert caplog.messages == [
        "refused 3 more times since the last minute's lines",
        "8.8.8.8: refused: not let in",
    ]


def test_a_thousand_addresses_fill_neither_log_nor_memory(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    found = Refusals()
    for number in range(1000):
        found.note(f"2001:db8::{number:x}", "not let in")
    assert len(caplog.messages) == 10
    assert len(found._told) == 10
    clock[0] += 61
    found.note("9.9.9.9", "not let in")
    assert caplog.messages[10:] == [
        "refused 990 more times since the last minute's lines",
        "9.9.9.9: refused: not let in",
    ]
