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
