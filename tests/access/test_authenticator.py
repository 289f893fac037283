"""Authenticator: the password file, changes of it, and many guesses at the same time."""

from __future__ import annotations

import os
import threading
import time
import unicodedata
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from doorbelld.access.authenticator import Authenticator, WaitError, cookie_of
from doorbelld.access.backoff import Backoff
from doorbelld.access.budget import BURST
from doorbelld.access.password import Password, hashed
from tests.support.daemon import GUARD, eventually

WORD, OTHER = "correct horse", "battery staple"


def basic(password: str, name: str = "me") -> str:
    return f"Basic {b64encode(f'{name}:{password}'.encode()).decode()}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "password"
    found.write_text(hashed(WORD))
    return found


def rewrite(path: Path, text: str) -> None:
    """Replace the file as an editor does."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_without_a_file_there_is_no_login(tmp_path: Path) -> None:
    for authenticator in (Authenticator(None), Authenticator(tmp_path / "missing")):
        assert not authenticator.is_needed
        assert not authenticator.refresh()
        assert not authenticator.knows_basic(basic(WORD), "10.0.0.1")
        assert authenticator.cookie_for(WORD, "10.0.0.1") is None
    assert cookie_of(tmp_path / "missing") is None


@pytest.mark.parametrize("text", ["", "correct horse", "\xff", "x" * 5000])
def test_unusable_file_never_means_no_password(path: Path, text: str) -> None:
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="make one with doorbelld passwd"):
        Authenticator(path)


def test_path_that_is_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such file"):
        Authenticator(tmp_path / "missing", is_required=True)
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ""):
        with pytest.raises(ValueError, match="is no file"):
            Authenticator(tmp_path / name)


def test_cookie_and_basic_are_proof(path: Path) -> None:
    authenticator = Authenticator(path)
    assert authenticator.is_needed
    cookie = authenticator.cookie_for(WORD, "10.0.0.1")
    assert cookie
    assert authenticator.knows_cookie(cookie)
    assert authenticator.renewed_cookie(cookie) is None, "it is fresh"
    assert authenticator.knows_basic(basic(WORD), "10.0.0.1")
    assert authenticator.knows_basic(basic(WORD, "").replace("Basic", "bAsIc "), "10.0.0.1")
    assert authenticator.knows_cookie(cookie_of(path) or "")
    assert authenticator.cookie_for(OTHER, "10.0.0.1") is None
    for other in (basic(OTHER), "", "Basic", "Basic !", "Basic YQ==", "Bearer x", "Basic \xff"):
        assert not authenticator.knows_basic(other, "10.0.0.1")


def test_old_cookie_is_renewed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authenticator = Authenticator(path)
    cookie = authenticator.cookie_for(WORD, "10.0.0.1")
    assert cookie
    later = time.time() + 16 * 24 * 3600
    monkeypatch.setattr("doorbelld.access.cookies.time.time", lambda: later)
    newer = authenticator.renewed_cookie(cookie)
    assert newer
    assert newer != cookie
    assert authenticator.knows_cookie(newer)


def test_cookie_of_the_command_is_valid_for_a_minute(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = Authenticator(path)
    cookie = cookie_of(path) or ""
    assert authenticator.knows_cookie(cookie)
    assert authenticator.renewed_cookie(cookie) is None
    later = time.time() + 61
    monkeypatch.setattr("doorbelld.access.cookies.time.time", lambda: later)
    assert not authenticator.knows_cookie(cookie)


def test_program_that_asks_every_second_costs_no_scrypt(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = Authenticator(path)
    assert authenticator.knows_basic(basic(WORD), "10.0.0.1")
    monkeypatch.setattr(Password, "matches", lambda *_: pytest.fail("looked again"))
    assert authenticator.knows_basic(basic(WORD), "10.0.0.1")


def wrong(number: int) -> str:
    """Return a wrong password, another for each number."""
    return f"wrong password {number}"


def exhaust(authenticator: Authenticator, address: str, name: str = "me") -> None:
    """Guess from this address until it has to wait."""
    for number in range(5):
        assert not authenticator.knows_basic(basic(wrong(number), name), address)
    with pytest.raises(WaitError):
        authenticator.knows_basic(basic(wrong(5), f"not {name}"), address)


def test_login_of_a_program_does_not_help_to_guess(path: Path) -> None:
    authenticator = Authenticator(path)
    assert authenticator.knows_basic(basic(WORD), "10.0.0.1")
    exhaust(authenticator, "10.0.0.2")
    for guess in (OTHER, WORD):
        with pytest.raises(WaitError):
            authenticator.knows_basic(basic(guess), "10.0.0.2")
    assert authenticator.knows_basic(basic(WORD), "10.0.0.1")


def test_program_goes_on_while_its_address_waits_for_a_neighbour(path: Path) -> None:
    authenticator = Authenticator(path)
    assert authenticator.knows_basic(basic(WORD), "10.0.0.1")
    exhaust(authenticator, "10.0.0.1", "neighbour")
    for number in range(100):
        with pytest.raises(WaitError):
            authenticator.knows_basic(basic(wrong(number + 10), "neighbour"), "10.0.0.1")
    for _ in range(100):
        assert authenticator.knows_basic(basic(WORD), "10.0.0.1")
    with pytest.raises(WaitError):
        authenticator.knows_basic(basic(WORD, "neighbour"), "10.0.0.1")
    with pytest.raises(WaitError):
        authenticator.cookie_for(WORD, "10.0.0.1")


def test_few_guesses_are_compared_with_the_password_of_a_program(path: Path) -> None:
    authenticator = Authenticator(path)
    assert authenticator.knows_basic(basic(WORD), "10.0.0.1")
    exhaust(authenticator, "10.0.0.1")
    for number in range(7):
        with pytest.raises(WaitError):
            authenticator.knows_basic(basic(wrong(number + 10)), "10.0.0.1")
    assert authenticator.knows_basic(basic(WORD), "10.0.0.1")
    with pytest.raises(WaitError):
        authenticator.knows_basic(basic(wrong(20)), "10.0.0.1")
    assert not authenticator.knows_basic(basic(wrong(0)), "10.0.0.1"), "known, and no news"
    with pytest.raises(WaitError):  # An attacker that tries them all never learns which one it was.
        authenticator.knows_basic(basic(WORD), "10.0.0.1")
    assert authenticator.knows_basic(basic(WORD), "10.0.0.2"), "elsewhere it is looked at"


class SlowPassword:
    """A password whose checks wait until the test lets them go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, is_right: bool = False) -> None:
        self.looks = 0
        self.entered, self.go_on = threading.Event(), threading.Event()
        self._is_right = is_right
        self._threads: list[threading.Thread] = []
        self.results: list[object] = []
        monkeypatch.setattr(Password, "matches", self._matches)

    def _matches(self, *_: object) -> bool:
        self.looks += 1
        self.entered.set()
        assert self.go_on.wait(GUARD)
        return self._is_right

    def ask(self, look: Callable[[], object]) -> None:
        """Guess in a thread of its own; the outcome is added to the results."""

        def run() -> None:
            try:
                self.results.append(look())
            except WaitError as error:
                self.results.append(error)

        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()

    def end(self) -> None:
        """Let all guesses go on, and wait for them."""
        self.go_on.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., SlowPassword]]:
    made: list[SlowPassword] = []

    def make(*, is_right: bool = False) -> SlowPassword:
        made.append(SlowPassword(monkeypatch, is_right=is_right))
        return made[-1]

    yield make
    for each in made:
        each.end()


