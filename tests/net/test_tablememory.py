from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from doorbelld.net import tablememory
from doorbelld.net.tablememory import ROWS, Row, TableMemory
from doorbelld.net.viewerrecord import (
    BEGUN,
    RESUMABLE,
    RESUMABLE_BEGUN,
    TORN,
    WHOLE,
    ViewerRecord,
)

RECORD = ViewerRecord("fe80::1", "kitchen \N{BELL}", 0.5, True, 1e9 + 0.25, 10, 3, 12.75)


@pytest.fixture
def fd() -> Iterator[int]:
    found = tablememory.create()
    yield found
    os.close(found)


def opened(fd: int) -> TableMemory:
    """Map the file, as another process would."""
    return TableMemory(os.dup(fd))


def left_by(fd: int) -> dict[int, ViewerRecord]:
    """Return what the next process finds."""
    found = opened(fd)
    rows = {row.number: row.record for row in found.take_over()}
    found.close()
    return rows


def test_next_process_reads_what_was_written(fd: int) -> None:
    before = opened(fd)
    other = replace(RECORD, address="10.0.0.9", key="", advance=False, period=0.0)
    numbers = [before.add(7, RECORD, torn=False), before.add(1 << 63, other, torn=False)]
    before.update(numbers[1], 1 << 40, 5, 3.5, 0)
    # No close(): it has crashed.
    after = opened(fd)
    other = replace(other, sent=1 << 40, dropped=5, due=3.5)
    assert list(after.take_over()) == [Row(numbers[0], 7, RECORD), Row(numbers[1], 1 << 63, other)]
    after.close()
    before.close()


def test_tier_may_change_and_nothing_else_does(fd: int) -> None:
    record = replace(RECORD, news=True, auto=True)
    before = opened(fd)
    row = before.add(1, record, torn=False)
    for tier in (7, 2, 5):
        before.update(row, record.sent, record.dropped, record.due, tier)
        assert left_by(fd) == {row: replace(record, tier=tier)}
    before.close()


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize(
    "more",
    [
        {"news": True},
        {"news": True, "pictures": False},
        {"news": True, "auto": True, "tier": 7},
        {"auto": True, "tier": 1},
        {"advance": True, "auto": True},
    ],
    ids=str,
)
def test_next_process_reads_what_kind_of_viewer_it_is(
    fd: int, more: dict[str, Any], torn: bool
) -> None:
    record = replace(RECORD, **{"advance": False, **more})
    before = opened(fd)
    row = before.add(1, record, torn=torn)
    if torn:
        before.set_rest(row, memoryview(b"rest"))
    before.close()
    assert left_by(fd) == {row: replace(record, rest=b"rest" if torn else b"")}
    assert left_by(fd) == ({} if torn else {row: record}), "a rest is read once"


def test_older_daemon_continues_only_what_it_understands(fd: int) -> None:
    """It takes any other byte than 0 for the form of browsers, and knows five states of a row."""
    before = opened(fd)
    exact = replace(RECORD, advance=False)
    page = replace(exact, news=True)
    kinds = [RECORD, exact, replace(RECORD, auto=True), page, replace(exact, auto=True), page]
    rows = [before.add(1, record, torn=False) for record in kinds]
    before.set_rest(rows[-1], memoryview(b"rest"))
    is_known = [
        before.torn[row] in (WHOLE, TORN, RESUMABLE, BEGUN, RESUMABLE_BEGUN) for row in rows
    ]
    assert is_known == [True, True, True, False, False, False]
    flags = [os.pread(fd, 1, 40960 + (row - 1) * 367 + 46 + 256 + 8)[0] for row in rows]
    assert [bool(byte) for byte in flags] == [True, False, True, True, True, True]
    assert flags[:2] == [1, 0], "exactly what it writes itself"
    before.close()


