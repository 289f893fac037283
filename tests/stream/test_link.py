"""What fits a link, with a simulated one and simulated time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from doorbelld.stream.link import AdaptiveViewer, Link, Steps, Wishes
from doorbelld.stream.viewer import TcpInfo
from tests.support.socketpairs import connection

SIZES = (45_000.0, 33_000.0, 17_000.0, 9_600.0, 6_000.0, 3_200.0)
WIDTHS = (640, 640, 640, 320, 320, 320)
LOWEST = len(SIZES) - 1
INTERVAL = 1 / 30
GOOD, MBIT = 2_500_000, 125_000
"""Bytes a second."""

ANY = Wishes()


class Simulation:
    """Frames that are sent over a link as the broadcaster does: the next when one has arrived.

    ``rate`` is bytes a second, ``round_trip`` seconds, and ``delay`` returns what else a part has
    to wait. ``steps`` has the step of each frame that was sent, ``gap`` is the longest pause.
    """

    def __init__(self, wishes: Wishes = ANY, rate: float = GOOD) -> None:
        self.ladder = Steps()
        self.ladder.sizes, self.ladder.widths = SIZES, WIDTHS
        self.now = 1000.0
        self.link = Link(self.ladder, wishes, self.now)
        self.rate = rate
        self.round_trip = 0.002
        self.delay: Callable[[], float] = float
        self.steps: list[int] = []
        self.gap = 0.0

    def run(self, seconds: float) -> list[int]:
        """Go on for so long; return the steps of the frames in this time."""
        self.steps.clear()
        self.gap = 0.0
        until = self.now + seconds
        while self.now < until:
            step = min(self.link.step, len(self.ladder.sizes) - 1)
            self.steps.append(step)
            self.link.sent(self.now, step, 0)
            taken = self.ladder.sizes[step] / self.rate + self.round_trip + self.delay()
            self.link.arrived(self.now + taken, 0, self.round_trip)
            self.gap = max(self.gap, taken)
            self.now += max(taken, INTERVAL)
        return self.steps

    def run_until(self, step: int, most: float) -> float:
        """Go on until the link has this step; return the seconds that it took."""
        begin = self.now
        while self.link.step != step:
            self.run(INTERVAL)
            assert self.now - begin < most, f"still on step {self.link.step}"
        return self.now - begin


def changes(steps: list[int]) -> int:
    return sum(before != after for before, after in zip(steps, steps[1:]))


def test_good_link_gets_the_cameras_own_pictures_only() -> None:
    assert set(Simulation().run(60)) == {0}


@pytest.mark.parametrize(
    ("mbit", "least_fps"), [(12, 28), (6, 19), (4, 19), (3, 19), (2, 20), (1, 20), (0.5, 15)]
)
def test_slow_link_gets_what_fits_it_without_flapping(mbit: float, least_fps: float) -> None:
    link = Simulation(rate=mbit * MBIT)
    link.run(5)
    steps = link.run(60)
    assert len(steps) / 60 >= least_fps
    assert changes(steps) <= 4
    assert link.gap < 0.1


def test_falls_at_once_and_comes_back_step_by_step() -> None:
    link = Simulation()
    link.run(10)
    link.rate = MBIT
    link.run(1)
    assert link.link.step >= 4
    assert link.gap < 1
    assert changes(link.run(30)) <= 2
    link.rate = GOOD
    assert link.run_until(0, 10) > 2
    assert set(link.run(30)) == {0}


def test_single_delay_changes_nothing() -> None:
    link = Simulation()
    late = iter([0.0] * 50 + [0.25] + [0.0] * 50 + [0.2, 0.2])
    link.delay = lambda: next(late, 0.0)
    assert set(link.run(30)) == {0}


@pytest.mark.parametrize("round_trip", [0.02, 0.04, 0.08, 0.16])
def test_long_round_trip_is_not_a_slow_link(round_trip: float) -> None:
    link = Simulation(rate=GOOD)
    link.round_trip = round_trip
    assert set(link.run(30)) == {0}
    link.link.step = LOWEST
    link.run_until(0, 15)


@pytest.mark.parametrize("round_trip", [0.002, 0.02, 0.08])
def test_jitter_is_not_a_slow_link(round_trip: float) -> None:
    link = Simulation(rate=GOOD)
    chance = random.Random(7)  # noqa: S311
    link.round_trip = round_trip
    link.delay = lambda: chance.random() * 0.03
    steps = link.run(60)
    assert steps.count(0) > 0.9 * len(steps)
    link.link.step = LOWEST
    link.run_until(0, 30)


def test_lost_packets_are_not_a_slow_link() -> None:
    """One packet in a hundred: a third of the large parts wait for a round trip more."""
    link = Simulation(rate=GOOD)
    chance = random.Random(3)  # noqa: S311
    link.delay = lambda: 0.2 if chance.random() < 0.01 else 0.02 if chance.random() < 0.3 else 0.0
    assert set(link.run(120)) == {0}


@pytest.mark.parametrize("round_trip", [0.004, 0.02])
def test_wireless_link_that_stalls_is_not_a_slow_link(round_trip: float) -> None:
    """For 50 ms in each second nothing gets through."""
    link = Simulation(rate=GOOD)
    link.round_trip = round_trip
    link.delay = lambda: max(0.0, 0.05 - link.now % 1)
    assert set(link.run(60)) == {0}


@pytest.mark.parametrize("round_trip", [0.004, 0.02, 0.04])
def test_fast_link_with_all_of_it_is_not_a_slow_link(round_trip: float) -> None:
    link = Simulation(rate=50 * MBIT)
    chance = random.Random(11)  # noqa: S311
    link.round_trip = round_trip
    link.delay = lambda: 0.02 * chance.random() + (0.2 if chance.random() < 0.005 else 0.0)
    assert set(link.run(120)) == {0}


def test_step_up_that_proves_too_much_only_after_some_seconds_is_not_repeated_soon() -> None:
    link = Simulation(rate=9 * MBIT)
    rose_at = link.now
    link.delay = lambda: 0.02 if link.link.step == 0 and link.now - rose_at > 8 else 0.0
    begun = 0
    for _ in range(12_000):
        before = link.link.step
        link.run(INTERVAL)
        if link.link.step < before:
            rose_at, begun = link.now, begun + 1
    assert begun <= 20, begun


def test_retransmission_behind_a_long_round_trip_is_not_a_slow_link() -> None:
    link = Simulation(rate=GOOD)
    link.round_trip = 0.1
    late = iter([0.0] * 30 + [0.45] + [0.0] * 30 + [0.45])
    link.delay = lambda: next(late, 0.0)
    assert set(link.run(20)) == {0}


def test_waits_longer_after_each_step_up_that_was_too_much() -> None:
    link = Simulation(rate=2 * MBIT)
    link.run(3)
    fits = link.link.step
    # Short parts pass at once, as through a token bucket, so the next step seems to fit.
    link.ladder.sizes = (*SIZES[:fits], SIZES[fits] / 3, *SIZES[fits + 1 :])
    begun: list[float] = []
    for _ in range(6000):
        before = link.link.step
        link.run(INTERVAL)
        if link.link.step < before:
            begun.append(link.now)
    pauses = [after - before for before, after in zip(begun, begun[1:])]
    assert len(begun) <= 12, pauses


def test_width_is_the_most_that_is_sent() -> None:
    assert set(Simulation(Wishes(width=500)).run(20)) == {3}
    assert set(Simulation(Wishes(width=640)).run(20)) == {0}
    assert set(Simulation(Wishes(width=1)).run(20)) == {3}, "the narrowest, in its best quality"


def test_best_step_of_the_process_before_is_kept() -> None:
    assert set(Simulation(Wishes(best=2)).run(20)) == {2}
    assert Simulation(Wishes(best=7)).link.step == LOWEST


def test_rate_is_a_start() -> None:
    link = Simulation(Wishes(rate=250_000))
    assert link.link.step in (3, 4)
    assert link.run_until(0, 60) > 20, "what a viewer has measured is believed for a while"


def test_rate_is_remembered_until_there_are_steps() -> None:
    """The viewer may be there before the camera's first picture."""
    ladder = Steps()
    link = Link(ladder, Wishes(rate=250_000), 1000.0)
    link.choose(1010.0)
    assert link.step == 0
    ladder.sizes, ladder.widths = SIZES, WIDTHS
    link.choose(1020.0)
    assert link.step in (3, 4)


