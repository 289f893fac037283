"""On a slow link the page is never live over an old picture, and catches up, in every browser."""

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

LIVE = ("live", "slow")
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
        started = tab.evaluate("performance.now()")
        wire.rate = SLOW
        eventually(lambda: tab.evaluate("performance.now()") > started + 1000 * OLD, "some time")
        for _ in range(30):
            before, number, after = tab.state(), tab.number(), tab.state()
            age = (now() - number) % NUMBERS
            assert age < OLD or not (before in LIVE and after in LIVE), age
        eventually(lambda: tab.state() in LIVE and now() - tab.number() in (0, 1), "caught up")
