from __future__ import annotations

import pytest

from doorbelld.stream.counters import FrameRate


def measured(*moments: float) -> FrameRate:
    rate = FrameRate()
    for moment in moments:
        rate.add(moment)
    return rate


def test_there_is_no_rate_before_the_second_frame() -> None:
    assert measured().fps == measured(5.0).fps == 0.0


def test_rate_is_that_of_the_mean_interval() -> None:
    assert measured(0.0, 0.5, 0.501, 1.0).fps == pytest.approx(3.0)


def test_rate_follows_the_last_second_or_so() -> None:
    slow = [float(number) for number in range(100)]
    fast = [99 + number / 25 for number in range(1, 200)]
    assert measured(*slow, *fast).fps == pytest.approx(25, rel=0.1)


def test_after_a_reset_it_is_measured_from_the_next_frame_on() -> None:
    rate = measured(0.0, 1.0)
    rate.reset()
    rate.add(100.0)
    assert rate.fps == 0.0
    rate.add(100.1)
    assert rate.fps == pytest.approx(10)


def test_only_a_driver_that_never_waits_is_slowed_down() -> None:
    assert measured(*(number / 239 for number in range(100))).pause == 0.0
    assert measured(*(number / 1000 for number in range(30))).pause == 0.0, "a few may come at once"
    assert measured(*(number / 1000 for number in range(31))).pause == 1 / 240
