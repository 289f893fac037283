"""How many presses there may be over HTTP."""

from __future__ import annotations

import pytest

from doorbelld.web import bell
from doorbelld.web.bell import _BURST, _PER_SECOND, _Allowance


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_thirty_at_once_and_then_two_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(bell, "time", clock)
    presses = _Allowance(_BURST, _PER_SECOND)
    assert [presses.seconds_to_wait() for _ in range(32)] == [0] * 30 + [1, 1]
    clock.now += 1
    assert [presses.seconds_to_wait() for _ in range(3)] == [0, 0, 1]
    clock.now += 0.25
    assert presses.seconds_to_wait() == 1, "those that were refused cost nothing"
    clock.now += 0.25
    assert presses.seconds_to_wait() == 0
    clock.now += 1000
    assert [presses.seconds_to_wait() for _ in range(31)] == [0] * 30 + [1], "no more are saved up"
