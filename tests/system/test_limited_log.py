from __future__ import annotations

import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from doorbelld.system.limited_log import RefusalLog, StateLog

_log = logging.getLogger("test")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a clock that stands still; its one item is the time, in seconds."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_rare_lines_are_logged_at_once(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    state_log = StateLog(_log)
    for number in range(100):
        state_log.log(logging.WARNING, str(number))
        clock[0] += 120
    assert messages(caplog) == [str(number) for number in range(100)]


def test_of_a_flood_the_first_lines_are_logged_and_then_the_newest_from_time_to_time(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    state_log = StateLog(_log)
    for number in range(100):
        state_log.log(logging.WARNING, str(number))
    assert messages(caplog) == [str(number) for number in range(12)]
    clock[0] += 119
    state_log.flush()
    assert len(caplog.records) == 12
    clock[0] += 1
    state_log.flush()
    assert messages(caplog)[12:] == ["99 (before this, 87 lines were left out)"]
    clock[0] += 3600
    state_log.flush()
    assert len(caplog.records) == 13, "there is nothing new"


def test_after_a_quiet_time_as_many_lines_are_logged_as_at_first(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    state_log = StateLog(_log)
    for _ in range(2):
        caplog.clear()
        for number in range(20):
            state_log.log(logging.WARNING, str(number))
        assert len(caplog.records) == 12
        clock[0] += 86400
        state_log.flush()
        clock[0] += 86400


def test_level_is_that_of_the_line(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    del clock
    caplog.set_level(logging.INFO)
    state_log = StateLog(_log)
    state_log.log(logging.INFO, "well")
    state_log.log(logging.WARNING, "not well, 100 %s")
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.INFO, "well"),
        (logging.WARNING, "not well, 100 %s"),
    ]


def test_several_threads_may_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as one that hangs in a driver, and the one that logs that."""
    now = count(0.0, 120.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    state_log = StateLog(logging.getLogger("test without handlers"))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool:
            done = pool.map(lambda text: log(state_log, text), "ab")
            assert list(done) == [None, None]
    finally:
        sys.setswitchinterval(interval)


def log(state_log: StateLog, text: str) -> None:
    for _ in range(20_000):
        state_log.log(logging.DEBUG, text)


def test_each_refusal_is_logged_once_a_minute(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    found = RefusalLog()
    for _ in range(3):
        found.note("8.8.8.8", "not let in")
    found.note("8.8.8.8", "no such name")
    found.note("9.9.9.9", "not let in")
    assert caplog.messages == [
        "8.8.8.8: refused: not let in",
        "8.8.8.8: refused: no such name",
        "9.9.9.9: refused: not let in",
    ]
    caplog.clear()
    clock[0] += 59
    found.note("8.8.8.8", "not let in")
    assert caplog.messages == []
    clock[0] += 2
    found.note("8.8.8.8", "not let in")
    assert caplog.messages == [
        "refused 3 more times since the last minute's lines",
        "8.8.8.8: refused: not let in",
    ]


def test_a_thousand_addresses_fill_neither_log_nor_memory(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    found = RefusalLog()
    for number in range(1000):
        found.note(f"2001:db8::{number:x}", "not let in")
    assert len(caplog.messages) == 10
    assert len(found._logged) == 10
    clock[0] += 61
    found.note("9.9.9.9", "not let in")
    assert caplog.messages[10:] == [
        "refused 990 more times since the last minute's lines",
        "9.9.9.9: refused: not let in",
    ]
