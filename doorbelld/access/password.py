"""Password: what a file keeps of it, and whether a guess is right.

The file holds one line, ``scrypt$N$R$P$SALT$HASH``: the costs of scrypt (RFC 7914) as numbers,
salt and hash in base64. The password itself cannot be read from it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import unicodedata

SHORTEST, LONGEST = 8, 1024
"""Characters. Normalising a long text takes quadratic time in Unicode."""

_N, _R, _P = 2**14, 8, 1
"""What RFC 7914 recommends for logging in by hand: 16 MiB, and 40 ms on a PC."""

_HASH_BYTES, _LEAST_SALT_BYTES = 64, 8
_MOST_MEMORY = 64 * 1024 * 1024
_MOST_BLOCKS = 128
"""P times R: P costs time but no memory, so the limit on memory does not bound it."""

_LINE = re.compile(r"scrypt\$(\d{1,7})\$(\d{1,2})\$(\d{1,2})\$([\w+/=]+)\$([\w+/=]+)", re.ASCII)


class Password:
    """A password that guesses can be compared with. ``line`` is how a file keeps it.

    ``text`` is the content of the file. Raises ValueError if that is no such line, or one that
    would take more than 64 MiB.
    """

    def __init__(self, text: str) -> None:
        match = _LINE.fullmatch(text.strip())
        if not match:
            raise ValueError("holds no password: make one with doorbelld passwd")
        self.line = match[0]
        self._costs = int(match[1]), int(match[2]), int(match[3])
        try:
            self._salt = base64.b64decode(match[4], validate=True)
            self._hash = base64.b64decode(match[5], validate=True)
            whole = len(self._hash) == _HASH_BYTES and len(self._salt) >= _LEAST_SALT_BYTES
            self.matches("")  # raises if the costs are impossible
        except (binascii.Error, ValueError):
            whole = False
        if not whole:
            raise ValueError("holds a damaged password: make one with doorbelld passwd")

    def matches(self, guess: str) -> bool:
        """Return whether this is the password; it takes as long either way."""
        found = _scrypt(guess, self._salt, *self._costs)
        return hmac.compare_digest(found, self._hash) and len(guess) <= LONGEST

    def key(self, purpose: str) -> bytes:
        """Return 32 bytes that cannot be known without the file, different for every purpose."""
        return hmac.digest(self.line.encode(), purpose.encode(), "sha256")


def hashed(password: str) -> str:
    """Return the line for a file that keeps this password."""
    salt = os.urandom(16)
    found = _scrypt(password, salt, _N, _R, _P)
    encoded = (base64.b64encode(each).decode() for each in (salt, found))
    return f"scrypt${_N}${_R}${_P}$" + "$".join(encoded)


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    """Raise ValueError if the costs are impossible or too high."""
    if p * r > _MOST_BLOCKS:
        raise ValueError
    # Phones and terminals encode an umlaut differently.
    text = unicodedata.normalize("NFC", password[:LONGEST]).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(text, salt=salt, n=n, r=r, p=p, maxmem=_MOST_MEMORY)
