from __future__ import annotations

import pytest

from doorbelld.stream.counters import DeliveryCounter, FrameRate


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


class Viewer:
    """As much of a viewer as is counted."""

    def __init__(self, sent: int = 0, dropped: int = 0) -> None:
        self.sent, self.dropped = sent, dropped


def test_frames_of_viewers_that_have_left_are_still_counted() -> None:
    counter, viewer, other = DeliveryCounter(), Viewer(), Viewer()
    counter.begin(viewer)
    counter.begin(other)
    viewer.sent, viewer.dropped, other.sent = 5, 2, 1
    assert counter.total() == (6, 2)
    counter.end(viewer)
    other.sent = 3
    assert counter.total() == (8, 2)


def test_frames_of_the_process_before_are_not_counted_again() -> None:
    counter, viewer = DeliveryCounter(), Viewer(sent=1000, dropped=10)
    counter.begin(viewer)
    assert counter.total() == (0, 0)
    viewer.sent += 1
    counter.end(viewer)
    assert counter.total() == (1, 0)


def test_total_never_goes_back_although_a_viewer_takes_a_miss_back() -> None:
    counter, viewer = DeliveryCounter(), Viewer()
    counter.begin(viewer)
    viewer.dropped = 3
    assert counter.total() == (0, 3)
    viewer.dropped = 2  # It is given a second chance
    assert counter.total() == (0, 3)
    viewer.dropped = 4  # and misses that one and the next as well.
    assert counter.total() == (0, 4)
