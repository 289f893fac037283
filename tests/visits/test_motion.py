"""The thread that looks for motion, and which motion becomes a visit."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NoReturn

import pytest

from doorbelld.media import codec
from doorbelld.stream.hub import FrameHub
from doorbelld.visits import motion as module
from doorbelld.visits.motion import MotionSettings, MotionThread, Spells, Zone
from tests.support import pictures
from tests.support.daemon import GUARD, eventually
from tests.support.movements import LIGHTS, TREE, empty, film, tree, walk

NEAR = walk(200, 30, 90)


class Door:
    """A hub and the thread that looks at its pictures; ``moved`` is what it reports.

    The moments of the pictures begin an hour ago, five a second.
    """

    def __init__(self, settings: MotionSettings) -> None:
        self.moved: list[float] = []
        self.hub = FrameHub()
        self.motion = MotionThread(self.hub, self.moved.append, settings)
        self.now = self.begin = time.monotonic() - 3600

    def show(self, films: Iterable[bytes]) -> None:
        """Publish pictures, and look at each of them."""
        for picture in films:
            self.hub.publish(picture, self.now, live=True)
            self.motion._look(self.now)
            self.now += 0.2

    def look(self) -> None:
        self.motion._look(self.now)


@pytest.fixture
def at_door() -> Iterator[Callable[..., Door]]:
    doors: list[Door] = []

    def make(ignore: Sequence[Zone] = ()) -> Door:
        doors.append(Door(MotionSettings(ignore)))
        return doors[-1]

    yield make
    for each in doors:
        assert each.motion.stop(GUARD)


@pytest.fixture
def door(at_door: Callable[..., Door]) -> Door:
    return at_door()


def test_someone_who_walks_by_is_reported_from_the_first_look_on(door: Door) -> None:
    door.show(film(NEAR, 38))
    first = (door.moved[0] - door.begin) / 0.2
    assert round(first) in (15, 16), "half of the person is in picture 15"
    assert len(door.moved) >= 17, "and as long as something moves"
    assert door.moved == sorted(door.moved)


def test_nothing_is_reported_while_no_one_is_there(door: Door) -> None:
    for noise in (4, 25):
        door.show(film(empty, noise=noise))
    assert door.moved == []


@pytest.mark.parametrize("name", LIGHTS)
def test_light_is_no_motion(name: str, door: Door) -> None:
    door.show(film(LIGHTS[name]))
    assert door.moved == []


def test_what_moves_in_two_looks_is_no_motion(door: Door) -> None:
    there = walk(200, 30, 90)
    door.show(film(lambda n, image: there(n, image) if n in (20, 22, 30) else image))
    assert door.moved == []


def test_tree_moves_unless_it_is_ignored(at_door: Callable[..., Door]) -> None:
    for ignore, moves in ([], True), ([TREE], False):
        door = at_door(ignore)
        door.show(film(tree, 30))
        assert bool(door.moved) is moves


def test_camera_is_left_to_find_its_exposure(door: Door) -> None:
    there = walk(200, 30, 90, start=0)
    door.show(film(there, 9))
    assert door.moved == []


def test_camera_that_was_away_may_look_elsewhere(door: Door) -> None:
    there = walk(200, 30, 90, start=0)
    door.show(film(empty, 20))
    door.hub.publish(pictures.jpeg(3, 640, 480), door.now, live=False)
    door.look()
    door.show(film(there, 9))
    door.show(film(empty, 20))
    door.now += 60
    door.show(film(there, 9))
    assert door.moved == []


def test_card_is_no_picture(door: Door) -> None:
    for number in range(40):
        door.hub.publish(pictures.jpeg(number, 640, 480), door.now, live=False)
        door.look()
        door.now += 0.2
    assert (door.motion.looks, door.moved) == (0, [])


def test_same_picture_is_looked_at_once(door: Door) -> None:
    door.show(film(empty, 1))
    door.look()
    assert door.motion.looks == 1


def test_no_frame_is_made_that_is_not_looked_at(door: Door) -> None:
    """The camera offers thirty pictures a second, and no one else wants one."""
    loaded = []
    picture = next(film())
    for number in range(60):

        def load(number: int = number) -> bytes:
            loaded.append(number)
            return picture

        assert not door.hub.wants(door.now + number / 30)
        door.hub.offer(load, door.now + number / 30)
        if number % 6 == 5:
            door.motion._look(door.now + number / 30)
    assert loaded == list(range(5, 60, 6))
    assert door.motion.looks == 10


def test_picture_that_was_made_for_others_is_taken(door: Door) -> None:
    door.show(film(empty, 1))
    door.hub.publish(next(film()), door.now, live=True)
    door.hub.offer(lambda: pytest.fail("one more was made"), door.now + 0.01)
    door.motion._look(door.now + 0.05)
    assert door.motion.looks == 2


# The thread itself.


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_INTERVAL", "_REST", "_LONG_REST"):
        monkeypatch.setattr(module, name, 0.002)


def keep_showing(door: Door, until: Callable[[], object], what: str) -> None:
    """Publish one picture after the other until something is true."""
    shown = film(walk(200, 30, 90), 10_000)

    def show_and_see() -> object:
        looks = door.motion.looks
        door.hub.publish(next(shown), time.monotonic(), live=True)
        eventually(lambda: door.motion.looks > looks or door.motion.problem, "a look")
        return until()

    eventually(show_and_see, what)


@pytest.mark.usefixtures("quick")
def test_thread_looks_until_it_is_stopped(door: Door) -> None:
    begin = time.monotonic()
    door.motion.start()
    keep_showing(door, lambda: door.moved, "motion")
    assert begin <= door.moved[0] <= time.monotonic()
    assert door.motion.problem == ""
    assert door.motion.stop(GUARD)
    assert door.hub._slots == []


@pytest.mark.usefixtures("quick")
def test_without_opencv_it_says_so_once_and_goes_on(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "cv2", None)
        door.motion.start()
        door.hub.publish(next(film()), time.monotonic(), live=True)
        eventually(lambda: door.motion.problem, "a reason")
        why = "finding motion needs OpenCV, which is not installed, or does not load"
        assert door.motion.problem == why
        door.hub.publish(next(film()), time.monotonic(), live=True)
        assert door.motion.alive
    lines = [each.message for each in caplog.records if each.levelno >= logging.WARNING]
    assert lines == [f"motion is not recorded: {why}"]
    keep_showing(door, lambda: door.motion.problem == "" and door.moved, "it is installed by now")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("error", [MemoryError, RuntimeError("no more"), ValueError("damaged")])
def test_nothing_that_fails_ends_the_thread(
    error: Exception | type[Exception],
    door: Door,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_: object) -> NoReturn:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(codec, "_small_grey", fail)
        door.motion.start()
        for _ in range(3):
            door.hub.publish(next(film()), time.monotonic(), live=True)
            eventually(lambda: door.motion.problem, "a reason")
    assert len(caplog.records) == 1
    keep_showing(door, lambda: door.motion.problem == "" and door.moved, "the next pictures")


def test_look_is_cheap() -> None:
    """1.3 ms is the aim, which the bench measures; here it must not be many times as much."""
    finder = codec.ChangeFinder()
    shown = list(film(NEAR, 40))
    finder.look(shown[0])
    begin = time.thread_time()
    for each in shown:
        finder.look(each)
    assert (time.thread_time() - begin) / len(shown) < 0.01


# Which motion is recorded.


def moments(spells: Spells, begin: float, end: float) -> list[float]:
    """Move all the time from ``begin`` to ``end``; return what belongs to visits."""
    count = round((end - begin) / 0.2)
    return [at for at in (begin + 0.2 * each for each in range(count)) if spells.add(at)]


def starts(found: list[float], apart: float = 1.0) -> list[float]:
    return [at for before, at in zip([-1e9, *found], found) if at - before > apart]


def test_motion_goes_on_until_it_is_quiet() -> None:
    spells = Spells(after=15, longest=60)
    assert len(moments(spells, 100, 120)) == 100
    assert spells.add(134), "the visit is still open"


def test_motion_may_not_begin_another_visit_at_once() -> None:
    spells = Spells(after=15, longest=60)
    assert spells.add(100)
    assert not spells.add(116), "the visit has ended at 115"
    assert not spells.add(124)
    assert spells.add(125.5)


def test_what_moves_all_the_time_becomes_fewer_and_fewer_visits() -> None:
    spells = Spells(after=15, longest=60)
    found = starts(moments(spells, 0, 3600))
    pauses = [after - before - 60 for before, after in zip(found, found[1:])]
    assert pauses[:4] == pytest.approx([10, 20, 40, 80], abs=0.5)
    assert len(found) == 9, "in an hour"


def test_someone_who_comes_after_it_was_quiet_is_recorded_at_once() -> None:
    spells = Spells(after=15, longest=60)
    moments(spells, 0, 1300)
    assert spells.add(1320)
    assert starts(moments(spells, 1320.2, 1420)) == pytest.approx([1320.2, 1390.2], abs=0.5)


def test_motion_leaves_room_for_those_who_ring() -> None:
    spells = Spells(after=15, longest=60)
    found = [at for at in range(0, 86400, 60) if spells.add(at)]
    assert len(found) == 250
    assert not spells.add(86399)
    assert spells.add(86401), "a day after the first one"