@pytest.mark.parametrize("key", ["\N{BELL}" * 64, "\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 64])
def test_there_is_room_for_the_longest_texts(fd: int, key: str) -> None:
    before = opened(fd)
    record = replace(RECORD, key=key, address="abcd:" * 7 + "abcd%enp0s")
    before.add(1, record, torn=False)
    before.close()
    assert list(left_by(fd).values()) == [record]


def test_viewer_removed_or_torn_or_being_written_to_is_not_found(fd: int) -> None:
    before = opened(fd)
    rows = [before.add(inode, RECORD, torn=inode == 2) for inode in range(1, 6)]
    before.remove(rows[0])
    before.torn[rows[2]] = TORN
    before.writing[0] = rows[3]
    before.close()
    assert left_by(fd) == {rows[4]: RECORD}
    assert left_by(fd) == {rows[4]: RECORD}, "a row is kept"


def test_viewer_being_written_to_stays_lost_though_the_next_process_ends_early(fd: int) -> None:
    before = opened(fd)
    records = [replace(RECORD, sent=sent) for sent in range(3)]
    rows = [before.add(1 + record.sent, record, torn=False) for record in records]
    before.writing[0] = rows[2]
    before.close()
    second = opened(fd)
    next(second.take_over())  # and is killed while it takes over
    second.close()
    assert list(left_by(fd).values()) == records[:2]


def test_row_that_is_used_again_is_whole(fd: int) -> None:
    before = opened(fd)
    row = before.add(1, RECORD, torn=True)
    before.remove(row)
    assert before.add(1, RECORD, torn=False) == row
    before.close()
    assert left_by(fd) == {row: RECORD}


def test_rests_are_read_once(fd: int) -> None:
    before = opened(fd)
    rows = [before.add(1, RECORD, torn=True) for _ in range(3)]
    rests = [b"a" * 100_000, b"b", b"c" * 70_000]
    for row, rest in zip(rows, rests):
        before.set_rest(row, memoryview(rest))
        assert before.torn[row] == RESUMABLE
    before.close()
    after = opened(fd)
    assert [row.record.rest for row in after.take_over()] == rests
    assert [after.torn[row] for row in rows] == [TORN] * 3, "until they have been sent"
    after.torn[rows[0]] = WHOLE
    after.close()
    assert left_by(fd) == {rows[0]: RECORD}
    assert os.fstat(fd).st_size == tablememory.SIZE


def test_program_of_an_older_daemon_first_gets_the_boundary_of_the_next_part(fd: int) -> None:
    before = opened(fd)
    exact = replace(RECORD, advance=False)
    browser, program, unfinished, torn = (
        before.add(1 + number, record, torn=number > 1)
        for number, record in enumerate([RECORD, exact, exact, exact])
    )
    before.set_rest(unfinished, memoryview(b"rest"))
    rows = (browser, program, unfinished, torn)
    assert [before.torn[row] for row in rows] == [WHOLE, BEGUN, RESUMABLE_BEGUN, TORN]
    before.torn[program], before.torn[unfinished] = WHOLE, RESUMABLE  # as the older one did
    before.close()
    expected = {
        browser: RECORD,
        program: replace(exact, rest=b"--frame\r\n"),
        unfinished: replace(exact, rest=b"rest--frame\r\n"),
    }
    assert left_by(fd) == expected
    assert left_by(fd) == {browser: RECORD, program: expected[program]}, "not sent yet"


def test_rests_are_kept_up_to_a_limit(fd: int) -> None:
    before = opened(fd)
    rows = [before.add(1, RECORD, torn=True) for _ in range(5)]
    rest = b"x" * 10_000_000
    for row in rows:
        before.set_rest(row, memoryview(rest))
    before.close()
    assert [record.rest for record in left_by(fd).values()] == [rest] * 3


def test_full_memory_takes_no_more_until_a_row_is_free(fd: int) -> None:
    before = opened(fd)
    rows = {before.add(1, RECORD, torn=False) for _ in range(ROWS)}
    assert rows == set(range(1, ROWS + 1))
    assert before.add(1, RECORD, torn=False) == 0
    before.remove(9)
    assert before.add(1, RECORD, torn=False) == 9
    before.close()
    assert len(left_by(fd)) == ROWS


def test_row_0_stands_for_no_viewer(fd: int) -> None:
    before = opened(fd)
    row = before.add(1, RECORD, torn=False)
    before.writing[0] = 0
    before.torn[0] = TORN
    before.close()
    assert left_by(fd) == {row: RECORD}


def test_garbage_loses_viewers_and_does_no_harm(fd: int) -> None:
    opened(fd).close()
    garbage = random.Random(1).randbytes(tablememory.SIZE)  # noqa: S311
    os.pwrite(fd, garbage[64:], 64)
    assert tablememory.is_readable(fd)
    assert len(left_by(fd)) < ROWS
    before = opened(fd)
    rows = [before.add(1, RECORD, torn=False) for _ in range(10)]
    before.close()
    assert [left_by(fd)[row].address for row in rows] == ["fe80::1"] * 10


def test_other_files_are_not_readable(fd: int) -> None:
    assert tablememory.is_readable(fd) is False, "no process has mapped it yet"
    opened(fd).close()
    assert tablememory.is_readable(fd)
    os.truncate(fd, tablememory.SIZE - 1)
    assert not tablememory.is_readable(fd)
    reader, writer = os.pipe()
    assert not tablememory.is_readable(reader)
    os.close(reader)
    os.close(writer)


def test_without_a_file_it_is_memory_of_the_process() -> None:
    alone = TableMemory()
    assert list(alone.take_over()) == []
    row = alone.add(1, RECORD, torn=False)
    alone.torn[row] = TORN
    alone.writing[0] = row
    alone.close()


def test_layout_is_the_one_that_earlier_versions_write(fd: int) -> None:
    """Or an update would close the streams. Another layout needs another version in the magic."""
    row, at = 3, 40960 + 2 * 367
    os.pwrite(fd, b"doorbelld's viewers, version 2\n\0", 0)
    os.pwrite(fd, b"password's id".ljust(16, b"\0"), 40)
    os.pwrite(fd, b"\2", 64 + row)  # torn, with a rest
    os.pwrite(fd, struct.pack("=Q", 7), 8192 + 8 * row)
    text = (b"10.0.0.9", b"kitchen", 0.5, True, 12.5, b"ticket 1")
    os.pwrite(fd, struct.pack("=46s256sd?d8s", *text), at)
    os.pwrite(fd, struct.pack("=QQdQQ", 10, 3, 13.5, tablememory.SIZE, 4), at + 327)
    os.pwrite(fd, b"rest", tablememory.SIZE)
    assert tablememory.SIZE == 40960 + 4000 * 367
    assert tablememory.is_readable(fd)
    found = opened(fd)
    assert found.has_password_id(b"password's id")
    expected = ViewerRecord(
        *("10.0.0.9", "kitchen", 0.5, True, 12.5, 10, 3, 13.5), ticket=b"ticket 1", rest=b"rest"
    )
    assert list(found.take_over()) == [Row(row, 7, expected)]
    found.close()
