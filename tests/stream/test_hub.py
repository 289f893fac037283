from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator

import pytest

from doorbelld.media.frame import Frame
from doorbelld.stream.hub import FrameHub
from doorbelld.system.latest import Latest
from tests.support.daemon import GUARD


@pytest.fixture
def _busy() -> Iterator[None]:
    """Let threads interrupt each other all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Recorder:
    """A subscriber that keeps the number of every frame, in the order in which they come."""

    def __init__(self, hub: FrameHub) -> None:
        self.numbers: list[int] = []
        self.slot: Latest[Frame] = hub.subscribe(self._take)

    def _take(self) -> None:
        frame = self.slot.take()
        assert frame
        self.numbers.append(frame.sequence)


@pytest.mark.usefixtures("_busy")
def test_numbers_never_go_back_whichever_threads_publish() -> None:
    hub = FrameHub()
    recorder = Recorder(hub)

    def publish() -> None:
        for _ in range(3000):
            hub.publish(b"picture", 1.0, live=True)

    threads = [threading.Thread(target=publish) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD)
    assert recorder.numbers == list(range(1, 9001))
    assert hub.latest
    assert hub.latest.sequence == 9000


def test_frame_is_numbered_and_stamped() -> None:
    hub = FrameHub()
    assert hub.latest is None
    before, now = time.time(), time.monotonic()
    first = hub.publish(b"card", now, live=False)
    second = hub.publish(b"picture", now - 60, live=True)
    assert [(each.data, each.sequence, each.live) for each in (first, second)] == [
        (b"card", 1, False),
        (b"picture", 2, True),
    ]
    assert before - 0.01 <= first.timestamp <= time.time() + 0.01
    assert second.timestamp == pytest.approx(first.timestamp - 60, abs=0.01)
    assert second.captured_at == now - 60
    assert hub.latest is second


def test_slot_holds_the_newest_frame_and_the_one_from_before_the_subscription() -> None:
    hub = FrameHub()
    early = hub.subscribe()
    assert early.take() is None
    newest = [hub.publish(b"picture", 1.0, live=True) for _ in range(3)][-1]
    assert early.take() is newest
    assert early.take() is None
    assert hub.subscribe().take() is newest


def test_subscriber_that_takes_nothing_delays_no_other() -> None:
    hub = FrameHub()
    idle = hub.subscribe()
    recorder = Recorder(hub)
    for _ in range(1000):
        hub.publish(b"picture", 1.0, live=True)
    assert recorder.numbers == list(range(1, 1001))
    frame = idle.take()
    assert frame
    assert frame.sequence == 1000


def test_slot_that_is_unsubscribed_gets_nothing_more() -> None:
    hub = FrameHub()
    slot, other = hub.subscribe(), hub.subscribe()
    hub.unsubscribe(slot)
    frame = hub.publish(b"picture", 1.0, live=True)
    assert slot.take() is None
    assert other.take() is frame


class Loads:
    """What a camera has ready: counts how often it is loaded; an empty answer is None."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.count = 0

    def __call__(self) -> bytes | None:
        self.count += 1
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]) or None


def test_picture_on_offer_is_loaded_once_and_only_if_the_newest_is_asked_for() -> None:
    hub = FrameHub()
    slot = hub.subscribe(wants=False)
    first = hub.publish(b"first", 1.0, live=True)
    loads = Loads(b"second")
    hub.offer(loads, 2.0)
    assert slot.take() is first
    assert slot.take() is None
    assert loads.count == 0
    found = hub.latest
    assert found
    assert (found.data, found.captured_at, found.sequence, found.live) == (b"second", 2.0, 2, True)
    assert hub.latest is slot.take() is found
    assert loads.count == 1


def test_many_threads_that_ask_at_once_load_the_picture_only_once() -> None:
    hub = FrameHub()
    loads, may_end = Loads(b"picture"), threading.Event()

    def slow() -> bytes | None:
        data = loads()
        assert may_end.wait(GUARD)
        return data

    hub.offer(slow, 1.0)
    found: list[Frame | None] = []
    threads = [threading.Thread(target=lambda: found.append(hub.latest)) for _ in range(8)]
    for thread in threads:
        thread.start()
    may_end.wait(0.2)  # Nothing shows that a thread waits for another one.
    may_end.set()
    for thread in threads:
        thread.join(GUARD)
    assert loads.count == 1
    assert [frame.data for frame in found if frame] == [b"picture"] * 8