def test_report_is_remembered_until_there_are_steps() -> None:
    """The camera may be away, or smaller pictures impossible for the moment."""
    for later, steps in (([], (3, 4)), ([0.1], (0,))):
        ladder = Steps()
        link = Link(ladder, ANY, 1000.0)
        for age in (5.0, *later):
            link.report(1001.0, age, 250_000)
        ladder.sizes, ladder.widths = SIZES, WIDTHS
        link.choose(1002.0)
        assert link.step in steps


def test_viewer_behind_a_proxy_is_believed_against_the_acknowledgements() -> None:
    link = Simulation()  # the proxy takes everything
    link.run(5)
    link.link.report(link.now, 4.0, 250_000)
    assert link.link.step >= 3
    worse = link.link.step
    assert set(link.run(20)) == {worse}, "it has not caught up"
    link.link.report(link.now, 0.1, 250_000)
    assert set(link.run(4)) == {worse}
    link.run_until(worse - 1, 10)
    for _ in range(4):
        link.link.report(link.now, 4.0, 250_000)
        link.link.report(link.now, 0.1, 250_000)
        link.run_until(link.link.step - 1, 61)
    first = link.now
    link.link.report(link.now, 4.0, 250_000)
    link.link.report(link.now, 0.1, 250_000)
    link.run_until(link.link.step - 1, 120)
    assert link.now - first > 30, "each time it waits longer"


