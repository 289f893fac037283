"""The page's idea of the daemon's clock: how old a picture is, by two clocks that differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import evaluate

pytestmark = pytest.mark.process

AHEAD = 1_764_000_000.0
"""How far the daemon's clock is ahead of the page's, which begins at 0."""


class DaemonClock:
    """Calls the methods of a DaemonClock in Node, all at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._calls: list[list[Any]] = []

    def answer(
        self, at: float, *, ahead: float = AHEAD, there: float = 0.02, back: float = 0.02
    ) -> None:
        """Learn from an answer that was sent at a local time and took so long in each direction."""
        self._calls.append(["learn", at + there + ahead, at, at + there + back])

    def part(self, at: float, *, ahead: float = AHEAD, late: float = 0.02) -> None:
        """Hear what was written at a local time and came later."""
        self._calls.append(["hear", at + ahead, at + late])

    def forget(self) -> None:
        self._calls.append(["forget"])

    def ask(self, what: str, *arguments: float) -> None:
        """Call a method, the result of which is wanted."""
        self._calls.append([what, *arguments])

    def results(self) -> list[Any]:
        script = f"""
          const {{ DaemonClock }} = await import("./clock.js");
          const clock = new DaemonClock();
          return {json.dumps(self._calls)}.map(([name, ...given]) => clock[name](...given))
            .filter((result) => result !== undefined);
        """
        found: list[Any] = evaluate(self._folder, script)
        return found


@pytest.fixture
def clock(tmp_path: Path) -> DaemonClock:
    return DaemonClock(tmp_path)


def test_age_is_exact_when_both_ways_take_equally_long(clock: DaemonClock) -> None:
    clock.answer(10)
    clock.ask("age", 12 + AHEAD, 12.5)
    assert clock.results() == [pytest.approx(0.5, abs=0.01)]


def test_error_is_at_most_half_the_round_trip(clock: DaemonClock) -> None:
    for there, back in ((0, 1), (1, 0), (0.5, 0.5)):
        clock.forget()
        clock.answer(10, there=there, back=back)
        clock.ask("age", 12 + AHEAD, 13)
        clock.ask("error", 11)
    found = clock.results()
    assert all(abs(age - 1) <= 0.51 for age in found[::2])
    assert found[1::2] == [pytest.approx(0.5, abs=0.01)] * 3


def test_best_answer_wins(clock: DaemonClock) -> None:
    clock.answer(10, there=0.01, back=0.01)
    clock.answer(11, there=0, back=3)
    clock.ask("age", 14 + AHEAD, 15)
    clock.answer(16, there=0.001, back=0.001)
    clock.ask("age", 17 + AHEAD, 18)
    assert clock.results() == [pytest.approx(1, abs=0.02), pytest.approx(1, abs=0.01)]


def test_parts_narrow_a_slow_answer(clock: DaemonClock) -> None:
    clock.answer(10, there=0, back=2)
    clock.part(13, late=0.01)
    clock.ask("error", 13.1)
    assert clock.results() == [pytest.approx(0, abs=0.02)]


@pytest.mark.parametrize("late", [0.5, 8, 60])
def test_late_parts_are_old_and_change_nothing(clock: DaemonClock, late: float) -> None:
    clock.answer(10)
    clock.part(11, late=late)
    clock.ask("age", 11 + AHEAD, 11 + late)
    assert clock.results() == [pytest.approx(late, abs=0.05)]


@pytest.mark.parametrize("jump", [-86400.0, -5, -0.5, 0.5, 5, 86400, 1e9])
def test_answer_after_the_clock_was_set_is_believed(clock: DaemonClock, jump: float) -> None:
    clock.answer(10)
    clock.part(11)
    clock.answer(20, ahead=AHEAD + jump)
    clock.ask("age", 21 + AHEAD + jump, 22)
    assert clock.results() == [pytest.approx(1, abs=0.03)]


def test_part_from_the_future_shows_that_the_clock_was_set_forward(clock: DaemonClock) -> None:
    clock.answer(10)
    clock.ask("isVague", 11)
    clock.part(20, ahead=AHEAD + 3600)
    clock.ask("isVague", 21)
    clock.ask("age", 21 + AHEAD + 3600, 22)
    assert clock.results() == [False, True, pytest.approx(1, abs=0.03)]


def test_old_knowledge_is_vague_and_sleep_makes_it_worthless(clock: DaemonClock) -> None:
    clock.ask("isVague", 1)
    clock.answer(10)
    clock.ask("isVague", 600)
    clock.ask("isVague", 611)
    clock.answer(612)
    clock.forget()
    clock.ask("isVague", 613)
    clock.answer(700, ahead=AHEAD - 5)
    clock.ask("age", 701 + AHEAD - 5, 702)
    assert clock.results() == [True, False, True, True, pytest.approx(1, abs=0.01)]


def test_age_is_never_negative_and_nonsense_is_ignored(clock: DaemonClock) -> None:
    clock.ask("age", AHEAD, 1)
    clock.answer(10)
    clock.answer(float("nan"))
    clock.ask("age", 12.01 + AHEAD, 12)
    assert clock.results()[0] == 0
    assert clock.results()[-1] == 0
