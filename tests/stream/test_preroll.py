from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from doorbelld.media.frame import Frame
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.preroll import PreRoll


class Rolling:
    """A pre-roll of a hub with pictures at moments that the test chooses."""

    def __init__(self) -> None:
        self.hub = FrameHub()
        self.passed: list[Frame] = []
        self.preroll = PreRoll(self.hub, self.passed.append)

    def publish(self, rate: float, begin: float, end: float, size: int = 100) -> None:
        for number in range(round((end - begin) * rate)):
            self.hub.publish(b"x" * size, begin + number / rate, live=True)

    def moments(self, press: float) -> list[float]:
        return [each.captured_at - press for each in self.preroll.before(press)]


@pytest.fixture
def rolling() -> Iterator[Rolling]:
    found = Rolling()
    yield found
    found.preroll.stop()


@pytest.mark.parametrize("late", [0.0, 0.013, 0.033, 0.05, 0.087])
def test_holds_five_seconds_before_the_press_at_thirty_frames_a_second(
    rolling: Rolling, late: float
) -> None:
    rolling.preroll.start(5.0, 10.0)
    rolling.publish(30, 1000, 1020)
    moments = rolling.moments(1020 + late)
    assert -5.1 <= moments[0] <= -4.9
    assert len(moments) == pytest.approx(50, abs=1)
    gaps = [after - before for before, after in zip(moments, moments[1:])]
    assert max(gaps) - min(gaps) < 0.001, "even spacing"


@pytest.mark.parametrize(
    ("rate", "kept"), [(30, 10), (25, 10), (12, 10), (10, 10), (15, 10), (7, 7), (1, 1)]
)
def test_keeps_as_many_pictures_a_second_as_it_should(
    rolling: Rolling, rate: float, kept: float
) -> None:
    rolling.preroll.start(30.0, 10.0)
    rolling.publish(rate, 1000, 1030)
    assert len(rolling.moments(1030)) == pytest.approx(30 * kept, abs=2)


def test_cameras_irregular_beat_costs_no_pictures(rolling: Rolling) -> None:
    rolling.preroll.start(30.0, 10.0)
    for number in range(900):
        early = (number * 7919 % 13 - 6) / 1000
        rolling.hub.publish(b"x", 1000 + number / 30 + early, live=True)
    assert len(rolling.moments(1030)) == pytest.approx(300, abs=2)


def test_large_pictures_take_no_more_memory_than_small_ones(rolling: Rolling) -> None:
    rolling.preroll.start(5.0, 10.0)
    rolling.publish(30, 1000, 1010, size=1 << 20)
    assert len(rolling.moments(1010)) == 8
    rolling.publish(30, 1010, 1011, size=20 << 20)
    assert len(rolling.moments(1011)) == 1, "there is a still in any case"


def test_the_card_is_no_picture(rolling: Rolling) -> None:
    rolling.preroll.start(5.0, 10.0)
    rolling.hub.publish(b"card", 1000.0, live=False)
    assert rolling.moments(1000.0) == []
    assert rolling.preroll.sharpest(1000.0) is None
    assert not rolling.passed


def test_sharpest_is_the_largest_of_the_last_second_before_the_press(rolling: Rolling) -> None:
    rolling.preroll.start(5.0, 10.0)
    for number, size in enumerate([90, 10, 30, 50, 20, 10, 10, 10, 10, 10, 10, 10, 70]):
        rolling.hub.publish(b"x" * size, 1000 + number / 10, live=True)
    found = rolling.preroll.sharpest(1001.15)
    assert found
    assert (len(found.data), found.captured_at) == (50, 1000.3)
    assert rolling.preroll.sharpest(1003.0) is None


def test_other_lengths_keep_what_there_is(rolling: Rolling) -> None:
    rolling.preroll.start(5.0, 10.0)
    rolling.publish(30, 1000, 1005)
    rolling.preroll.start(2.0, 30.0)
    rolling.publish(30, 1005, 1006)
    moments = rolling.moments(1006)
    assert moments[0] == pytest.approx(-2.0, abs=0.06)
    assert len(moments) == pytest.approx(40, abs=2)


def test_nothing_is_kept_of_before_the_press_if_that_is_wanted(rolling: Rolling) -> None:
    rolling.preroll.start(0.0, 10.0)
    rolling.publish(30, 1000, 1005)
    assert rolling.moments(1005) == []
    assert rolling.preroll.sharpest(1005), "but there is a still"


def test_what_is_forgotten_is_gone(rolling: Rolling) -> None:
    rolling.preroll.start(5.0, 10.0)
    rolling.publish(30, 1000, 1005)
    rolling.preroll.clear()
    assert rolling.moments(1005) == []
    rolling.publish(30, 1005, 1006, size=1 << 20)
    assert len(rolling.moments(1006)) == 8, "the bytes are counted from nothing"


def test_makes_only_those_pictures_that_it_keeps(rolling: Rolling) -> None:
    """A camera at rest loads a picture only if the hub wants it."""
    rolling.preroll.start(5.0, 10.0)
    wanted = 0
    for number in range(300):
        moment = 1000 + number / 30
        if rolling.hub.wants(moment):
            wanted += 1
            rolling.hub.publish(b"x", moment, live=True)
    assert wanted == pytest.approx(100, abs=1)
    assert len(rolling.passed) == wanted
    rolling.preroll.stop()
    assert not rolling.hub.wants(2000.0)


def _cost(hub: FrameHub) -> float:
    """Return the seconds of processor time that a second of pictures takes, at the least."""
    data, found, moment = b"x" * 45_000, [], 1000.0
    for _ in range(100):
        begin = time.thread_time()
        for number in range(30):
            hub.publish(data, moment + number / 30, live=True)
        found.append(time.thread_time() - begin)
        moment += 1
    return min(found)


def test_costs_the_camera_at_most_20_microseconds_a_picture(rolling: Rolling) -> None:
    without = _cost(FrameHub())
    rolling.preroll.start(5.0, 10.0)
    assert _cost(rolling.hub) - without < 30 * 20e-6
    assert len(rolling.passed) == pytest.approx(1000, abs=10)