def queue_of(authenticator: Authenticator) -> int:
    return sum(authenticator._queue.values())


def test_program_goes_on_while_a_guess_from_its_address_is_checked(
    path: Path, slow: Callable[..., SlowPassword]
) -> None:
    authenticator = Authenticator(path)
    assert authenticator.knows_basic(basic(WORD), "10.0.0.1")
    door = slow()
    door.ask(lambda: authenticator.knows_basic(basic(OTHER), "10.0.0.1"))
    assert door.entered.wait(GUARD)
    assert authenticator.knows_basic(basic(WORD), "10.0.0.1")


def test_login_of_a_program_does_not_help_to_guess_at_the_same_time(
    path: Path, slow: Callable[..., SlowPassword]
) -> None:
    authenticator = Authenticator(path)
    assert authenticator.knows_basic(basic(WORD), "10.0.0.1")
    door = slow()
    for number in range(4):
        door.ask(partial(authenticator.knows_basic, basic(wrong(number)), "10.0.0.1"))
    eventually(lambda: queue_of(authenticator) == 4, "four in line")
    for number in range(10, 20):
        with pytest.raises(WaitError) as waiting:
            authenticator.knows_basic(basic(wrong(number)), "10.0.0.1")
        assert waiting.value.is_busy
    with pytest.raises(WaitError):
        authenticator.knows_basic(basic(WORD), "10.0.0.1")
    door.end()
    assert door.results == [False] * 4
    assert authenticator.knows_basic(basic(WORD), "10.0.0.1"), "they have been counted"


