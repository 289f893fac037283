"""Login: the file that keeps the password, while it changes and while many guess."""

from __future__ import annotations

import os
import threading
import time
from base64 import b64encode
from pathlib import Path

import pytest

from doorbelld.backoff import Backoff
from doorbelld.login import Login, WaitError, cookie_of
from doorbelld.password import Password, hashed

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
    for login in (Login(None), Login(tmp_path / "missing")):
        assert not login.is_needed
        assert not login.refresh()
        assert not login.knows_basic(basic(WORD), "10.0.0.1")
        assert login.cookie_for(WORD, "10.0.0.1") is None
    assert cookie_of(tmp_path / "missing") is None


@pytest.mark.parametrize("text", ["", "correct horse", "\xff", "x" * 5000])
def test_a_file_that_is_no_use_never_means_no_password(path: Path, text: str) -> None:
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="make one with doorbelld passwd"):
        Login(path)


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such file"):
        Login(tmp_path / "missing", is_required=True)
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ""):
        with pytest.raises(ValueError, match="is no file"):
            Login(tmp_path / name)


def test_cookie_and_basic_are_proof(path: Path) -> None:
    login = Login(path)
    assert login.is_needed
    cookie = login.cookie_for(WORD, "10.0.0.1")
    assert cookie
    assert login.knows_cookie(cookie)
    assert login.renewed_cookie(cookie) is None, "it is fresh"
    assert login.knows_basic(basic(WORD), "10.0.0.1")
    assert login.knows_basic(basic(WORD, "").replace("Basic", "bAsIc "), "10.0.0.1")
    assert login.knows_cookie(cookie_of(path) or "")
    assert login.cookie_for(OTHER, "10.0.0.1") is None
    for other in (basic(OTHER), "", "Basic", "Basic !", "Basic YQ==", "Bearer x", "Basic \xff"):
        assert not login.knows_basic(other, "10.0.0.1")


def test_old_cookie_is_renewed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    login = Login(path)
    cookie = login.cookie_for(WORD, "10.0.0.1")
    assert cookie
    later = time.time() + 16 * 24 * 3600
    monkeypatch.setattr("doorbelld.cookies.time.time", lambda: later)
    newer = login.renewed_cookie(cookie)
    assert newer
    assert newer != cookie
    assert login.knows_cookie(newer)


def test_what_opens_the_daemon_to_the_command_is_good_for_that_moment_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = Login(path)
    cookie = cookie_of(path) or ""
    assert login.knows_cookie(cookie)
    assert login.renewed_cookie(cookie) is None
    later = time.time() + 61
    monkeypatch.setattr("doorbelld.cookies.time.time", lambda: later)
    assert not login.knows_cookie(cookie)


