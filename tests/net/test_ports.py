from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from doorbelld.net.listeners import ListenError
from doorbelld.net.ports import Place, Ports
from tests.support.daemon import GUARD

PLACE, OTHER = ("", 5000), ("", 5001)


class Clock:
    """The time that Ports knows, and when it has tried something."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.attempts: list[tuple[float, list[Place]]] = []
        self.why = "busy"

    def monotonic(self) -> float:
        return self.now

    def listen(self, places: Sequence[Place]) -> tuple[list[object], list[ListenError]]:
        self.attempts.append((self.now, list(places)))
        return [], [ListenError(place, self.why) for place in places]

    def go_on(self, ports: Ports, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            ports.poll()
            if ports._attempt:
                ports._attempt.join(GUARD)
                ports.poll()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("doorbelld.net.ports.time", SimpleNamespace(monotonic=found.monotonic))
    return found


def ports_of(clock: Clock, *places: Place) -> Ports:
    return Ports(clock.listen, places)  # type: ignore[arg-type]  # it never finds a listener


def gaps(clock: Clock) -> list[float]:
    times = [at for at, _ in clock.attempts]
    return [later - earlier for earlier, later in zip(times, times[1:])]


def test_attempts_come_ever_later_until_they_are_a_minute_apart(clock: Clock) -> None:
    clock.go_on(ports_of(clock, PLACE), 250)
    assert gaps(clock) == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_other_addresses_are_tried_at_once_and_from_the_start(clock: Clock) -> None:
    ports = ports_of(clock, PLACE)
    clock.go_on(ports, 40)
    assert not ports.change([OTHER])
    tried = len(clock.attempts)
    clock.go_on(ports, 8)
    assert [places for _, places in clock.attempts[tried:]] == [[OTHER]] * 4
    assert gaps(clock)[tried:] == [1, 2, 4]


def test_each_cause_is_logged_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    ports = ports_of(clock, PLACE, OTHER)
    clock.go_on(ports, 100)
    assert [record.message for record in caplog.records] == [
        "cannot listen on :5000: busy; waiting for it",
        "cannot listen on :5001: busy; waiting for it",
    ]
    clock.why = "forbidden"
    clock.go_on(ports, 100)
    assert [record.message for record in caplog.records[2:]] == [
        "cannot listen on :5000: forbidden; waiting for it",
        "cannot listen on :5001: forbidden; waiting for it",
    ]
    assert ports.waiting == "Waiting for :5000: forbidden, :5001: forbidden"