def test_many_requests_of_one_program_are_checked_once(
    path: Path, slow: Callable[..., SlowPassword]
) -> None:
    authenticator, door = Authenticator(path), slow(is_right=True)
    for _ in range(10):
        door.ask(lambda: authenticator.knows_basic(basic(WORD), "10.0.0.1"))
    eventually(lambda: queue_of(authenticator) == 10, "ten in line")
    door.end()
    assert door.results == [True] * 10
    assert door.looks == 1


def test_right_password_in_the_queue_behind_wrong_ones_is_checked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = Authenticator(path)
    go_on, matches = threading.Event(), Password.matches

    def late(password: Password, guess: str) -> bool:
        assert go_on.wait(GUARD)
        return matches(password, guess)

    monkeypatch.setattr(Password, "matches", late)
    found: list[bool] = []

    def ask(guess: str) -> None:
        found.append(authenticator.knows_basic(basic(guess), "10.0.0.1"))

    asking = [threading.Thread(target=ask, args=(each,)) for each in (*map(wrong, range(3)), WORD)]
    for thread in asking:
        thread.start()
    eventually(lambda: queue_of(authenticator) == 4, "four in line")
    go_on.set()
    for thread in asking:
        thread.join()
    assert sorted(found) == [False, False, False, True]


def test_same_wrong_guess_counts_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authenticator = Authenticator(path)
    assert not authenticator.knows_basic(basic(OTHER), "10.0.0.1")
    assert authenticator.cookie_for(OTHER, "10.0.0.1") is None
    with monkeypatch.context() as patch:
        patch.setattr(Password, "matches", lambda *_: pytest.fail("looked again"))
        for number in range(50):
            assert not authenticator.knows_basic(basic(OTHER, f"program {number}"), "10.0.0.1")
            assert authenticator.cookie_for(OTHER, "10.0.0.1") is None
    for number in range(4):
        assert not authenticator.knows_basic(basic(wrong(number)), "10.0.0.1")
    assert not authenticator.knows_basic(basic(OTHER), "10.0.0.1"), (
        "it gets an answer, and does not wait"
    )
    with pytest.raises(WaitError):
        authenticator.knows_basic(basic(WORD), "10.0.0.1")


def test_old_password_may_be_the_next(path: Path) -> None:
    authenticator = Authenticator(path)
    exhaust(authenticator, "10.0.0.1")
    rewrite(path, hashed(wrong(0)))
    assert authenticator.refresh()
    assert authenticator.knows_basic(basic(wrong(0)), "10.0.0.1")
    assert not authenticator.knows_basic(basic(WORD), "10.0.0.1")


UMLAUTS = "T\u00fcrklingel \u00e4\u00f6"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_basic_may_be_encoded_either_way(path: Path, encoding: str) -> None:
    rewrite(path, hashed(unicodedata.normalize("NFD", UMLAUTS)))
    header = f"Basic {b64encode(f'me:{UMLAUTS}'.encode(encoding)).decode()}"
    assert Authenticator(path).knows_basic(header, "10.0.0.1")


def test_latin_1_that_is_also_valid_utf_8_is_right(path: Path) -> None:
    password = "M\u00c3\u00bcller & Sohn"  # In Latin-1 these are the bytes of M\u00fcller.
    rewrite(path, hashed(password))
    header = f"Basic {b64encode(f'me:{password}'.encode('latin-1')).decode()}"
    assert Authenticator(path).knows_basic(header, "10.0.0.1")


