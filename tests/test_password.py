"""Password, cookies and back-off: what a guess, a cookie and an address are worth."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest

from doorbelld import cookies
from doorbelld.backoff import Backoff
from doorbelld.cookies import LIFETIME, Cookies
from doorbelld.password import Password, hashed

HOUR = 3600.0


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("doorbelld.backoff.time.monotonic", found)
    monkeypatch.setattr("doorbelld.cookies.time.time", found)
    return found


# What the file keeps


def test_only_the_password_matches() -> None:
    line = hashed("correct horse")
    assert "correct" not in line
    password = Password(f"{line}\n")
    assert password.matches("correct horse")
    for guess in ("", "correct horse ", "Correct horse", "correct", line):
        assert not password.matches(guess)


def test_same_password_is_kept_otherwise_each_time() -> None:
    first, second = hashed("correct horse"), hashed("correct horse")
    assert first != second
    assert Password(first).key("cookies") != Password(second).key("cookies")
    assert Password(first).key("cookies") != Password(first).key("other")


def test_umlauts_match_however_they_are_typed() -> None:
    assert Password(hashed("T\u00fcrklingel")).matches("Tu\u0308rklingel")


def test_line_is_what_rfc_7914_says() -> None:
    salt, costs = b"12345678", (16, 1, 1)
    found = hashlib.scrypt(b"word", salt=salt, n=16, r=1, p=1)
    line = f"scrypt$16$1$1${b64encode(salt).decode()}${b64encode(found).decode()}"
    assert Password(line).matches("word")
    assert not Password(line).matches("ward"), costs


GOOD = hashed("correct horse")
_, N, R, P, SALT, HASH = GOOD.split("$")


@pytest.mark.parametrize(
    "text",
    [
        *("", "\n", "correct horse", "root:$6$x$y", f"{GOOD}\n{GOOD}", f"x{GOOD}", f"{GOOD}$"),
        f"bcrypt${N}${R}${P}${SALT}${HASH}",
        f"scrypt${N}${R}${P}${SALT}${HASH[:-8]}",  # truncated
        f"scrypt${N}${R}${P}${SALT}${HASH[:-1]}",
        f"scrypt${N}${R}${P}$AAAA${HASH}",  # hardly any salt
        f"scrypt$1000${R}${P}${SALT}${HASH}",  # no power of two
        f"scrypt$0${R}${P}${SALT}${HASH}",
        f"scrypt$9999999$99${P}${SALT}${HASH}",  # takes more memory than we would give
        f"scrypt$1048576$8${P}${SALT}${HASH}",
        f"scrypt${N}$8$99${SALT}${HASH}",  # takes for ever
    ],
)
def test_what_is_no_password_says_how_to_make_one(text: str) -> None:
    with pytest.raises(ValueError, match="doorbelld passwd"):
        Password(text)


# Cookies


def test_cookie_is_good_for_a_month(clock: Clock) -> None:
    jar = Cookies(b"key")
    cookie = jar.new()
    assert jar.seconds_left(cookie) == LIFETIME
    clock.now += LIFETIME - 1
    assert jar.seconds_left(cookie) == 1
    clock.now += 1
    assert jar.seconds_left(cookie) == 0


def test_cookie_of_another_key_is_worth_nothing() -> None:
    assert not Cookies(b"other").seconds_left(Cookies(b"key").new())


@pytest.mark.parametrize(
    "around",
    ["{}; a=b", "a=b; {}", 'prefs={{"x":1}}; {}', "a b=c; {}", "foo; {}; bar", "doorbelld=old; {}"],
)
def test_cookies_of_others_do_not_hide_ours(around: str) -> None:
    jar = Cookies(b"key")
    assert jar.seconds_left(around.format(jar.new())) > 0


def test_forged_cookies_are_worth_nothing(clock: Clock) -> None:
    jar = Cookies(b"key")
    name, _, value = jar.new().partition("=")
    expiry, nonce, signature = value.split(".")
    later = str(int(expiry) + 1)
    for forged in (
        *("", name, f"{name}=", f"{name}=x", f"{name}=..", f"other={value}", value),
        f"{name}={later}.{nonce}.{signature}",
        f"{name}={expiry}.{nonce[::-1]}.{signature}",
        f"{name}={expiry}.{nonce}.{signature[::-1]}",
        f"{name}={expiry}.{nonce}.{signature[:-1]}",
        f"{name}={expiry}.{nonce}.{signature}0",
        f"x{name}={value}",
        f"{name}={value}\u0660",
    ):
        assert jar.seconds_left(forged) == 0, forged
    assert jar.seconds_left(f"{name}={value}") == int(expiry) - clock.now


def test_browser_shows_a_cookie_to_us_alone() -> None:
    said = cookies.setting("doorbelld=x", secure=False)
    assert said == f"doorbelld=x; Max-Age={LIFETIME}; Path=/; HttpOnly; SameSite=Strict"
    assert cookies.setting("doorbelld=x", secure=True) == f"{said}; Secure"
    assert cookies.clearing(secure=True).startswith("doorbelld=; Max-Age=0; Path=/;")


# Back-off


def test_five_slips_are_free_and_then_each_costs_twice_as_much(clock: Clock) -> None:
    backoff = Backoff()
    for _ in range(5):
        assert backoff.seconds_to_wait("10.0.0.1") == 0
        backoff.failed("10.0.0.1")
    for seconds in (2, 4, 8, 16):
        assert backoff.seconds_to_wait("10.0.0.1") == seconds
        clock.now += seconds
        assert backoff.seconds_to_wait("10.0.0.1") == 0
        backoff.failed("10.0.0.1")
    for _ in range(100):
        backoff.failed("10.0.0.1")
    assert backoff.seconds_to_wait("10.0.0.1") == 900


def test_nobody_pays_for_another(clock: Clock) -> None:
    backoff = Backoff()
    for _ in range(50):
        backoff.failed("10.0.0.1")
        backoff.failed("2001:db8:0:1::1")
    assert backoff.seconds_to_wait("10.0.0.2") == 0
    assert backoff.seconds_to_wait("2001:db8:0:2::1") == 0
    assert backoff.seconds_to_wait("2001:db8:0:1::ffff") == 0, "of the same home, and innocent"
    clock.now += HOUR + 1
    backoff.failed("10.0.0.1")
    assert backoff.seconds_to_wait("10.0.0.1") == 0, "forgiven after an hour"


@pytest.mark.usefixtures("clock")
def test_success_forgives() -> None:
    backoff = Backoff()
    for _ in range(9):
        backoff.failed("fe80::1%eth0")
    backoff.succeeded("fe80::1")
    backoff.failed("fe80::1")
    assert backoff.seconds_to_wait("fe80::1") == 0


@pytest.mark.usefixtures("clock")
def test_many_addresses_do_not_fill_the_memory() -> None:
    backoff = Backoff()
    for _ in range(9):
        backoff.failed("10.0.0.1")
    for number in range(5000):
        backoff.failed(f"2001:db8:{number:x}::1")
        if number == 3000:
            backoff.failed("10.0.0.1")
    assert len(backoff._failures) == 4096
    assert backoff.seconds_to_wait("10.0.0.1") > 0, "the latest are remembered"
