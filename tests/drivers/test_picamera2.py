from __future__ import annotations

import time

import pytest

from doorbelld.drivers.picamera2 import InFlight


def test_lets_two_in_and_one_more_for_each_that_leaves() -> None:
    frames = InFlight()
    assert [frames.enter() for _ in range(3)] == [True, True, False]
    frames.leave()
    assert [frames.enter() for _ in range(2)] == [True, False]


def test_what_leaves_twice_does_no_harm() -> None:
    frames = InFlight()
    frames.leave()
    assert [frames.enter() for _ in range(3)] == [True, True, False]


def test_forgets_frames_that_an_encoder_has_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = InFlight()
    frames.enter()
    frames.enter()
    later = time.monotonic() + 6
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert [frames.enter() for _ in range(3)] == [True, True, False]
