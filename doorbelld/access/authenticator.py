"""Authenticator: whether a client has logged in, by a cookie, by HTTP Basic or by the form.

A guess is looked at in this order:

1. The same wrong guess from the same address counts once: the answer is no, and costs nothing.
   A program that repeats an old password can do so for ever and locks no one out.
2. What a program has shown before, from this address and with this user name, is right at once,
   also while the address has to wait or others stand in line. This could be used to guess
   without a wait. So of the guesses that are compared here and then not counted (because the
   address waits or the line is full) only a few are compared for each one that is counted;
   beyond that, the right password has to wait as well. A client with another address or
   another user name cannot use that up.
3. The back-off: the address may have to wait.
4. The line: scrypt takes 16 MiB and a while, so it is done one at a time. Equal guesses from one
   address are looked at once, whatever their number.

A change of the password starts all this again: an old wrong guess may be the new password.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from doorbelld.access.backoff import Backoff
from doorbelld.access.cookies import BRIEF
from doorbelld.access.password import Password
from doorbelld.access.secret import Guess, Secret, credentials
from doorbelld.system import secretfile

_log = logging.getLogger(__name__)

_MOST_WAITING = 16
"""Requests that may stand in line, each of which keeps a thread."""

_MOST_FROM_ONE = 4
"""Different guesses of one address in that line, so that none can take every place."""


class WaitError(Exception):
    """The guess was not looked at: it may be made again after ``seconds``.

    ``is_busy`` tells that others are in the way, and not what this address has done.
    """

    def __init__(self, seconds: float, *, is_busy: bool = False) -> None:
        super().__init__(f"wait {seconds:g} s")
        self.seconds = math.ceil(seconds)
        self.is_busy = is_busy


class Authenticator:
    """Knows the password that ``path`` keeps; without that file there is none, and no login.

    With ``is_required`` the file has to be there. Raises ValueError, which says why, where it
    cannot be used: nobody's picture is open because a file could not be read.
    """

    def __init__(self, path: Path | None, *, is_required: bool = False) -> None:
        self.path = path
        self._is_required = is_required
        self._backoff = Backoff()
        self._one_at_a_time = threading.Lock()
        self._line_lock = threading.Lock()
        self._line: Counter[tuple[str, Guess]] = Counter()  # how many wait, by address and guess
        self._stamp, self._complaint = secretfile.stamp(path), ""
        self._secret = _secret(_read(path, is_required=is_required))

    @property
    def is_needed(self) -> bool:
        """Whether there is a password."""
        return self._secret is not None

    @property
    def password_id(self) -> bytes:
        """What stands for the password where it must not be told: 32 bytes, b"" without one."""
        secret = self._secret
        return secret.password_id if secret else b""

    def refresh(self) -> bool:
        """Look whether the file has changed; return whether the password has.

        A file that cannot be used is logged once, and the password stays as it was.
        """
        stamp = secretfile.stamp(self.path)
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
        self._backoff.forgive()
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
        return secret.cookies.renewed(header) if secret else None

    def knows_basic(self, header: str, address: str) -> bool:
        """Tell whether an Authorization header brings the password; any user name will do.

        Raises WaitError.
        """
        shown, secret = credentials(header), self._secret
        if shown is None or secret is None:
            return False
        name, guess = shown
        if secret.is_known_wrong(guess, address):
            return False
        if secret.remembers(name, guess, address):
            return True
        opened = self._secret_opened_by(guess, address)
        if opened:
            opened.remember(name, guess, address)
        else:
            secret.was_counted(name, address)
        return opened is not None

    def cookie_for(self, guess: str, address: str, *, framed: bool = False) -> str | None:
        """Return a cookie if this is the password, None if not, which counts against the address.

        ``framed`` is what :class:`Cookies` says. Raises WaitError.
        """
        opened = self._secret_opened_by(Guess((guess,)), address)
        return opened.cookies.new(framed=framed) if opened else None

    def _secret_opened_by(self, guess: Guess, address: str) -> Secret | None:
        """Return the secret whose password this is, None if it is wrong. Raises WaitError."""
        secret = self._secret
        if secret is None or secret.is_known_wrong(guess, address):
            return None
        self._let_try(address)
        with self._place_in_line(guess, address), self._one_at_a_time:
            secret = self._secret  # It may have changed in the meantime.
            if secret is None or secret.is_known_wrong(guess, address):
                return None
            if secret.is_known_right(guess, address):
                return secret
            self._let_try(address)  # Other guesses may have failed from there meanwhile.
            if any(map(secret.password.matches, guess.readings)):
                self._backoff.succeeded(address)
                secret.note_right(guess, address)
                return secret
            self._backoff.failed(address)
            secret.note_wrong(guess, address)
            return None

    @contextmanager
    def _place_in_line(self, guess: Guess, address: str) -> Iterator[None]:
        """Hold a place in the line. Raises WaitError if there is none."""
        mine = (address, guess)
        with self._line_lock:
            others = sum(there == address for there, _ in self._line if (there, _) != mine)
            if others >= _MOST_FROM_ONE or sum(self._line.values()) >= _MOST_WAITING:
                raise WaitError(1, is_busy=True)
            self._line[mine] += 1
        try:
            yield
        finally:
            with self._line_lock:
                self._line[mine] -= 1
                if not self._line[mine]:
                    del self._line[mine]

    def _let_try(self, address: str) -> None:
        seconds = self._backoff.seconds_to_wait(address)
        if seconds:
            raise WaitError(seconds)


def _secret(password: Password | None) -> Secret | None:
    return Secret(password) if password else None


def cookie_of(path: Path) -> str | None:
    """Return a brief cookie that opens the daemon whose password ``path`` keeps; None without one.

    Raises ValueError where the file cannot be used, or may not be read.
    """
    password = _read(path, is_required=False)
    return Secret(password).cookies.new(BRIEF) if password else None


def password_id_of(path: Path) -> bytes:
    """Return :attr:`Authenticator.password_id` for the password in ``path``, b"" without one.

    Raises ValueError where the file cannot be used, or may not be read.
    """
    password = _read(path, is_required=False)
    return password.key("seal") if password else b""


def _read(path: Path | None, *, is_required: bool) -> Password | None:
    if path is None:
        return None
    try:
        text = secretfile.read(path)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if text is None and is_required:
        raise ValueError("there is no such file: make it with doorbelld passwd")
    return None if text is None else Password(text)
