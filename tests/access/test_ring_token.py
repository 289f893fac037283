"""The token for ringing: its file, and what becomes of it while the daemon runs."""

from __future__ import annotations

import errno
import logging
import os
import re
from pathlib import Path

import pytest

from doorbelld.access.ring_token import RingToken, new_token, read_token
from doorbelld.system import secretfile
from tests.support.daemon import eventually

GOOD = "a" * 22


def write(path: Path, text: str) -> None:
    """Replace the file in one step, as an editor does."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o600)
    new.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ring_token"


def test_file_is_made_for_the_service_alone(path: Path) -> None:
    token = RingToken(path)
    assert path.stat().st_mode & 0o777 == 0o600
    (line,) = path.read_text().splitlines()
    assert re.fullmatch(r"[\w-]{32}", line)
    assert token.check(line)
    assert list(path.parent.iterdir()) == [path]


def test_file_that_is_there_stays_as_it_is(path: Path) -> None:
    write(path, f"  {GOOD} \n")
    token = RingToken(path)
    assert token.check(GOOD)
    assert path.read_text() == f"  {GOOD} \n"


def test_only_the_whole_token_is_right(path: Path) -> None:
    write(path, GOOD)
    token = RingToken(path)
    for wrong in ("", GOOD[:-1], GOOD + "a", f"{GOOD}\n", GOOD.upper(), "\udcff", "\xff", "ü" * 22):
        assert not token.check(wrong)


def test_new_token_replaces_the_old_one_at_once(path: Path) -> None:
    write(path, GOOD)
    token = RingToken(path)
    other = new_token()
    write(path, other)
    assert not token.check(GOOD)
    assert token.check(other)


def test_file_that_is_deleted_is_made_again(path: Path) -> None:
    write(path, GOOD)
    token = RingToken(path)
    path.unlink()
    assert not token.check(GOOD)
    assert token.check(read_token(path) or "")


@pytest.mark.parametrize("content", ["", "a" * 21, "a b" * 10, "a" * 201, "ä" * 30, "a\n" * 30])
def test_garbage_rings_nothing_and_is_logged_once(
    path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, content)
    token = RingToken(path)
    assert not token.check(content)
    assert not token.check("")
    assert caplog.messages == [
        f"{path}: holds no token: delete it, and a new one is made; it rings nothing"
    ]
    assert path.read_text() == content
    write(path, GOOD)
    assert token.check(GOOD)


def test_folder_in_place_of_the_file(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.mkdir()
    assert not RingToken(path).check("")
    assert caplog.messages == [f"{path}: is no file; it rings nothing"]


def test_without_its_folder_it_is_made_when_that_appears(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = path.parent / "folder" / path.name
    token = RingToken(path)
    assert not token.check("")
    assert not caplog.messages, "it is usual for a daemon that is started by hand"
    path.parent.mkdir()
    token.check("")
    assert token.check(read_token(path) or "")


def test_others_may_read_it(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(path, GOOD)
    path.chmod(0o644)
    token = RingToken(path)
    assert token.check(GOOD)
    assert caplog.messages == [
        f"{path}: every user of this machine may read it: sudo chmod 600 {path}"
    ]
    path.chmod(0o640)
    assert token.check(GOOD)
    path.chmod(0o604)
    assert eventually(lambda: token.check(GOOD), "it rings")
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(("number", "stays"), [(errno.EACCES, False), (errno.EMFILE, True)])
def test_file_that_cannot_be_read_any_more(
    path: Path,
    number: int,
    stays: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(path, GOOD)
    token = RingToken(path)

    def refuse(_: Path) -> str:
        raise OSError(number, os.strerror(number))

    write(path, new_token())
    monkeypatch.setattr(secretfile, "read", refuse)
    assert token.check(GOOD) is stays
    assert token.check(GOOD) is stays
    assert len(caplog.messages) == 1
    monkeypatch.undo()
    path.touch()
    assert not token.check(GOOD)
    assert token.check(read_token(path) or "")


def test_without_a_file_nothing_is_right() -> None:
    assert not RingToken(None).check("")


def test_answer_token_is_of_one_visit_and_of_one_ring_token(path: Path) -> None:
    write(path, GOOD)
    token = RingToken(path)
    first = token.answer_token(1)
    assert re.fullmatch(r"[\w-]{32}", first)
    assert token.check_answer(1, first)
    assert not token.check_answer(2, first)
    assert not token.check(first), "it does not ring"
    for wrong in ("", GOOD, first[:-1], f"{first}a", "\udcff"):
        assert not token.check_answer(1, wrong)
    write(path, new_token())
    assert not token.check_answer(1, first)
    assert token.answer_token(1) != first


def test_without_a_ring_token_nothing_answers() -> None:
    token = RingToken(None)
    assert token.answer_token(1) == ""
    assert not token.check_answer(1, "")