def test_program_that_asks_every_second_costs_no_scrypt(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = Login(path)
    assert login.knows_basic(basic(WORD), "10.0.0.1")
    monkeypatch.setattr(Password, "matches", lambda *_: pytest.fail("looked again"))
    assert login.knows_basic(basic(WORD), "10.0.0.1")


def test_what_a_program_has_shown_helps_nobody_who_guesses(path: Path) -> None:
    login = Login(path)
    assert login.knows_basic(basic(WORD), "10.0.0.1")
    for _ in range(5):
        assert not login.knows_basic(basic(OTHER), "10.0.0.2")
    for guess in (OTHER, WORD):
        with pytest.raises(WaitError):
            login.knows_basic(basic(guess), "10.0.0.2")
    assert login.knows_basic(basic(WORD), "10.0.0.1")


def test_what_a_program_has_shown_helps_nobody_who_guesses_beside_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = Login(path)
    assert login.knows_basic(basic(WORD), "10.0.0.1")
    entered, go_on = threading.Event(), threading.Event()

    def slow(*_: object) -> bool:
        entered.set()
        go_on.wait(30)
        return False

    monkeypatch.setattr(Password, "matches", slow)
    guess = threading.Thread(target=login.knows_basic, args=(basic(OTHER), "10.0.0.1"))
    guess.start()
    assert entered.wait(30)
    with pytest.raises(WaitError) as waiting:
        login.knows_basic(basic(WORD), "10.0.0.1")
    assert waiting.value.is_busy
    go_on.set()
    guess.join()


def test_change_of_the_password_ends_what_the_old_one_opened(path: Path) -> None:
    login = Login(path)
    cookie = login.cookie_for(WORD, "10.0.0.1") or ""
    assert login.knows_basic(basic(WORD), "10.0.0.1")
    assert not login.refresh()
    rewrite(path, hashed(OTHER))
    assert login.refresh()
    assert not login.refresh(), "once"
    assert not login.knows_cookie(cookie)
    assert not login.knows_basic(basic(WORD), "10.0.0.1")
    assert login.knows_basic(basic(OTHER), "10.0.0.1")


def test_same_password_written_again_ends_nothing(path: Path) -> None:
    login = Login(path)
    rewrite(path, path.read_text())
    assert not login.refresh()


def test_password_that_is_removed_lets_all_in(path: Path) -> None:
    login = Login(path)
    path.unlink()
    assert login.refresh()
    assert not login.is_needed


def test_trouble_with_the_file_changes_nothing_and_is_told_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    login = Login(path, is_required=True)
    cookie = login.cookie_for(WORD, "10.0.0.1") or ""
    for trouble in ("garbage", None):
        caplog.clear()
        rewrite(path, trouble) if trouble else path.unlink()
        assert not login.refresh()
        assert not login.refresh()
        assert len(caplog.messages) == 1
        assert caplog.messages[0].startswith(f"{path}: ")
        assert login.knows_cookie(cookie)
    path.write_text(hashed(OTHER))
    assert login.refresh(), "it has kept looking"


def test_wrong_guesses_make_their_address_wait_and_no_other(path: Path) -> None:
    login = Login(path)
    for _ in range(5):
        assert login.cookie_for(OTHER, "10.0.0.1") is None
    with pytest.raises(WaitError) as waiting:
        login.cookie_for(WORD, "10.0.0.1")
    assert waiting.value.seconds == 2
    assert not waiting.value.is_busy
    assert login.cookie_for(WORD, "10.0.0.2")


def test_one_address_takes_one_turn_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    login = Login(path)
    entered, go_on = threading.Event(), threading.Event()

    def slow(*_: object) -> bool:
        entered.set()
        return go_on.wait(30)

    monkeypatch.setattr(Password, "matches", slow)
    first = threading.Thread(target=login.cookie_for, args=(WORD, "10.0.0.1"))
    second = threading.Thread(target=login.cookie_for, args=(WORD, "10.0.0.2"))
    first.start()
    assert entered.wait(30)
    second.start()
    with pytest.raises(WaitError) as waiting:
        login.cookie_for(WORD, "10.0.0.1")
    assert waiting.value.is_busy
    go_on.set()
    first.join()
    second.join()
    assert login.cookie_for(WORD, "10.0.0.1")


def fail(backoff: Backoff, address: str, count: int) -> None:
    for _ in range(count):
        backoff.failed(address)


def test_who_guesses_delays_nobody_else_of_the_house_over_ipv6() -> None:
    backoff = Backoff()
    for network in ("fe80:", "2001:db8:1:2:"):
        fail(backoff, f"{network}:1", 20)
        assert backoff.seconds_to_wait(f"{network}:1")
        assert not backoff.seconds_to_wait(f"{network}:2")


def test_who_takes_ever_new_addresses_of_ipv6_waits_as_one() -> None:
    backoff = Backoff()
    for number in range(200):
        backoff.failed(f"2001:db8:1:2::{number:x}")
    assert backoff.seconds_to_wait("2001:db8:1:2::ffff")
    assert not backoff.seconds_to_wait("2001:db8:1:3::1")
    fail(backoff, "2001:db8:1:2::1", 1)
    assert not backoff.seconds_to_wait("2001:db8:1:2::1"), "it slipped twice, of its own"


def test_what_is_forgotten_does_not_count_as_many() -> None:
    backoff = Backoff()
    for number in range(200):
        backoff.failed(f"2001:db8::{number:x}")
        backoff.succeeded(f"2001:db8::{number:x}")
    fail(backoff, "2001:db8::1", 20)
    assert not backoff.seconds_to_wait("2001:db8::ffff")


def test_who_has_shown_the_password_never_waits_for_its_whole_network() -> None:
    backoff = Backoff()
    backoff.succeeded("2001:db8:1:2::1")
    for number in range(200):
        backoff.failed(f"2001:db8:1:2::1:{number:x}")
    assert backoff.seconds_to_wait("2001:db8:1:2::ffff")
    assert not backoff.seconds_to_wait("2001:db8:1:2::1")
    fail(backoff, "2001:db8:1:2::1", 6)
    assert backoff.seconds_to_wait("2001:db8:1:2::1"), "for its own guesses it does"
