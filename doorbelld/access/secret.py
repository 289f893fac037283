"""Secret: the password, and which guesses were right or wrong since it was set."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from doorbelld.access.cookies import Cookies
from doorbelld.access.password import Password

_MOST_PROGRAMS = 64
"""Programs that are remembered: they send their credentials with every request."""

_MOST_WRONG = 1024
"""Wrong guesses that are remembered, 16 bytes each."""

_MOST_UNCOUNTED = 8
"""Guesses that are compared with a program's password for each one that is counted."""


class Guess(NamedTuple):
    """What was sent as the password: the texts that it may stand for."""

    readings: tuple[str, ...]

    def encoded(self) -> Iterator[bytes]:
        """Yield the readings as bytes."""
        return (reading.encode("utf-8", "surrogatepass") for reading in self.readings)


class _Program(NamedTuple):
    """The HMAC of a program's password, and the guesses compared with it and not counted."""

    proof: bytes
    uncounted: set[bytes]


class Secret:
    """A password, and what depends on it: a new password starts with a new Secret.

    Guesses are stored as HMACs, with a key of this process alone.
    """

    def __init__(self, password: Password) -> None:
        self.password = password
        self.cookies = Cookies(password.key("cookies"))
        self.password_id = password.key("seal")
        self._key = os.urandom(32)
        self._lock = threading.Lock()
        self._programs: OrderedDict[bytes, _Program] = OrderedDict()  # the latest at the end
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._right: OrderedDict[bytes, None] = OrderedDict()

    def remembers(self, name: bytes, guess: Guess, address: str) -> bool:
        """Return whether a program has logged in with this before, if it may still be compared."""
        program_id, proof = self._proof(address, name), self._proof(address, *guess.encoded())
        with self._lock:
            program = self._programs.get(program_id)
            if program is None:
                return False
            if len(program.uncounted) >= _MOST_UNCOUNTED:
                return False
            if proof == program.proof:
                self._programs.move_to_end(program_id)
                return True
            program.uncounted.add(proof)
            return False

    def was_counted(self, name: bytes, address: str) -> None:
        """Allow more comparisons with a program's password: a guess has been counted."""
        with self._lock:
            program = self._programs.get(self._proof(address, name))
            if program:
                program.uncounted.clear()

    def remember(self, name: bytes, guess: Guess, address: str) -> None:
        """Remember the password with which a program has logged in."""
        program_id, proof = self._proof(address, name), self._proof(address, *guess.encoded())
        with self._lock:
            self._programs[program_id] = _Program(proof, set())
            self._programs.move_to_end(program_id)
            if len(self._programs) > _MOST_PROGRAMS:
                self._programs.popitem(last=False)

    def is_known_wrong(self, guess: Guess, address: str) -> bool:
        """Return whether this guess has been counted as a wrong one from this address."""
        proof = self._proof(address, *guess.encoded())
        with self._lock:
            if proof not in self._wrong:
                return False
            self._wrong.move_to_end(proof)
            return True

    def note_wrong(self, guess: Guess, address: str) -> None:
        """Remember that this guess has been counted."""
        self._note(self._wrong, guess, address, _MOST_WRONG)

    def is_known_right(self, guess: Guess, address: str) -> bool:
        """Return whether this was right a moment ago: for requests that waited behind it."""
        with self._lock:
            return self._proof(address, *guess.encoded()) in self._right

    def note_right(self, guess: Guess, address: str) -> None:
        """Remember that this guess was right."""
        self._note(self._right, guess, address, _MOST_PROGRAMS)

    def _note(self, notes: OrderedDict[bytes, None], guess: Guess, address: str, most: int) -> None:
        proof = self._proof(address, *guess.encoded())
        with self._lock:
            notes[proof] = None
            if len(notes) > most:
                notes.popitem(last=False)

    def _proof(self, address: str, *parts: bytes) -> bytes:
        fields = [address.encode(), *parts]
        message = b"".join(len(part).to_bytes(4, "big") + part for part in fields)
        return hmac.digest(self._key, message, "sha256")[:16]


def credentials(header: str) -> tuple[bytes, Guess] | None:
    """Return the user name and the guess in an Authorization header; None if it has none."""
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    name, colon, password = decoded.partition(b":")
    return (name, Guess(_readings(password))) if colon else None


def _readings(password: bytes) -> tuple[str, ...]:
    """Return the texts that these bytes may stand for.

    Programs do not say which encoding they use: we ask for UTF-8, many send Latin-1.
    """
    latin = password.decode("latin-1")
    try:
        text = password.decode()
    except UnicodeDecodeError:
        return (latin,)
    return (text,) if text == latin else (text, latin)
