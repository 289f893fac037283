"""Messages that wait: their order, their age, and what is said of a server that fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from doorbelld.notify import outbox as module
from doorbelld.notify.outbox import Outbox
from doorbelld.notify.push import PushError
from doorbelld.notify.target import News
from tests.support.daemon import eventually
from tests.support.news import ring

SENTENCE = "nothing listens"


class Line:
    """A server that takes messages, or refuses them, or lets them wait."""

    def __init__(self) -> None:
        self.arrived: list[int] = []
        self.tries = 0
        self.error: Exception | None = None
        self.remark = ""
        self.is_open = threading.Event()
        self.is_open.set()

    def deliver(self, news: News, seconds: float, *, is_test: bool) -> str:
        assert seconds > 0
        self.tries += 1
        self.is_open.wait()
        if self.error is not None:
            raise self.error
        self.arrived.append(-1 if is_test else news.visit.id)
        return self.remark

    def away(self) -> None:
        self.error = PushError(SENTENCE, retry=True)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(module, "_LONGEST_PAUSE", 0.05)
    return Line()


@contextmanager
def started(line: Line, max_age: float = 60.0) -> Iterator[Outbox]:
    outbox = Outbox("ntfy", line.deliver, line.is_open.set, max_age)
    outbox.start()
    try:
        yield outbox
    finally:
        line.is_open.set()
        assert outbox.stop(20)


def until(outbox: Outbox, **wanted: object) -> None:
    def look() -> bool:
        status = outbox.status()
        return all(getattr(status, key) == value for key, value in wanted.items())

    eventually(look, f"{wanted}")


def test_messages_go_out_in_their_order(line: Line) -> None:
    with started(line) as outbox:
        for number in range(1, 40):
            outbox.put(ring(number))
        until(outbox, delivered=39, failed=0, dropped=0, state="ok", since=None)
    assert line.arrived == [*range(1, 40)]


def test_slow_answer_is_shown_and_the_message_not_sent_again(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SLOW", 0.05)
    line.is_open.clear()
    with started(line) as outbox:
        outbox.put(ring())
        until(outbox, state="failed")
        status = outbox.status()
        assert "has not answered a message for 0 s" in status.detail
        assert status.since is not None
        line.is_open.set()
        until(outbox, state="ok", delivered=1, detail="", since=None)
    assert line.tries == 1


def test_it_is_tried_again_in_order_until_it_works(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    line.away()
    with started(line) as outbox:
        for number in (1, 2, 3):
            outbox.put(ring(number))
        eventually(lambda: line.tries > 5, "it is tried again")
        until(outbox, state="failed", detail=SENTENCE, delivered=0)
        line.error = None
        until(outbox, state="ok", detail="", delivered=3, dropped=0)
    assert line.arrived == [1, 2, 3]
    begin, end = (record.getMessage() for record in caplog.records)
    assert begin == f"ntfy: {SENTENCE}"
    assert end.startswith("ntfy: works again, after")
    assert "dropped" not in end


def test_what_is_too_old_is_dropped_and_counted(line: Line) -> None:
    line.away()
    with started(line, max_age=0.2) as outbox:
        outbox.put(ring(1, age=0.3))
        outbox.put(ring(2))
        until(outbox, dropped=2, delivered=0, failed=0)
        line.error = None
        outbox.put(ring(3))
        until(outbox, delivered=1)
    assert line.arrived == [3]


def test_age_counts_from_the_ring(line: Line) -> None:
    with started(line) as outbox:
        outbox.put(ring(1, age=60.1))
        outbox.put(ring(2, age=30))
        until(outbox, delivered=1, dropped=1)
    assert line.arrived == [2]


def test_thousand_rings_while_nothing_answers(line: Line) -> None:
    line.is_open.clear()
    with started(line) as outbox:
        outbox.put(ring(0))
        eventually(lambda: line.tries == 1, "the first one is on its way")
        for number in range(1, 1001):
            outbox.put(ring(number))
        until(outbox, dropped=950)
        line.is_open.set()
        until(outbox, delivered=51)
    assert line.arrived == [0, *range(951, 1001)], "the newest are kept"


def test_large_pictures_that_wait_take_little_memory(line: Line) -> None:
    line.is_open.clear()
    with started(line) as outbox:
        outbox.put(ring(0))
        eventually(lambda: line.tries == 1, "the first one is on its way")
        for number in range(1, 10):
            outbox.put(ring(number, still=bytes(1_500_000)))
        until(outbox, dropped=7)
        outbox.put(ring(10, still=bytes(9_000_000)))
        until(outbox, dropped=9)
        line.is_open.set()
        until(outbox, delivered=2)
    assert line.arrived == [0, 10], "the newest is kept, however large"


def test_refusal_for_good_is_not_tried_again(line: Line) -> None:
    line.error = PushError("answers with the status 403", retry=False)
    with started(line) as outbox:
        outbox.put(ring(1))
        outbox.put(ring(2))
        until(outbox, failed=2, dropped=0, state="failed")
        assert line.tries == 2
        assert isinstance(outbox.status().since, float)


def test_error_of_ours_ends_nothing_and_shows_nothing(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    line.error = ValueError("tk_secret")
    with started(line) as outbox:
        outbox.put(ring(1))
        until(outbox, failed=1)
        assert outbox.status().detail.startswith("failed in doorbelld (ValueError at test_outbox")
        line.error = None
        outbox.put(ring(2))
        until(outbox, delivered=1)
    assert "tk_secret" not in caplog.text


def test_remark_is_logged_once_and_shown(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    line.remark = "without its picture"
    with started(line) as outbox:
        for number in range(5):
            outbox.put(ring(number))
        until(outbox, delivered=5, state="ok", detail=line.remark)
        assert outbox.test(ring(0), 20).sentence == line.remark
        line.remark = ""
        outbox.put(ring(6))
        until(outbox, delivered=6, detail="")
    assert [each.getMessage() for each in caplog.records] == ["ntfy: without its picture"]


def test_each_new_reason_is_logged_once(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    reasons = ["status 401", "status 429", "does not listen"]
    with started(line) as outbox:
        for reason in reasons:
            line.error = PushError(reason, retry=True)
            for _ in range(3):
                assert outbox.test(ring(0), 20).sentence == reason
    logged = [each.getMessage() for each in caplog.records]
    assert logged == [f"ntfy: {reason}" for reason in reasons]


def test_reasons_that_alternate_do_not_fill_the_log(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    with started(line) as outbox:
        for number in range(100):
            line.error = PushError(f"status {401 + number % 2}", retry=True)
            outbox.test(ring(0), 20)
        assert outbox.status().detail == "status 402"
    assert len(caplog.records) == 12


def test_test_message_goes_first_at_once_and_counts_nowhere(line: Line) -> None:
    line.away()
    with started(line) as outbox:
        outbox.put(ring(1))
        until(outbox, state="failed")
        result = outbox.test(ring(0), 20)
        assert (result.is_delivered, result.sentence) == (False, SENTENCE)
        line.error = None
        result = outbox.test(ring(0), 20)
        assert (result.is_delivered, result.target) == (True, "ntfy")
        until(outbox, delivered=1, failed=0, dropped=0)
    assert sorted(line.arrived) == [-1, 1]


def test_test_message_does_not_wait_for_ever_nor_come_later(line: Line) -> None:
    line.is_open.clear()
    with started(line) as outbox:
        outbox.put(ring(1))
        eventually(lambda: line.tries == 1, "another message is on its way")
        result = outbox.test(ring(0), 0.1)
        assert (result.is_delivered, result.sentence) == (
            False,
            "nothing has answered within 0.1 s",
        )
        line.is_open.set()
        until(outbox, delivered=1)
        outbox.put(ring(2))
        until(outbox, delivered=2)
    assert line.arrived == [1, 2]


def test_broken_setting_is_said_before_the_first_ring(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox("ntfy", line.deliver, line.is_open.set)
    outbox.fail("/x does not exist")
    assert outbox.status().state == "failed"
    assert caplog.messages == ["ntfy: /x does not exist"]
    assert outbox.stop(5)
    assert not outbox.test(ring(), 20).is_delivered


def test_stop_lets_a_message_arrive_and_cuts_one_that_does_not(line: Line) -> None:
    cuts: list[Callable[[], None]] = []
    line.is_open.clear()
    outbox = Outbox("ntfy", line.deliver, lambda: cuts.append(line.is_open.set))
    outbox.start()
    outbox.put(ring(1))
    outbox.put(ring(2))
    eventually(lambda: line.tries == 1, "it is on its way")
    assert not outbox.stop(0.1), "the resolver cannot be woken"
    assert len(cuts) == 1
    line.is_open.set()
    assert outbox.stop(20)
    assert line.arrived == [1]
    assert outbox.status().dropped == 1


def test_stop_before_start(line: Line) -> None:
    assert Outbox("ntfy", line.deliver, line.is_open.set).stop(1)
