"""Password: what is kept of it in a file, and whether a guess is right.

The file holds one line, ``scrypt$N$R$P$SALT$HASH``: the costs of scrypt (RFC 7914) as numbers,
salt and hash in base64. What the password was cannot be read from it.
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
"""Characters. Unicode takes quadratic time to bring a long text into its normal form."""

_N, _R, _P = 2**14, 8, 1
"""What RFC 7914 names for logging in by hand: 16 MiB, and 40 ms on a PC."""

_HASH_BYTES, _LEAST_SALT_BYTES = 64, 8
_MOST_MEMORY = 64 * 1024 * 1024
_MOST_BLOCKS = 128
"""P times R: P costs time, and no memory by which it would be bounded."""

_LINE = re.compile(r"scrypt\$(\d{1,7})\$(\d{1,2})\$(\d{1,2})\$([\w+/=]+)\$([\w+/=]+)", re.ASCII)


class Password:
    """A password that can be compared with, but not told. ``line`` is how a file keeps it.

    ``text`` is the file's. Raises ValueError if that is no such line, or one that would take
    more than 64 MiB.
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
            self.matches("")  # or the costs are impossible
        except (binascii.Error, ValueError):
            whole = False
        if not whole:
            raise ValueError("holds a damaged password: make one with doorbelld passwd")

    def matches(self, guess: str) -> bool:
        """Tell whether this is the password; takes as long either way."""
        found = _scrypt(guess, self._salt, *self._costs)
        return hmac.compare_digest(found, self._hash) and len(guess) <= LONGEST

    def key(self, purpose: str) -> bytes:
        """Return 32 bytes that only who has the file can know, others for every purpose."""
        return hmac.digest(self.line.encode(), purpose.encode(), "sha256")


def hashed(password: str) -> str:
    """Return the line for a file that keeps this password."""
    salt = os.urandom(16)
    found = _scrypt(password, salt, _N, _R, _P)
    told = (base64.b64encode(each).decode() for each in (salt, found))
    return f"scrypt${_N}${_R}${_P}$" + "$".join(told)


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    """Raise ValueError where the costs are impossible or more than we would pay."""
    if p * r > _MOST_BLOCKS:
        raise ValueError
    # Phones and terminals differ in how they write an umlaut.
    told = unicodedata.normalize("NFC", password[:LONGEST]).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(told, salt=salt, n=n, r=r, p=p, maxmem=_MOST_MEMORY)
