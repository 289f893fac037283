from __future__ import annotations

import time

import pytest

from doorbelld.system import clock


def test_pause_between_reading_the_two_clocks_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, pauses = [1000.0], [5.0]

    def wall() -> float:
        now[0] += pauses.pop() if pauses else 0.0  # Another thread has its turn.
        return now[0] + 5e8

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "time", wall)
    assert clock.ahead() == 5e8
    assert not pauses


def test_next_process_has_the_same_times_until_the_clock_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    monkeypatch.setattr(time, "time", lambda: 5e8)
    here = clock._SystemClock()  # the module's own belongs to the whole process
    here.follow(here.offset() + 0.9)  # The other one started before the clock was slewed.
    assert here.offset() == 5e8 - 1000 + 0.9
    here.follow(here.offset() + 1.9)  # Another one was right until the clock was set.
    assert here.offset() == 5e8 - 1000 + 0.9