def test_wrong_guess_counts_once_in_every_encoding(path: Path) -> None:
    authenticator = Authenticator(path)
    for number in range(5):
        assert not authenticator.knows_basic(basic(f"{UMLAUTS}{number}"), "10.0.0.1")
    with pytest.raises(WaitError):
        authenticator.knows_basic(basic(UMLAUTS), "10.0.0.1")


def test_what_is_remembered_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Password, "matches", lambda _, guess: guess == WORD)
    monkeypatch.setattr("doorbelld.access.backoff.Backoff.seconds_to_wait", lambda *_: 0)
    authenticator = Authenticator(path)
    for number in range(3000):
        assert not authenticator.knows_basic(basic(OTHER), f"10.0.{number >> 8}.{number & 255}")
        assert authenticator.knows_basic(basic(WORD, f"{number}"), "10.1.0.1")
    secret = authenticator._secret
    assert secret
    assert (len(secret._wrong), len(secret._right), len(secret._programs)) == (1024, 1, 64)


def test_change_of_the_password_ends_what_the_old_one_opened(path: Path) -> None:
    authenticator = Authenticator(path)
    cookie = authenticator.cookie_for(WORD, "10.0.0.1") or ""
    assert authenticator.knows_basic(basic(WORD), "10.0.0.1")
    assert not authenticator.refresh()
    rewrite(path, hashed(OTHER))
    assert authenticator.refresh()
    assert not authenticator.refresh(), "once"
    assert not authenticator.knows_cookie(cookie)
    assert not authenticator.knows_basic(basic(WORD), "10.0.0.1")
    assert authenticator.knows_basic(basic(OTHER), "10.0.0.1")


def test_same_password_written_again_ends_nothing(path: Path) -> None:
    authenticator = Authenticator(path)
    rewrite(path, path.read_text())
    assert not authenticator.refresh()


def test_without_the_password_all_may_watch(path: Path) -> None:
    authenticator = Authenticator(path)
    path.unlink()
    assert authenticator.refresh()
    assert not authenticator.is_needed


def test_trouble_with_the_file_changes_nothing_and_is_logged_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authenticator = Authenticator(path, is_required=True)
    cookie = authenticator.cookie_for(WORD, "10.0.0.1") or ""
    for trouble in ("garbage", None):
        caplog.clear()
        rewrite(path, trouble) if trouble else path.unlink()
        assert not authenticator.refresh()
        assert not authenticator.refresh()
        assert len(caplog.messages) == 1
        assert caplog.messages[0].startswith(f"{path}: ")
        assert authenticator.knows_cookie(cookie)
    path.write_text(hashed(OTHER))
    assert authenticator.refresh(), "it has kept looking"


def test_wrong_guesses_make_their_address_wait_and_no_other(path: Path) -> None:
    authenticator = Authenticator(path)
    for number in range(5):
        assert authenticator.cookie_for(wrong(number), "10.0.0.1") is None
    with pytest.raises(WaitError) as waiting:
        authenticator.cookie_for(WORD, "10.0.0.1")
    assert waiting.value.seconds == 2
    assert not waiting.value.is_busy
    assert authenticator.cookie_for(WORD, "10.0.0.2")


def test_one_address_cannot_take_every_place_in_the_queue(
    path: Path, slow: Callable[..., SlowPassword]
) -> None:
    authenticator, door = Authenticator(path), slow(is_right=True)
    for number in range(4):
        door.ask(partial(authenticator.cookie_for, wrong(number), "10.0.0.1"))
    eventually(lambda: queue_of(authenticator) == 4, "four in line")
    with pytest.raises(WaitError) as waiting:
        authenticator.cookie_for(WORD, "10.0.0.1")
    assert waiting.value.is_busy
    door.ask(lambda: authenticator.cookie_for(WORD, "10.0.0.2"))
    eventually(lambda: queue_of(authenticator) == 5, "another address has its place")
    door.end()
    assert all(door.results), door.results


def test_queue_is_bounded(path: Path, slow: Callable[..., SlowPassword]) -> None:
    authenticator, door = Authenticator(path), slow()
    for number in range(16):
        door.ask(partial(authenticator.cookie_for, OTHER, f"10.0.0.{number}"))
    eventually(lambda: queue_of(authenticator) == 16, "the line is full")
    with pytest.raises(WaitError) as waiting:
        authenticator.cookie_for(WORD, "10.0.1.1")
    assert waiting.value.is_busy


