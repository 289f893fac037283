"""The running daemon gets every kind of request, and many things that are none."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.answers import HASTE, Answer, ask
from tests.fuzz.corpus import CORPUS, Kept
from tests.fuzz.grammar import conversations
from tests.support.cost import assert_cheap_for
from tests.support.daemon import ROOT, Daemon, eventually
from tests.support.fuzzing import examples

pytestmark = pytest.mark.process

SMALLEST = ROOT / ".cache" / "fuzz" / "request"
"""The failing example that hypothesis tries last is the smallest one."""


def is_well(daemon: Daemon, log_before: int) -> None:
    """Check that the daemon works as before, and has logged no error."""
    eventually(lambda: _is_served(daemon), "an answer")
    log = daemon.log()[log_before:]
    assert "Traceback" not in log, log
    assert [letter for letter in log if not letter.isprintable() and letter != "\n"] == []


def _is_served(daemon: Daemon) -> bool:
    started = time.monotonic()
    try:
        answer, _ = daemon.request("/healthz")
    except ConnectionError:
        assert time.monotonic() - started > HASTE, "closed, though this machine did not dawdle"
        return False
    assert answer.status == 200
    return True


@contextmanager
def kept_if_it_fails(chunks: list[bytes]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        SMALLEST.parent.mkdir(parents=True, exist_ok=True)
        SMALLEST.write_bytes(b"".join(chunks))
        raise


@functools.cache
def open_to_all(daemon: Daemon) -> set[bytes]:
    """Return every body that a client without the password may get; HEAD gets an empty one."""
    paths = ("/healthz", "/login", "/login.css", "/login.js")
    return {b"", *(daemon.request(path)[1] for path in paths)}


def shows_nothing(daemon: Daemon, answers: list[Answer]) -> None:
    for answer in answers:
        assert not answer.is_stream
        assert answer.status != HTTPStatus.OK or answer.body in open_to_all(daemon)


@pytest.mark.parametrize("kept", CORPUS, ids=lambda kept: kept.name)
def test_requests_that_are_kept(doorbell: Daemon, kept: Kept) -> None:
    log_before = len(doorbell.log())
    answers = ask(doorbell, [kept.data], hang_up=True)
    assert tuple(answer.status for answer in answers) == kept.statuses
    is_well(doorbell, log_before)


ENDINGS = st.sampled_from([True] * 9 + [False])
"""Whether the client hangs up. If not, the daemon has to, after a while."""


@given(conversations(), ENDINGS)
@examples(250)
def test_any_request_is_answered_properly_or_the_connection_closed(
    hasty_doorbell: Daemon, chunks: list[bytes], hang_up: bool
) -> None:
    log_before = len(hasty_doorbell.log())
    with kept_if_it_fails(chunks), assert_cheap_for(hasty_doorbell.pid, sum(map(len, chunks))):
        ask(hasty_doorbell, chunks, hang_up=hang_up)
        is_well(hasty_doorbell, log_before)


@pytest.mark.parametrize("kept", CORPUS, ids=lambda kept: kept.name)
def test_no_request_that_is_kept_finds_a_way_past_the_password(
    locked_doorbell: Daemon, kept: Kept
) -> None:
    shows_nothing(locked_doorbell, ask(locked_doorbell, [kept.data]))


@given(conversations(), ENDINGS)
@examples(100)
def test_no_request_finds_a_way_past_the_password(
    locked_doorbell: Daemon, chunks: list[bytes], hang_up: bool
) -> None:
    log_before = len(locked_doorbell.log())
    with kept_if_it_fails(chunks):
        shows_nothing(locked_doorbell, ask(locked_doorbell, chunks, hang_up=hang_up))
        is_well(locked_doorbell, log_before)
