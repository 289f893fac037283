"""RingToken: the token with which devices ring over HTTP. It opens nothing else.

From it comes, for each visit, an answer token, which can mark that visit as answered and nothing
else: it is in the notification of that ring, and ends with the ring token.

It is random and long enough that it cannot be guessed, so a right one is accepted at any time, from
any address, however many wrong ones came from there.
"""

from __future__ import annotations

import hmac
import logging
import os
import re
import stat
import threading
from base64 import urlsafe_b64encode
from pathlib import Path

from doorbelld.system import secretfile

_log = logging.getLogger(__name__)

PARAMETER = "token"
"""The name of the token in a URL."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]{22,200}", re.ASCII)
"""22 of these letters have 128 bits; they mean nothing in a URL."""


class RingToken:
    """Knows the token in the file ``path``, which is made if it is missing; None: there is none.

    A file that holds no token rings nothing. A problem with the file is logged once.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, ...] | None = None
        self._complaint = ""
        self._token = b""
        self._refresh()

    def check(self, token: str) -> bool:
        """Return whether this is the token that the file has now; in constant time."""
        self._refresh()
        known = self._token
        return bool(known) and hmac.compare_digest(token.encode("utf-8", "replace"), known)

    def answer_token(self, visit: int) -> str:
        """Return the token that answers the visit with this id, "" if there is no ring token."""
        self._refresh()
        return _answer_token(self._token, visit)

    def check_answer(self, visit: int, token: str) -> bool:
        """Return whether this is the answer token of that visit; in constant time."""
        known = self.answer_token(visit).encode("ascii")
        return bool(known) and hmac.compare_digest(token.encode("utf-8", "replace"), known)

    def _refresh(self) -> None:
        if self.path is None:
            return
        with self._lock:
            stamp = secretfile.stamp(self.path)
            if stamp and stamp == self._stamp:
                return
            try:
                self._token = (read_token(self.path) or _make(self.path)).encode("ascii")
            except ValueError as error:
                self._token = b""
                self._complain(f"{error}; it rings nothing")
            except FileNotFoundError:  # Its folder is not there: started by hand.
                self._token = b""
            except PermissionError as error:
                self._token = b""
                self._complain(
                    f"cannot be read or made: {error.strerror}; no token rings over HTTP"
                )
            except OSError as error:  # The reason may be the system, so try again later.
                self._complain(f"cannot be read: {error.strerror}; the token stays as it was")
                return
            else:
                self._check_mode(self.path)
            self._stamp = secretfile.stamp(self.path)

    def _check_mode(self, path: Path) -> None:
        if path.stat().st_mode & stat.S_IRWXO:
            self._complain(f"every user of this machine may read it: sudo chmod 600 {path}")
        else:
            self._complaint = ""

    def _complain(self, why: str) -> None:
        if self._complaint != why:
            self._complaint = why
            _log.error("%s: %s", self.path, why)


def new_token() -> str:
    """Return a new token."""
    return urlsafe_b64encode(os.urandom(24)).decode("ascii")


def read_token(path: Path) -> str | None:
    """Return the token in a file, None if there is no file.

    Raises ValueError, which says why, if the file holds none, and OSError.
    """
    text = secretfile.read(path)
    if text is None:
        return None
    if not _TOKEN.fullmatch(text.strip()):
        raise ValueError("holds no token: delete it, and a new one is made")
    return text.strip()


def _answer_token(key: bytes, visit: int) -> str:
    if not key:
        return ""
    digest = hmac.new(key, b"answer %d" % visit, "sha256").digest()
    return urlsafe_b64encode(digest[:24]).decode("ascii")


def _make(path: Path) -> str:
    """Write a new token to a file that does not exist, in one step; return it. Raises OSError."""
    token = new_token()
    new = path.with_name(f".{path.name}-{os.getpid()}")
    # secretfile.write() could do this, but would load what takes a megabyte for good.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(new, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(f"{token}\n".encode("ascii"))
            file.flush()
            os.fsync(descriptor)
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    return token
