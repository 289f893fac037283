from __future__ import annotations

import threading

import pytest

from doorbelld.system.latest import Latest
from tests.support.daemon import GUARD


def test_holds_the_newest_item_and_gives_it_once() -> None:
    mailbox: Latest[str] = Latest()
    mailbox.put("older")
    mailbox.put("newer")
    assert mailbox.take(GUARD) == "newer"
    assert mailbox.take(0) is None


def test_wakes_who_waits() -> None:
    mailbox: Latest[str] = Latest()
    taken: list[str | None] = []
    reader = threading.Thread(target=lambda: taken.append(mailbox.take(GUARD)))
    reader.start()
    mailbox.put("item")
    reader.join(GUARD)
    assert taken == ["item"]


def test_an_error_reaches_every_later_reader() -> None:
    mailbox: Latest[str] = Latest()
    mailbox.check()
    mailbox.put("item")
    mailbox.fail(ValueError("gone"))
    for _ in range(2):
        with pytest.raises(ValueError, match="gone"):
            mailbox.take(0)
    with pytest.raises(ValueError, match="gone"):
        mailbox.check()
