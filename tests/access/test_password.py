"""Password, cookies and back-off: what a guess, a cookie and an address are worth."""

from __future__ import annotations

import hashlib
import ipaddress
from base64 import b64encode

import pytest

from doorbelld.access import cookies
from doorbelld.access.backoff import Backoff
from doorbelld.access.budget import BURST, INTERVAL, MOST_TURNS
from doorbelld.access.cookies import LIFETIME, Cookies
from doorbelld.access.password import Password, hashed

HOUR = 3600.0


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("doorbelld.access.backoff.time.monotonic", found)
    monkeypatch.setattr("doorbelld.access.cookies.time.time", found)
    return found


# What the file keeps


def test_only_the_password_matches() -> None:
    line = hashed("correct horse")
    assert "correct" not in line
    password = Password(f"{line}\n")
    assert password.matches("correct horse")
    for guess in ("", "correct horse ", "Correct horse", "correct", line):
        assert not password.matches(guess)


def test_same_password_has_another_hash_each_time() -> None:
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
        f"scrypt$9999999$99${P}${SALT}${HASH}",  # takes too much memory
        f"scrypt$1048576$8${P}${SALT}${HASH}",
        f"scrypt${N}$8$99${SALT}${HASH}",  # takes for ever
    ],
)
def test_error_says_how_to_make_a_password(text: str) -> None:
    with pytest.raises(ValueError, match="doorbelld passwd"):
        Password(text)


# Cookies


def test_cookie_is_valid_for_a_month(clock: Clock) -> None:
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


def test_browser_sends_a_cookie_only_to_us() -> None:
    said = cookies.setting("doorbelld=x", secure=False)
    assert said == f"doorbelld=x; Max-Age={LIFETIME}; Path=/; HttpOnly; SameSite=Strict"
    assert cookies.setting("doorbelld=x", secure=True) == f"{said}; Secure"
    assert cookies.clearing(secure=True).startswith("doorbelld=; Max-Age=0; Path=/;")


def test_framed_cookie_is_only_sent_in_frames_of_the_same_site(clock: Clock) -> None:
    jar = Cookies(b"key")
    cookie = jar.new(framed=True)
    attributes = "Path=/; HttpOnly; SameSite=None; Secure; Partitioned"
    assert cookies.setting(cookie, secure=True) == f"{cookie}; Max-Age={LIFETIME}; {attributes}"
    assert cookies.clearing(secure=True, framed=True) == (
        f"doorbelld_framed=; Max-Age=0; {attributes}"
    )
    assert jar.seconds_left(f"a=b; {cookie}") == LIFETIME
    clock.now += LIFETIME * 0.6
    both = f"{cookie}; {jar.new().replace('doorbelld=', 'doorbelld=0')}"
    assert (jar.renewed(both) or "").startswith("doorbelld_framed=")
    assert (jar.renewed(cookie.replace("_framed", "")) or "").startswith("doorbelld=")
    assert jar.renewed(jar.new()) is None
    assert jar.seconds_left(cookie.replace("_framed", "_other")) == 0


# Back-off


def test_five_errors_are_free_and_then_each_doubles_the_wait(clock: Clock) -> None:
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


def test_addresses_do_not_wait_for_each_other(clock: Clock) -> None:
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
def test_login_resets_the_wait() -> None:
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


# The common budget


def addresses(count: int, first: int = 0) -> list[str]:
    return [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(first, first + count)]


def guess(backoff: Backoff, *guessers: str) -> int:
    """Guess wrong from each address that need not wait; return how many did."""
    free = 0
    for address in guessers:
        if not backoff.seconds_to_wait(address):
            backoff.failed(address)
            free += 1
    return free


def test_many_addresses_have_one_burst_and_then_one_guess_every_few_seconds(clock: Clock) -> None:
    backoff = Backoff()
    assert guess(backoff, *addresses(10_000)) == BURST
    last = 10_000
    for _ in range(600):
        clock.now += INTERVAL / 2
        last += 50
        guess(backoff, *addresses(50, last))
    assert len(backoff._failures) <= BURST + 301


