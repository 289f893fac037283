from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from doorbelld.handover import ledger
from doorbelld.handover.ledger import RESUMABLE, SLOTS, TORN, WHOLE, Ledger, Record

RECORD = Record(7, "fe80::1", "kitchen \N{BELL}", 0.5, True, 1e9 + 0.25, 10, 3, 12.75)


@pytest.fixture
def fd() -> Iterator[int]:
    found = ledger.create()
    yield found
    os.close(found)


def opened(fd: int) -> Ledger:
    """Look into the file as another process would."""
    return Ledger(os.dup(fd))


def left_by(fd: int) -> dict[int, Record]:
    """Return what the next process finds."""
    found = opened(fd)
    heirs = dict(found.take_over())
    found.close()
    return heirs


def test_the_next_process_reads_what_was_written(fd: int) -> None:
    before = opened(fd)
    other = RECORD._replace(inode=1 << 63, address="10.0.0.9", key="", advance=False, period=0.0)
    slots = [before.enter(record, torn=False) for record in (RECORD, other)]
    before.count(slots[1], 1 << 40, 5, 3.5)
    # No close(): it has crashed.
    expected = [RECORD, other._replace(sent=1 << 40, dropped=5, due=3.5)]
    assert left_by(fd) == dict(zip(slots, expected))
    before.close()


@pytest.mark.parametrize("key", ["\N{BELL}" * 64, "\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 64])
def test_there_is_room_for_the_longest_texts(fd: int, key: str) -> None:
    before = opened(fd)
    record = RECORD._replace(key=key, address="abcd:" * 7 + "abcd%enp0s")
    before.enter(record, torn=False)
    before.close()
    assert list(left_by(fd).values()) == [record]


def test_who_was_cleared_or_torn_or_being_written_to_is_not_found(fd: int) -> None:
    before = opened(fd)
    records = [RECORD._replace(inode=inode) for inode in range(1, 6)]
    slots = [before.enter(record, torn=record.inode == 2) for record in records]
    before.clear(slots[0])
    before.torn[slots[2]] = TORN
    before.writing[0] = slots[3]
    before.close()
    assert left_by(fd) == {slots[4]: records[4]}
    assert left_by(fd) == {slots[4]: records[4]}, "a place in the ledger is kept"


def test_who_was_being_written_to_stays_lost_though_the_next_process_ends_early(fd: int) -> None:
    before = opened(fd)
    records = [RECORD._replace(inode=inode) for inode in range(1, 4)]
    slots = [before.enter(record, torn=False) for record in records]
    before.writing[0] = slots[2]
    before.close()
    second = opened(fd)
    next(second.take_over())  # and is killed while it takes over
    second.close()
    assert list(left_by(fd).values()) == records[:2]


def test_a_slot_that_is_used_again_is_whole(fd: int) -> None:
    before = opened(fd)
    slot = before.enter(RECORD, torn=True)
    before.clear(slot)
    assert before.enter(RECORD, torn=False) == slot
    before.close()
    assert left_by(fd) == {slot: RECORD}


def test_rests_are_read_once(fd: int) -> None:
    before = opened(fd)
    slots = [before.enter(RECORD, torn=True) for _ in range(3)]
    rests = [b"a" * 100_000, b"b", b"c" * 70_000]
    for slot, rest in zip(slots, rests):
        before.leave_rest(slot, memoryview(rest))
        assert before.torn[slot] == RESUMABLE
    before.close()
    after = opened(fd)
    assert [record.rest for _, record in after.take_over()] == rests
    assert [after.torn[slot] for slot in slots] == [TORN] * 3, "until they have been sent"
    after.torn[slots[0]] = WHOLE
    after.close()
    assert left_by(fd) == {slots[0]: RECORD}
    assert os.fstat(fd).st_size == ledger.SIZE


def test_rests_are_kept_up_to_a_limit(fd: int) -> None:
    before = opened(fd)
    slots = [before.enter(RECORD, torn=True) for _ in range(5)]
    rest = b"x" * 10_000_000
    for slot in slots:
        before.leave_rest(slot, memoryview(rest))
    before.close()
    assert [record.rest for record in left_by(fd).values()] == [rest] * 3


def test_it_can_be_full(fd: int) -> None:
    before = opened(fd)
    slots = {before.enter(RECORD, torn=False) for _ in range(SLOTS)}
    assert slots == set(range(1, SLOTS + 1))
    assert before.enter(RECORD, torn=False) == 0
    before.clear(9)
    assert before.enter(RECORD, torn=False) == 9
    before.close()
    assert len(left_by(fd)) == SLOTS


def test_slot_0_stands_for_nobody(fd: int) -> None:
    before = opened(fd)
    slot = before.enter(RECORD, torn=False)
    before.writing[0] = 0
    before.torn[0] = TORN
    before.close()
    assert left_by(fd) == {slot: RECORD}


def test_garbage_loses_viewers_and_does_no_harm(fd: int) -> None:
    opened(fd).close()
    garbage = random.Random(1).randbytes(ledger.SIZE)  # noqa: S311
    os.pwrite(fd, garbage[64:], 64)
    assert ledger.is_ledger(fd)
    assert len(left_by(fd)) < SLOTS
    before = opened(fd)
    slots = [before.enter(RECORD._replace(inode=1), torn=False) for _ in range(10)]
    before.close()
    assert [left_by(fd)[slot].address for slot in slots] == ["fe80::1"] * 10


def test_other_files_are_none(fd: int) -> None:
    assert ledger.is_ledger(fd) is False, "nobody has opened it yet"
    opened(fd).close()
    assert ledger.is_ledger(fd)
    os.truncate(fd, ledger.SIZE - 1)
    assert not ledger.is_ledger(fd)
    reader, writer = os.pipe()
    assert not ledger.is_ledger(reader)
    os.close(reader)
    os.close(writer)


def test_without_a_file_it_is_memory_of_the_process() -> None:
    alone = Ledger()
    assert list(alone.take_over()) == []
    slot = alone.enter(RECORD, torn=False)
    alone.torn[slot] = TORN
    alone.writing[0] = slot
    alone.close()
