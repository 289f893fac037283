from __future__ import annotations

import threading

import pytest

from doorbelld.system.latest import Latest
from tests.support.daemon import GUARD


def test_newest_item_can_be_taken_once() -> None:
    slot: Latest[str] = Latest()
    slot.put("older")
    slot.put("newer")
    assert slot.take(GUARD) == "newer"
    assert slot.take(0) is None


def test_put_wakes_a_waiting_reader() -> None:
    slot: Latest[str] = Latest()
    taken: list[str | None] = []
    reader = threading.Thread(target=lambda: taken.append(slot.take(GUARD)))
    reader.start()
    slot.put("item")
    reader.join(GUARD)
    assert taken == ["item"]


def test_error_is_raised_for_every_later_reader() -> None:
    slot: Latest[str] = Latest()
    slot.check()
    slot.put("item")
    slot.fail(ValueError("gone"))
    for _ in range(2):
        with pytest.raises(ValueError, match="gone"):
            slot.take(0)
    with pytest.raises(ValueError, match="gone"):
        slot.check()


def test_reader_that_waits_for_other_things_is_called_after_each_put() -> None:
    found: list[str | None] = []
    slot: Latest[str] = Latest(lambda: found.append(slot.take()))
    slot.put("one")
    slot.put("two")
    assert found == ["one", "two"]
    assert slot.take() is None


def test_item_is_never_lost_between_threads() -> None:
    slot: Latest[int] = Latest()
    found: list[int] = []

    def read() -> None:
        while not found or found[-1] < 5000:
            found.append(slot.take(GUARD) or 0)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 5001):
        slot.put(number)
    reader.join(GUARD)
    assert found == sorted(set(found)), "each at most once, in order, and the last one at the end"
