from __future__ import annotations

import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from doorbelld.reporter import Reporter

_log = logging.getLogger("test")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a clock that stands still; its one item is the time, in seconds."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_what_comes_seldom_is_told_at_once(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    reporter = Reporter(_log)
    for number in range(100):
        reporter.tell(logging.WARNING, str(number))
        clock[0] += 120
    assert messages(caplog) == [str(number) for number in range(100)]


def test_of_a_flood_only_the_first_are_told_and_then_the_newest_now_and_then(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    reporter = Reporter(_log)
    for number in range(100):
        reporter.tell(logging.WARNING, str(number))
    assert messages(caplog) == [str(number) for number in range(12)]
    clock[0] += 119
    reporter.turn()
    assert len(caplog.records) == 12
    clock[0] += 1
    reporter.turn()
    assert messages(caplog)[12:] == ["99 (before this, 87 lines were left out)"]
    clock[0] += 3600
    reporter.turn()
    assert len(caplog.records) == 13, "there is nothing new"


def test_after_a_quiet_time_as_many_as_before_are_told_and_no_more(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    reporter = Reporter(_log)
    for _ in range(2):
        caplog.clear()
        for number in range(20):
            reporter.tell(logging.WARNING, str(number))
        assert len(caplog.records) == 12
        clock[0] += 86400
        reporter.turn()
        clock[0] += 86400


def test_level_is_that_of_the_line(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    del clock
    caplog.set_level(logging.INFO)
    reporter = Reporter(_log)
    reporter.tell(logging.INFO, "well")
    reporter.tell(logging.WARNING, "not well, 100 %s")
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.INFO, "well"),
        (logging.WARNING, "not well, 100 %s"),
    ]


def test_several_threads_may_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is stuck in a driver, and one that tells of it: until the first goes on."""
    now = count(0.0, 120.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    reporter = Reporter(logging.getLogger("nobody listens"))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool:
            told = pool.map(lambda text: tell(reporter, text), "ab")
            assert list(told) == [None, None]
    finally:
        sys.setswitchinterval(interval)


def tell(reporter: Reporter, text: str) -> None:
    for _ in range(20_000):
        reporter.tell(logging.DEBUG, text)
