from __future__ import annotations

import time

import pytest

from doorbelld.system.pace import Pace


class Clock:
    """A clock that the test controls; each sleep takes ``late`` seconds longer than asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.late = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds + (self.late if seconds else 0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_first_beat_is_at_once_and_the_others_are_on_a_grid(clock: Clock) -> None:
    clock.late = 0.01
    pace = Pace(25)
    assert [pace.wait(1) for _ in range(100)] == pytest.approx([1000 + n / 25 for n in range(100)])


def test_no_beat_within_the_timeout_is_none_and_the_beat_is_not_lost(clock: Clock) -> None:
    pace = Pace(10)
    pace.wait(1)
    assert pace.wait(0.06) is None
    assert clock.now == pytest.approx(1000.06)
    assert pace.wait(0.06) == pytest.approx(1000.1)
    assert pace.wait(0) is None


def test_missed_beats_are_skipped_but_counted(clock: Clock) -> None:
    pace = Pace(10)
    pace.wait(1)
    clock.now += 0.75
    assert pace.wait(1) == pytest.approx(1000.7)
    assert pace.beats == 8
    assert pace.wait(1) == pytest.approx(1000.8)
