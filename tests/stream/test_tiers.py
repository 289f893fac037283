"""The ladder of smaller pictures, and the thread that makes them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

import pytest

from doorbelld.media import codec, exif, jpeg
from doorbelld.media.frame import Frame
from doorbelld.stream import tiers as module
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.link import AdaptiveViewer, Wishes
from doorbelld.stream.tiers import MOST_STEPS, AdaptiveViewers, Tiers, ladder
from doorbelld.system.latest import Latest
from tests.support import pictures
from tests.support.daemon import GUARD, eventually
from tests.support.socketpairs import connection, publish

SIZES = [
    *((16, 16), (160, 120), (320, 240), (640, 480), (641, 479), (800, 600), (1280, 720)),
    *((1920, 1080), (1080, 1920), (2592, 1944), (3840, 2160), (4056, 3040), (1, 1), (10_000, 3)),
]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_ladder_goes_down_for_every_size(width: int, height: int) -> None:
    steps = ladder(width, height)
    assert 3 <= len(steps) < MOST_STEPS
    pixels = [each.width * each.height for each in steps]
    assert pixels == sorted(pixels, reverse=True)
    assert pixels[0] <= min(width * height, 1_000_000)
    for step, after in zip(steps, steps[1:]):
        assert after.quality < step.quality or after.width < step.width
        if min(after[:2]) > 50:
            assert after.width / after.height == pytest.approx(width / height, rel=0.02)


def test_ladder_of_a_usual_camera() -> None:
    assert ladder(640, 480) == (
        *((640, 480, 60), (640, 480, 45)),
        *((320, 240, 75), (320, 240, 50), (320, 240, 20)),
    )
    assert {each.width for each in ladder(1920, 1080)} == {960, 480, 240}


def test_there_is_no_ladder_for_pictures_that_are_not_decoded() -> None:
    assert ladder(8000, 8000) == ()


class Making:
    """Tiers with a hub; ``slots`` are those of the steps."""

    def __init__(self) -> None:
        self.hub = FrameHub()
        self.tiers = Tiers(self.hub)
        self.slots = self.tiers.deliver(lambda: None)
        self.tiers.start()

    def made(self, step: int) -> Frame:
        """Wait for the next frame of a step."""
        return eventually(self.slots[step].take, f"a frame of step {step}")


@pytest.fixture
def making() -> Iterator[Making]:
    found = Making()
    yield found
    assert found.tiers.stop(GUARD)
    assert found.tiers.stop(GUARD)


def picture(number: int = 0) -> bytes:
    return codec.encode(pictures.scene(640, 480 + number), 80)


def test_makes_the_steps_that_are_wanted_of_the_newest_frame(making: Making) -> None:
    publish(making.hub, picture(1))
    frame = publish(making.hub, picture())
    making.tiers.want({2, 3})
    for step, width in ((2, 640), (3, 320)):
        made = making.made(step)
        assert made == frame._replace(data=made.data, made_width=width)
        assert jpeg.size(made.data) == (width, width * 3 // 4)
    making.tiers.want({2, 3, 5})
    assert making.made(5).sequence == frame.sequence, "of the same frame, at once"
    after = publish(making.hub, picture())
    assert making.made(5).sequence == after.sequence
    assert not making.slots[1].take()
    assert not making.slots[4].take()


def test_picture_that_is_being_made_when_the_shutter_closes_reaches_no_one(
    making: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink = codec.shrink

    def close_meanwhile(data: bytes, sizes: Sequence[codec.Size]) -> Iterator[bytes]:
        making.hub.forget_live()
        monkeypatch.setattr(codec, "shrink", shrink)
        return shrink(data, sizes)

    monkeypatch.setattr(codec, "shrink", close_meanwhile)
    making.tiers.want({2})
    publish(making.hub, picture())
    eventually(lambda: not making.hub.takes_live, "it is being made")
    card = making.hub.publish(picture(), 2.0, live=False)
    assert making.made(2).sequence == card.sequence


def test_makes_nothing_while_nothing_is_wanted(
    making: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise AssertionError

    publish(making.hub, picture())
    making.tiers.want({1})
    making.made(1)
    making.tiers.want(())
    eventually(lambda: making.tiers._source is None, "the last frame is forgotten")
    monkeypatch.setattr(codec, "shrink", fail)
    publish(making.hub, picture())
    making.tiers._wakeup.set()
    assert not making.hub.wants(9.0)
    assert making.tiers.available


def test_knows_how_large_each_step_is(making: Making) -> None:
    frame = publish(making.hub, picture())
    guessed, widths = making.tiers.steps_of(frame)
    assert guessed[0] == len(frame.data)
    assert widths == (640, 640, 640, 320, 320, 320)
    making.tiers.want({4})
    made = making.made(4)
    sizes: tuple[float, ...] = eventually(
        lambda: found if (found := making.tiers.steps_of(frame)[0]) != guessed else None,
        "sizes that were measured",
    )
    assert sizes[4] == len(made.data)
    assert list(sizes) == sorted(sizes, reverse=True)


def test_camera_that_changes_its_size_gets_another_ladder(making: Making) -> None:
    making.tiers.want({1, 5})
    publish(making.hub, picture())
    assert making.made(1).made_width == 640
    small = publish(making.hub, pictures.jpeg(0, 160, 120))
    assert making.made(1).made_width == 160
    making.slots[5].take()
    small = publish(making.hub, pictures.jpeg(1, 160, 120))
    assert making.made(5) == small, "there is no such step: the frame itself"


def test_camera_with_ever_new_sizes_fills_no_memory(making: Making) -> None:
    making.tiers.want({1})
    for width in range(16, 116):
        publish(making.hub, pictures.jpeg(0, width, 16))
        assert making.made(1).made_width == width
    assert len(making.tiers._bytes) < 100


def test_orientation_is_that_of_the_camera(making: Making) -> None:
    making.tiers.want({3})
    publish(making.hub, exif.with_orientation(picture(), 6))
    assert exif.orientation(making.made(3).data) == 6


def cv2_error() -> NoReturn:
    import cv2

    raise cv2.error("it failed")


def value_error() -> NoReturn:
    raise ValueError


def no_memory() -> NoReturn:
    raise MemoryError


def library_exits() -> NoReturn:
    raise SystemExit


@pytest.mark.parametrize("fault", [cv2_error, value_error, no_memory, library_exits])
def test_frame_of_which_nothing_can_be_made_is_passed_on_as_it_is(
    making: Making,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: Callable[[], NoReturn],
) -> None:
    monkeypatch.setattr(module, "_REST_SECONDS", GUARD)
    with monkeypatch.context() as patch:
        patch.setattr(codec, "shrink", lambda *_: fault())
        making.tiers.want({2})
        for _ in range(3):
            frame = publish(making.hub, picture())
            assert making.made(2) == frame
        assert len(making.tiers.steps_of(frame)[0]) == 1
    assert caplog.text.count("get the camera's own pictures") == 1
    monkeypatch.setattr(module, "_REST_SECONDS", 0.0)

    def is_back() -> bool:
        publish(making.hub, picture())
        return making.made(2).made_width > 0

    eventually(is_back, "smaller pictures again")


@pytest.mark.parametrize(
    "data", [pictures.claiming(8000, 8000), b"no picture", picture()[:5000], b""]
)
def test_frame_that_is_no_good_is_passed_on_as_it_is(making: Making, data: bytes) -> None:
    making.tiers.want({1})
    frame = making.hub.publish(data, 1.0, live=True)
    assert making.made(1) == frame


def test_one_frame_that_is_no_good_is_left_out(
    making: Making, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_TICK", GUARD)  # However long the next frame takes to come.
    making.tiers.want({1})
    publish(making.hub, picture())
    assert making.made(1).made_width
    publish(making.hub, picture()[:5000])
    eventually(lambda: "own pictures" in caplog.text, "a line in the log")
    newest = publish(making.hub, picture())
    made = making.made(1)
    assert (made.sequence, made.made_width) == (newest.sequence, 640)
    assert making.tiers.available


def test_frame_that_is_no_good_is_shown_if_no_other_comes(making: Making) -> None:
    making.tiers.want({1})
    publish(making.hub, picture())
    assert making.made(1).made_width
    frame = publish(making.hub, picture()[:5000])
    assert making.made(1) == frame


def test_without_opencv_there_are_no_smaller_pictures(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(*_: object) -> NoReturn:
        raise ImportError

    monkeypatch.setattr(codec, "load_opencv", missing)
    making = Making()
    making.tiers.want({1})
    for number in range(3):
        frame = publish(making.hub, pictures.jpeg(number))
        assert making.made(1) == frame
    assert not making.tiers.available
    assert making.tiers.steps_of(frame) == ((len(frame.data),), (64,))
    assert making.tiers.stop(GUARD)
    [line] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "OpenCV, which is not installed" in line.getMessage()


def test_tiers_that_never_started_stop_too() -> None:
    assert Tiers(FrameHub()).stop(GUARD)


def test_picture_made_for_a_viewer_that_has_left_is_not_shown_to_the_next() -> None:
    """It may be any age by then, and from before the shutter was closed."""
    hub = FrameHub()
    tiers = Tiers(hub)  # Its thread is not started: the test puts what is made.
    viewers = AdaptiveViewers(tiers, lambda: None)
    frame = publish(hub, picture())
    for _ in range(2):
        server, client = connection()
        with server, client:
            viewer = AdaptiveViewer(server, "10.0.0.9", key="", fps=None, advance=False)
            viewer.wishes = Wishes(width=320)
            viewers.add(viewer, frame)
            assert viewers.take() == set()
            viewers._slots[3].put(frame)
            assert viewers.take() == {3}
            viewers.remove(viewer)
            viewers._slots[3].put(frame)  # It was being made.
    assert tiers.stop(GUARD)


def test_slots_hold_the_newest_only(making: Making) -> None:
    making.tiers.want({5})
    last = [publish(making.hub, picture()) for _ in range(5)][-1]
    found: list[int] = []

    def newest() -> bool:
        slot: Latest[Frame] = making.slots[5]
        frame = slot.take()
        found.extend([frame.sequence] if frame else [])
        return found[-1:] == [last.sequence]

    eventually(newest, "the newest frame")
    assert found == sorted(set(found))
