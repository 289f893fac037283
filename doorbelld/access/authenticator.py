"""Authenticator: whether a client has logged in, by a cookie, by HTTP Basic or by the form.

A guess is checked in this order:

1. The same wrong guess from the same address counts once: the answer is no, and costs nothing.
   A program that repeats an old password can do so for ever and locks no one out.
2. The password that a program has sent before, from this address and with this user name, is
   accepted at once, even while the address has to wait or the queue is long. This could be used
   to guess without a wait. So of the guesses that are compared here and then not counted
   (because the address waits or the queue is full) only a few are compared for each one that is
   counted; after that, the right password has to wait as well. A client with another address or
   another user name cannot use that up.
3. The back-off: the address may have to wait.
4. The queue: scrypt takes 16 MiB and a while, so it runs once at a time. Equal guesses from one
   address are checked once, however many there are.

A new password starts all this again: an old wrong guess may be the new password.
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
"""Requests in the queue, each of which keeps a thread."""

_MOST_FROM_ONE = 4
"""Different guesses of one address in the queue, so that none can take every place."""


class WaitError(Exception):
    """The guess was not checked: it may be made again after ``seconds``.

    With ``is_busy`` the reason is that others are guessing, not what this address has done.
    """

    def __init__(self, seconds: float, *, is_busy: bool = False) -> None:
        super().__init__(f"wait {seconds:g} s")
        self.seconds = math.ceil(seconds)
        self.is_busy = is_busy


class Authenticator:
    """Knows the password in the file ``path``; without that file no login is needed.

    With ``is_required`` the file must exist. Raises ValueError, which says why, if it cannot be
    used: a file that cannot be read must not open the picture to everyone.
    """

    def __init__(self, path: Path | None, *, is_required: bool = False) -> None:
        self.path = path
        self._is_required = is_required
        self._backoff = Backoff()
        self._one_at_a_time = threading.Lock()
        self._queue_lock = threading.Lock()
        self._queue: Counter[tuple[str, Guess]] = Counter()  # how many wait, by address and guess
        self._stamp, self._complaint = secretfile.stamp(path), ""
        self._secret = _secret(_read(path, is_required=is_required))

    @property
    def is_needed(self) -> bool:
        """Whether there is a password."""
        return self._secret is not None

    @property
    def password_id(self) -> bytes:
        """What identifies the password without revealing it: 32 bytes, b"" without a password."""
        secret = self._secret
        return secret.password_id if secret else b""

    def refresh(self) -> bool:
        """Check whether the file has changed; return whether the password has.

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
            return False  # and try again later: the reason may be the system, not the file
        self._stamp, self._complaint = stamp, ""
        before = self._secret.password.line if self._secret else None
        if before == (password.line if password else None):
            return False
        self._secret = _secret(password)
        self._backoff.forgive()
        _log.warning("the password was %s", "changed" if password else "removed: all may watch")
        return True

    # What a client sends.

    def knows_cookie(self, header: str) -> bool:
        """Return whether a Cookie header proves an earlier login."""
        secret = self._secret
        return secret is not None and secret.cookies.seconds_left(header) > 0

    def renewed_cookie(self, header: str) -> str | None:
        """Return a new cookie for a valid one that is past half of its lifetime.

        Not for a brief one, nor for one that may be brief.
        """
        secret = self._secret
        return secret.cookies.renewed(header) if secret else None

    def knows_basic(self, header: str, address: str) -> bool:
        """Return whether an Authorization header has the password; any user name will do.

        Raises WaitError.
        """
        sent, secret = credentials(header), self._secret
        if sent is None or secret is None:
            return False
        name, guess = sent
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
        with self._place_in_queue(guess, address), self._one_at_a_time:
            secret = self._secret  # It may have changed in the meantime.
            if secret is None or secret.is_known_wrong(guess, address):
                return None
            if secret.is_known_right(guess, address):
                return secret
            self._let_try(address)  # Other guesses from there may have failed since.
            if any(map(secret.password.matches, guess.readings)):
                self._backoff.succeeded(address)
                secret.note_right(guess, address)
                return secret
            self._backoff.failed(address)
            secret.note_wrong(guess, address)
            return None

    @contextmanager
    def _place_in_queue(self, guess: Guess, address: str) -> Iterator[None]:
        """Hold a place in the queue. Raises WaitError if there is none."""
        mine = (address, guess)
        with self._queue_lock:
            others = sum(there == address for there, _ in self._queue if (there, _) != mine)
            if others >= _MOST_FROM_ONE or sum(self._queue.values()) >= _MOST_WAITING:
                raise WaitError(1, is_busy=True)
            self._queue[mine] += 1
        try:
            yield
        finally:
            with self._queue_lock:
                self._queue[mine] -= 1
                if not self._queue[mine]:
                    del self._queue[mine]

    def _let_try(self, address: str) -> None:
        seconds = self._backoff.seconds_to_wait(address)
        if seconds:
            raise WaitError(seconds)


def _secret(password: Password | None) -> Secret | None:
    return Secret(password) if password else None


def cookie_of(path: Path) -> str | None:
    """Return a brief cookie for the daemon with the password in ``path``; None without one.

    Raises ValueError if the file cannot be used, or may not be read.
    """
    password = _read(path, is_required=False)
    return Secret(password).cookies.new(BRIEF) if password else None


def password_id_of(path: Path) -> bytes:
    """Return :attr:`Authenticator.password_id` for the password in ``path``, b"" without one.

    Raises ValueError if the file cannot be used, or may not be read.
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
