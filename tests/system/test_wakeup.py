"""Wakeup: what any thread may do with it, and what that costs."""

from __future__ import annotations

import select
import sys
from contextlib import closing
from types import FrameType

from doorbelld.system.wakeup import Wakeup


def is_readable(wakeup: Wakeup) -> bool:
    return bool(select.select([wakeup], [], [], 0)[0])


def test_it_is_quiet_until_it_is_set_and_after_it_is_cleared() -> None:
    with closing(Wakeup()) as wakeup:
        assert not is_readable(wakeup)
        assert wakeup.clear() == b""
        wakeup.set()
        wakeup.set()
        assert is_readable(wakeup)
        assert wakeup.clear() == b"\0\0"
        assert not is_readable(wakeup)


def test_setting_never_waits_and_never_fails() -> None:
    wakeup = Wakeup()
    for _ in range(70_000):  # More than the pipe holds.
        wakeup.set()
    cleared = 0
    while is_readable(wakeup):
        cleared += len(wakeup.clear())
    assert 0 < cleared < 70_000
    wakeup.close()
    wakeup.set()


def test_setting_calls_no_other_function() -> None:
    called: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            called.append(frame.f_code.co_name)

    with closing(Wakeup()) as wakeup:
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            wakeup.set()
        finally:
            sys.setprofile(before)
    assert called == ["set"], "it is done for every frame"