def test_what_is_published_replaces_what_was_on_offer() -> None:
    hub = FrameHub()
    loads = Loads(b"picture")
    hub.offer(loads, 1.0)
    card = hub.publish(b"card", 2.0, live=False)
    assert hub.latest is card
    assert loads.count == 0


def test_newest_offer_wins_though_an_older_one_is_just_being_loaded() -> None:
    hub = FrameHub()

    def overtaken() -> bytes:
        hub.offer(Loads(b"newer"), 2.0)
        return b"older"

    hub.offer(overtaken, 1.0)
    found = hub.latest
    assert found
    assert (found.data, found.captured_at, found.sequence) == (b"newer", 2.0, 1)


def test_picture_that_was_gone_for_a_moment_is_loaded_all_the_same() -> None:
    hub = FrameHub()
    hub.offer(Loads(b"", b"", b"picture"), 1.0)
    found = hub.latest
    assert found
    assert found.data == b"picture"


def test_offer_that_cannot_be_shown_leaves_the_newest_frame_as_it_is() -> None:
    hub = FrameHub()
    shown = hub.publish(b"picture", 1.0, live=True)
    loads = Loads(b"")
    hub.offer(loads, 2.0)
    assert hub.latest is shown
    assert 1 <= loads.count <= 10


def test_frames_are_wanted_as_long_as_any_subscriber_wants_them() -> None:
    hub = FrameHub()
    one, other = hub.subscribe(wants=False), hub.subscribe()
    assert hub.wants(9.0)
    hub.want(one, True)
    hub.unsubscribe(other)
    assert hub.wants(9.0)
    hub.want(one, False)
    assert not hub.wants(9.0)


def test_samples_are_evenly_spaced_live_and_made_for_them_alone() -> None:
    hub = FrameHub()
    fast, slow = list[float](), list[float]()
    hub.sample(lambda frame: fast.append(frame.captured_at), 10.0)
    slow_one = hub.sample(lambda frame: slow.append(frame.captured_at), 2.0)
    for number in range(60):
        hub.publish(b"picture", number / 20, live=True)
        hub.publish(b"card", number / 20, live=False)
    assert [round(each * 20) for each in fast] == list(range(0, 60, 2))
    assert [round(each * 20) for each in slow] == list(range(0, 60, 10))
    hub.end_sampling(slow_one)
    hub.publish(b"picture", 10.0, live=True)
    assert len(slow) == 6
    assert fast[-1] == 10.0


def test_only_a_picture_that_is_due_is_wanted_for_a_sample() -> None:
    hub = FrameHub()
    assert not hub.wants(0.0)
    sampling = hub.sample(lambda _frame: None, 1.0)
    assert hub.wants(100.0)
    hub.publish(b"picture", 100.0, live=True)
    assert not hub.wants(100.5)
    assert hub.wants(101.0)
    hub.end_sampling(sampling)
    assert not hub.wants(200.0)


def newest(hub: FrameHub) -> Frame | None:
    return hub.latest


def test_no_live_picture_gets_through_while_none_is_taken() -> None:
    hub = FrameHub()
    slot = hub.subscribe()
    samples = list[Frame]()
    hub.sample(samples.append, 10.0)
    hub.offer(Loads(b"on offer"), 1.0)
    assert not hub.forget_live()
    assert newest(hub) is None
    hub.offer(Loads(b"on offer"), 2.0)
    hub.publish(b"picture", 3.0, live=True)
    assert newest(hub) is None
    card = hub.publish(b"card", 4.0, live=False)
    assert newest(hub) is slot.take() is card
    assert card.sequence == 1
    hub.take_live(takes=True)
    shown = hub.publish(b"picture", 5.0, live=True)
    assert (newest(hub), shown.sequence) == (shown, 2)
    assert samples == [shown]
    assert hub.forget_live(), "there was a live one"
    card = hub.publish(b"card", 6.0, live=False)
    assert not hub.forget_live()
    assert newest(hub) is card, "what shows nothing stays"


def test_picture_that_is_loaded_while_none_is_taken_any_more_gets_nowhere() -> None:
    hub = FrameHub()

    def late() -> bytes:
        hub.forget_live()
        return b"picture"

    hub.offer(late, 1.0)
    assert newest(hub) is None


def test_newest_picture_stays_while_no_others_are_taken() -> None:
    hub = FrameHub()
    shown = hub.publish(b"old", 1.0, live=True)
    hub.offer(lambda: b"offered", 2.0)
    hub.take_live(takes=False)
    hub.publish(b"late", 3.0, live=True)
    assert hub.latest is shown