def test_address_that_has_logged_in_does_not_notice(clock: Clock) -> None:
    backoff = Backoff()
    backoff.succeeded("192.168.1.2")
    guess(backoff, *addresses(10_000))
    for _ in range(4):
        assert guess(backoff, "192.168.1.2") == 1
    clock.now += HOUR
    guess(backoff, *addresses(10_000))
    assert backoff.seconds_to_wait("192.168.1.2") == 0
    backoff.forgive()
    assert backoff.seconds_to_wait("192.168.1.2") == 0


def test_new_client_gets_its_turn_whatever_others_do_until_then(clock: Clock) -> None:
    backoff = Backoff()
    guess(backoff, *addresses(BURST + 100))
    wait = backoff.seconds_to_wait("192.168.1.2")
    assert wait == pytest.approx(101 * INTERVAL)
    until = clock.now + wait
    while clock.now < until - INTERVAL:
        clock.now += INTERVAL
        assert 0 < backoff.seconds_to_wait("192.168.1.2") <= until - clock.now + 0.1
        guess(backoff, *addresses(1000))
    clock.now = until
    guess(backoff, *addresses(10_000))
    assert backoff.seconds_to_wait("192.168.1.2") == 0
    clock.now += 100
    assert guess(backoff, "192.168.1.2") == 1, "it took its time"
    assert backoff.seconds_to_wait("192.168.1.2") > 0, "a turn is for one guess"


def test_longest_wait_is_bounded_and_so_is_the_memory(clock: Clock) -> None:
    backoff = Backoff()
    waits = [backoff.seconds_to_wait(each) for each in addresses(200)]
    assert not any(waits)
    guess(backoff, *addresses(BURST))
    waits = [backoff.seconds_to_wait(each) for each in addresses(5000, 1000)]
    assert max(waits) == pytest.approx(MOST_TURNS * INTERVAL)
    assert len(backoff._budget._turns) == MOST_TURNS
    clock.now += MOST_TURNS * INTERVAL + 200
    assert backoff.seconds_to_wait("192.168.1.2") == 0
    assert not backoff._budget._turns, "a turn that was not used is lost"


@pytest.mark.parametrize("prefix", [48, 56, 64])
@pytest.mark.usefixtures("clock")
def test_network_of_ipv6_does_not_take_all_turns(prefix: int) -> None:
    backoff = Backoff()
    network = int(ipaddress.IPv6Address("2001:db8:1::"))
    step = 1 << (128 - prefix - 12) if prefix < 64 else 1
    many = [str(ipaddress.IPv6Address(network + number * step)) for number in range(3000)]
    assert guess(backoff, *addresses(BURST)) == BURST
    for each in many:
        assert backoff.seconds_to_wait(each) > 0
    assert backoff.seconds_to_wait("192.168.1.2") == pytest.approx(17 * INTERVAL)
    assert backoff.seconds_to_wait("2001:db8:2::1") == pytest.approx(18 * INTERVAL)


def test_typing_errors_before_the_right_password_are_refunded(clock: Clock) -> None:
    backoff = Backoff()
    for each in addresses(1000):
        assert guess(backoff, each, each) == 2
        backoff.succeeded(each)
        clock.now += 0.01


def test_change_of_the_wall_clock_changes_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    backoff = Backoff()
    guess(backoff, *addresses(10_000))
    monkeypatch.setattr("time.time", lambda: 4e9)
    assert backoff.seconds_to_wait("192.168.1.2") > 0


def test_new_password_ends_the_wait(clock: Clock) -> None:
    backoff = Backoff()
    for _ in range(20):
        backoff.failed("10.0.0.1")
        backoff.failed("2001:db8::1")
    assert backoff.seconds_to_wait("10.0.0.1")
    backoff.forgive()
    clock.now += 0.1
    assert not backoff.seconds_to_wait("10.0.0.1")
    assert not backoff.seconds_to_wait("2001:db8::1")