def test_report_that_all_is_well_changes_nothing() -> None:
    link = Simulation()
    link.run(5)
    link.link.report(link.now, 0.05, 10_000)
    assert set(link.run(10)) == {0}


@pytest.mark.parametrize(("age", "rate"), [(1e9, 0.0), (0.0, 0.0), (5.0, 1e12)])
def test_no_report_does_harm(age: float, rate: float) -> None:
    link = Simulation()
    link.link.report(link.now, age, rate)
    link.run(200)
    assert link.link.step == 0


def test_steps_that_save_nothing_are_left_out() -> None:
    link = Simulation(rate=MBIT)
    link.ladder.sizes = (45_000.0, 60_000.0, 44_000.0, 10_000.0, 9_000.0, 3_000.0)
    assert set(link.run(60)) <= {0, 3, 5}
    assert link.link.step in (3, 5)


def test_all_are_on_the_cameras_own_when_nothing_else_can_be_made() -> None:
    link = Simulation(rate=MBIT)
    link.run(5)
    assert link.link.quality == "auto 320"
    link.ladder.sizes, link.ladder.widths = (45_000.0,), (640,)
    link.run(1)
    assert link.link.step == 0
    assert link.link.quality == "full"


def test_pictures_of_no_size_do_no_harm() -> None:
    link = Simulation()
    link.ladder.sizes, link.ladder.widths = (0.0,), (0,)
    assert Link(link.ladder, Wishes(width=10, rate=1), 0.0).step == 0
    link.link.sent(1.0, 5, 0)
    link.link.arrived(1.0, 0, 0.0)
    assert link.link.step == 0


@pytest.fixture
def viewer() -> Iterator[AdaptiveViewer]:
    server, client = connection()
    with server, client:
        found = AdaptiveViewer(server, "10.0.0.9", key="", fps=None, advance=False)
        found.adapt(Link(Steps(), ANY, 0.0))
        yield found


def test_small_pictures_do_not_wait_behind_each_other(viewer: AdaptiveViewer) -> None:
    most = viewer.most_unacknowledged
    viewer.change_step(3)
    assert viewer.most_unacknowledged < most
    viewer.change_step(0)
    assert viewer.most_unacknowledged == most


def test_measures_no_round_trip_while_several_parts_are_under_way(
    viewer: AdaptiveViewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[float, bool]] = []
    monkeypatch.setattr(TcpInfo, "of", lambda _: TcpInfo(0.0, 0.08, 0.08, 1))
    monkeypatch.setattr(
        Link,
        "arrived",
        lambda _, __, ___, round_trip, *, at_latest: found.append((round_trip, at_latest)),
    )
    viewer.change_step(3)
    assert viewer.is_idle()
    assert not viewer.measure(1.0)
    assert found == [(0.08, False)], "it has all arrived"
    viewer.carried = 200_000.0
    viewer.allow(300_000)
    viewer.link.sent_at = 0.0
    assert viewer.is_idle()
    assert not viewer.measure(1.0)
    assert len(found) == 1, "the next part shows it"
    assert viewer.is_idle()
    assert found[1:] == [(0.0, True)]


def test_nothing_more_is_under_way_on_a_link_that_has_slowed(viewer: AdaptiveViewer) -> None:
    viewer.change_step(3)
    viewer.allow(300_000)
    assert viewer.most_unacknowledged == 300_000
    viewer.change_step(2)
    assert viewer.most_unacknowledged == 300_000
    viewer.change_step(4)
    assert viewer.most_unacknowledged < 300_000