def test_guesses_from_many_addresses_share_a_budget(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matches = Password.matches
    authenticator = Authenticator(path)
    assert authenticator.cookie_for(WORD, "10.0.0.1")
    assert authenticator.knows_basic(basic(WORD), "10.0.0.2")
    monkeypatch.setattr(Password, "matches", lambda _, guess: guess == WORD)
    looked_at, waits = 0, []
    for number in range(1000):
        address = f"10.1.{number >> 8}.{number & 255}"
        try:
            if number % 2:
                assert authenticator.cookie_for(OTHER, address) is None
            else:
                assert not authenticator.knows_basic(basic(OTHER), address)
            looked_at += 1
        except WaitError as error:
            waits.append((error.is_busy, 0 < error.seconds <= 256 * 6))
    assert set(waits) == {(False, True)}
    assert BURST <= looked_at <= BURST + 20, "the form and HTTP Basic share it"
    monkeypatch.setattr(Password, "matches", matches)
    with pytest.raises(WaitError):
        authenticator.cookie_for(WORD, "10.2.0.1")
    assert authenticator.cookie_for(WORD, "10.0.0.1"), "it has logged in before"
    assert authenticator.cookie_for(WORD, "10.0.0.2"), "and so has the program there"


def test_guesses_at_the_same_time_share_the_budget(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    def matches(_: Password, guess: str) -> bool:
        looks.append(guess)
        return False

    monkeypatch.setattr(Password, "matches", matches)
    authenticator = Authenticator(path)
    for number in range(BURST - 4):
        assert authenticator.cookie_for(OTHER, f"10.0.0.{number}") is None
    with authenticator._one_at_a_time:
        asking = []
        for number in range(16):
            thread = threading.Thread(
                target=ignoring_waits, args=(authenticator, f"10.0.1.{number}")
            )
            thread.start()
            asking.append(thread)
        eventually(lambda: queue_of(authenticator) == 16, "all were let into the line")
    for thread in asking:
        thread.join()
    assert BURST <= len(looks) <= BURST + 3


def ignoring_waits(authenticator: Authenticator, address: str) -> None:
    with suppress(WaitError):
        authenticator.cookie_for(OTHER, address)


def fail(backoff: Backoff, address: str, count: int) -> None:
    for _ in range(count):
        backoff.failed(address)


def test_guesses_over_ipv6_delay_no_other_address_of_the_house() -> None:
    backoff = Backoff()
    for network in ("fe80:", "2001:db8:1:2:"):
        fail(backoff, f"{network}:1", 20)
        assert backoff.seconds_to_wait(f"{network}:1")
        assert not backoff.seconds_to_wait(f"{network}:2")


def test_many_ipv6_addresses_of_one_network_wait_as_one() -> None:
    backoff = Backoff()
    for number in range(200):
        backoff.failed(f"2001:db8:1:2::{number:x}")
    assert backoff.seconds_to_wait("2001:db8:1:2::ffff")
    assert not backoff.seconds_to_wait("2001:db8:1:3::1")
    fail(backoff, "2001:db8:1:2::1", 1)
    assert not backoff.seconds_to_wait("2001:db8:1:2::1"), "it slipped twice, of its own"


def test_forgotten_addresses_do_not_count_as_many() -> None:
    backoff = Backoff()
    for number in range(200):
        backoff.failed(f"2001:db8::{number:x}")
        backoff.succeeded(f"2001:db8::{number:x}")
    fail(backoff, "2001:db8::1", 20)
    assert not backoff.seconds_to_wait("2001:db8::ffff")


def test_address_that_has_logged_in_never_waits_for_its_network() -> None:
    backoff = Backoff()
    backoff.succeeded("2001:db8:1:2::1")
    for number in range(200):
        backoff.failed(f"2001:db8:1:2::1:{number:x}")
    assert backoff.seconds_to_wait("2001:db8:1:2::ffff")
    assert not backoff.seconds_to_wait("2001:db8:1:2::1")
    fail(backoff, "2001:db8:1:2::1", 6)
    assert backoff.seconds_to_wait("2001:db8:1:2::1"), "for its own guesses it does"
