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
