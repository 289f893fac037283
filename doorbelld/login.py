"""Login: whether somebody has shown the password, by a cookie, by HTTP Basic or by the form."""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import math
import os
import threading
from collections import OrderedDict
from pathlib import Path

from doorbelld.backoff import Backoff
from doorbelld.cookies import BRIEF, LIFETIME, Cookies
from doorbelld.password import Password

_log = logging.getLogger(__name__)

_MOST_WAITING = 4
"""Guesses that may wait for their turn: scrypt takes 16 MiB and a while, so one at a time."""

_MOST_READ = 1024
_MOST_REMEMBERED = 64
"""Credentials of programs, which send them with every request."""


class WaitError(Exception):
    """The guess was not looked at: it may be made again after ``seconds``.

    ``is_busy`` tells that others are in the way, and not what this address has done.
    """

    def __init__(self, seconds: float, *, is_busy: bool = False) -> None:
        super().__init__(f"wait {seconds:g} s")
        self.seconds = math.ceil(seconds)
        self.is_busy = is_busy


class Login:
    """Knows the password that ``path`` keeps; without that file there is none, and no login.

    With ``is_required`` the file has to be there. Raises ValueError, which says why, where it
    cannot be used: nobody's picture is open because a file could not be read.
    """

    def __init__(self, path: Path | None, *, is_required: bool = False) -> None:
        self.path = path
        self._is_required = is_required
        self._backoff = Backoff()
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)
        self._one_at_a_time = threading.Lock()
        self._trying: set[str] = set()
        self._stamp, self._complaint = _stamp(path), ""
        self._secret = _secret(_read(path, is_required=is_required))

    @property
    def is_needed(self) -> bool:
        """Whether there is a password."""
        return self._secret is not None

    @property
    def seal(self) -> bytes:
        """What stands for the password where it must not be told: 32 bytes, b"" without one."""
        secret = self._secret
        return secret.seal if secret else b""

    def refresh(self) -> bool:
        """Look whether the file has changed; return whether the password has.

        A file that cannot be used is logged once, and the password stays as it was.
        """
        stamp = _stamp(self.path)
        if stamp == self._stamp:
            return False
        try:
            password = _read(self.path, is_required=self._is_required)
        except ValueError as error:
            if self._complaint != str(error):
                self._complaint = str(error)
                _log.error("%s: %s; the password stays as it was", self.path, error)
            return False  # and look again, for what ails may be the system and not the file
        self._stamp, self._complaint = stamp, ""
        before = self._secret.password.line if self._secret else None
        if before == (password.line if password else None):
            return False
        self._secret = _secret(password)
        _log.warning("the password was %s", "changed" if password else "removed: all may watch")
        return True

    # What somebody shows.

    def knows_cookie(self, header: str) -> bool:
        """Tell whether a Cookie header brings the proof of an earlier login."""
        secret = self._secret
        return secret is not None and secret.cookies.seconds_left(header) > 0

    def renewed_cookie(self, header: str) -> str | None:
        """Return a new cookie for one that is good and has lived for half its time.

        Not for a brief one, nor for what may be one.
        """
        secret = self._secret
        if secret and BRIEF < secret.cookies.seconds_left(header) < LIFETIME / 2:
            return secret.cookies.new()
        return None

    def knows_basic(self, header: str, address: str) -> bool:
        """Tell whether an Authorization header brings the password; any user name will do.

        Raises WaitError.
        """
        guess, secret = _basic_password(header), self._secret
        if guess is None or secret is None:
            return False
        self._let_try(address)
        # Not while a guess from there is looked at: else more of them would cost it no wait.
        if address not in self._trying and secret.remembers(guess, address):
            return True
        if not self._is_password(secret, guess, address):
            return False
        secret.remember(guess, address)
        return True

    def cookie_for(self, guess: str, address: str) -> str | None:
        """Return a cookie if this is the password, None if not, which the address has to bear.

        Raises WaitError.
        """
        secret = self._secret
        if secret and self._is_password(secret, guess, address):
            return secret.cookies.new()
        return None

    def _is_password(self, secret: _Secret, guess: str, address: str) -> bool:
        self._let_try(address)
        # One guess at a time from each address, so that none can take every turn.
        if address in self._trying or not self._waiting.acquire(blocking=False):
            raise WaitError(1, is_busy=True)
        self._trying.add(address)
        try:
            with self._one_at_a_time:
                self._let_try(address)  # Others may have failed from there meanwhile.
                is_right = secret.password.matches(guess)
                (self._backoff.succeeded if is_right else self._backoff.failed)(address)
                return is_right
        finally:
            self._trying.discard(address)
            self._waiting.release()

    def _let_try(self, address: str) -> None:
        seconds = self._backoff.seconds_to_wait(address)
        if seconds:
            raise WaitError(seconds)


class _Secret:
    """A password, and what depends on it: nothing of this outlives a change of the password."""

    def __init__(self, password: Password) -> None:
        self.password = password
        self.cookies = Cookies(password.key("cookies"))
        self.seal = password.key("seal")
        # What programs have shown, and from where: for anybody else, to try what is remembered
        # would be a way to guess without a wait. As HMACs under a key of this process alone.
        self._remembered: OrderedDict[bytes, None] = OrderedDict()
        self._key = os.urandom(32)

    def remembers(self, guess: str, address: str) -> bool:
        return self._proof(guess, address) in self._remembered

    def remember(self, guess: str, address: str) -> None:
        self._remembered[self._proof(guess, address)] = None
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)

    def _proof(self, guess: str, address: str) -> bytes:
        told = f"{address} {guess}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, told, "sha256")


def _secret(password: Password | None) -> _Secret | None:
    return _Secret(password) if password else None


def cookie_of(path: Path) -> str | None:
    """Return a brief cookie that opens the daemon whose password ``path`` keeps; None without one.

    Raises ValueError where the file cannot be used, or may not be read.
    """
    password = _read(path, is_required=False)
    return _Secret(password).cookies.new(BRIEF) if password else None


def _read(path: Path | None, *, is_required: bool) -> Password | None:
    if path is None:
        return None
    try:
        if not path.is_file() and path.exists():  # A pipe, which would keep us waiting.
            raise ValueError("is no file")
        with path.open(encoding="ascii") as file:
            return Password(file.read(_MOST_READ))
    except FileNotFoundError:
        if is_required:
            raise ValueError("there is no such file: make it with doorbelld passwd") from None
        return None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("holds no password: make one with doorbelld passwd") from None


def _stamp(path: Path | None) -> tuple[int, ...]:
    """Return what differs as soon as the file is another or has been written."""
    try:
        found = path.stat() if path else None
    except OSError:
        found = None
    if found is None:
        return ()
    return (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode, found.st_uid)


def _basic_password(header: str) -> str | None:
    """Return the password of an Authorization header; None where it holds none."""
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        told = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    name, colon, password = told.partition(":")
    del name
    return password if colon else None
