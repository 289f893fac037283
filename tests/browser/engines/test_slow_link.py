"""On a slow link the page says so in every browser, and is never live over an old picture."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.daemon import Daemon, eventually
from tests.support.engines import Tab
from tests.support.pictures import jpeg, segment, with_segments
from tests.support.pipe_camera import PipeCamera
from tests.support.wire import Wire

NUMBERS = 16
FAST, SLOW = 10_000_000, 150_000
"""Bytes a second; the camera sends three times as much as the slow link takes."""

OLD = 5
"""Seconds: the page promises 2, and a busy machine may need some more."""


def now() -> int:
    """Return the number of the picture that is taken now: each is shown for a second."""
    return int(time.monotonic()) % NUMBERS


@contextmanager
def taking_pictures(camera: PipeCamera) -> Iterator[None]:
    """Take ten pictures of 45 kilobytes a second."""
    padding = segment(0xFE, bytes(45_000))
    pictures = [with_segments(jpeg(number, 640, 480), padding) for number in range(NUMBERS)]
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(0.1):
            camera.show(pictures[now()])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_slow_link(tab: Tab, daemon: Daemon, pipe_camera: PipeCamera) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 60})
    with Wire(daemon.port, FAST) as wire, taking_pictures(pipe_camera):
        tab.open(daemon, wire.port).wait_for("live")
        tab.bare()
        wire.rate = SLOW
        eventually(lambda: tab.state() != "live", "not live any more")
        tab.wait_for("slow")
        for _ in range(30):
            number = tab.number()
            age = (now() - number) % NUMBERS
            state = tab.state()
            assert age < OLD or state not in ("live", "slow"), (age, state)
        wire.rate = FAST
        tab.wait_for("live")
