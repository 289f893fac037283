"""Embedding: signed URLs by which pages of other sites show the picture.

With ``Referrer-Policy: no-referrer`` a page does not let the browser say which page asks for an
image, so no list of sites can open the picture to it. Instead the URL carries a token, and any page
with that URL may show the picture.

The token is an HMAC. Its key is in a file, and it signs what identifies the password: a new
password or a new file ends every earlier URL.
"""

from __future__ import annotations

import hmac
import logging
import os
import re
from base64 import urlsafe_b64encode
from pathlib import Path

from doorbelld.access import ring_token
from doorbelld.system import secretfile

_log = logging.getLogger(__name__)

PARAMETER = "embed"
"""The name of the token in a URL."""

_KEY = re.compile(r"[0-9a-f]{64}\n?", re.ASCII)
_NAMES = "|".join(
    "".join(f"(?:{letter}|%{ord(letter):02x})" for letter in name)
    for name in (PARAMETER, ring_token.PARAMETER)
)
_TOKEN = re.compile(rf"(?<=[?&;])({_NAMES})=[^&;\s]+", re.IGNORECASE)
"""The name may be percent-encoded. The pattern has a fixed length up to the token: a name of any
length would be searched again from each of thousands of question marks, in quadratic time."""


class Embedding:
    """Knows the key in the file ``path``; without that file there are no embed URLs.

    A file that holds no key opens nothing. A problem with the file is logged once.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._stamp: tuple[int, ...] | None = None
        self._complaint = ""
        self._key = b""
        self.refresh()

    def refresh(self) -> bool:
        """Check whether the file has changed; return whether the key has."""
        stamp = secretfile.stamp(self.path)
        if stamp == self._stamp:
            return False
        before = self._key
        try:
            self._key = read_key(self.path) if self.path else b""
        except ValueError as error:
            self._key = b""
            self._complain(f"{error}; embed URLs do not work")
        except OSError as error:  # The reason may be the system, so try again later.
            self._complain(f"cannot be read: {error.strerror}; embed URLs stay as they were")
            return False
        else:
            self._complaint = ""
        self._stamp = stamp
        return before != self._key

    def _complain(self, why: str) -> None:
        if self._complaint != why:
            self._complaint = why
            _log.error("%s: %s", self.path, why)

    def ticket(self, token: str, password_id: bytes) -> bytes:
        """Return what stands for this token; b"" if it is not valid.

        ``password_id`` identifies the password, b"" for none.
        """
        if not self._key or not hmac.compare_digest(
            token.encode(), make_token(self._key, password_id)
        ):
            return b""
        return self.current_ticket(password_id)

    def current_ticket(self, password_id: bytes) -> bytes:
        """Return what stands for every valid token, b"" if there is none; it is no token itself."""
        return hmac.digest(self._key, b"ticket" + password_id, "sha256")[:8] if self._key else b""


def make_token(key: bytes, password_id: bytes) -> bytes:
    """Return the token that this key signs for the password with this ``password_id``."""
    digest = hmac.digest(key, b"embed" + password_id, "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=")


def new_key() -> str:
    """Return the content of a new key file."""
    return os.urandom(32).hex() + "\n"


def read_key(path: Path) -> bytes:
    """Return the key, b"" if there is no file.

    Raises ValueError, which says why, if the file cannot be used, and OSError.
    """
    text = secretfile.read(path)
    if text is None:
        return b""
    if not _KEY.fullmatch(text):
        raise ValueError("holds no key: make one with doorbelld embed-url --renew")
    return bytes.fromhex(text)


def without_token(request_line: str) -> str:
    """Return a request line as it may be logged: without what could be a token of any kind."""
    return _TOKEN.sub(r"\1=...", request_line)
