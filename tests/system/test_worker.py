from __future__ import annotations

import threading
import time

import pytest

from doorbelld.system.worker import Worker
from tests.support.daemon import GUARD, eventually


class Counting(Worker):
    """Counts its rounds; ``fault`` is raised in the next."""

    def __init__(self) -> None:
        super().__init__("counting")
        self.rounds = 0
        self.closed = 0
        self.fault: Exception | None = None

    def wake(self) -> None:
        self._wakeup.set()

    def _loop(self) -> None:
        while not self._stopping:
            self._wakeup.wait(GUARD)
            self._wakeup.clear()
            self.rounds += 1
            self.beat = time.monotonic()
            if self.fault:
                raise self.fault

    def _close(self) -> None:
        self.closed += 1
        super()._close()


def test_worker_runs_until_it_is_stopped_and_may_be_stopped_twice() -> None:
    worker = Counting()
    worker.start()
    beat = worker.beat
    worker.wake()
    eventually(lambda: worker.beat > beat, "a beat")
    assert worker.stop(GUARD)
    assert worker.stop(GUARD)
    assert not worker.alive
    assert worker.closed == 1


def test_worker_that_was_never_started_can_be_stopped() -> None:
    worker = Counting()
    assert worker.stop()
    assert worker.stop()
    assert (worker.rounds, worker.closed) == (0, 1)


def test_stop_says_so_if_the_thread_goes_on() -> None:
    release = threading.Event()

    class Hanging(Worker):
        def _loop(self) -> None:
            release.wait(GUARD)

    worker = Hanging("hanging")
    worker.start()
    assert not worker.stop(0.01)
    assert worker.alive
    release.set()
    assert worker.stop(GUARD)


def test_failure_is_logged_once_and_closes_everything(caplog: pytest.LogCaptureFixture) -> None:
    worker = Counting()
    worker.start()
    worker.fault = ValueError("the reason")
    worker.wake()
    eventually(lambda: not worker.alive, "the thread ended")
    assert caplog.messages == ["the counting thread failed"]
    assert "ValueError: the reason" in caplog.text
    assert worker.closed == 1
    assert worker.stop()
