"""Errors: what goes wrong with a camera, in words that any user understands, and as a code."""

from __future__ import annotations

import errno
import socket
import ssl
import traceback
from enum import Enum
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit


class Reason(str, Enum):
    """Why there is no picture, for programs and for other languages; docs/live.md explains each."""

    NONE = "none"
    MISSING = "missing"
    BUSY = "busy"
    DENIED = "denied"
    LOGIN = "login"
    UNREACHABLE = "unreachable"
    SILENT = "silent"
    DAMAGED = "damaged"
    HANGS = "hangs"
    SOFTWARE = "software"
    PAUSED = "paused"
    SETTINGS = "settings"
    OTHER = "other"


class CameraError(Exception):
    """The camera cannot deliver; the text says why in one plain sentence without full stop."""

    def __init__(self, text: str, reason: Reason = Reason.OTHER) -> None:
        super().__init__(text)
        self.reason = reason


class CameraStuckError(CameraError):
    """The camera's library hangs in this process; only a new process can help."""

    def __init__(self, text: str) -> None:
        super().__init__(text, Reason.HANGS)


class GoneError(ValueError):
    """A picture that was not loaded in time: a newer one has taken its place."""


class Why(NamedTuple):
    """Why there is no picture: some words of the sentence, and the reason."""

    words: str
    reason: Reason


NO_PASSWORD = Why(
    "asks for a user name and a password; the source must be ...://USER:PASSWORD@HOST/...",
    Reason.LOGIN,
)
_STATUSES = {
    401: Why("refuses the user name or the password", Reason.LOGIN),
    403: Why("refuses us (status 403)", Reason.DENIED),
    404: Why("has nothing at this path (status 404)", Reason.SETTINGS),
    503: Why("is busy (status 503)", Reason.BUSY),
}

_UNCHECKED = "; verify = no plays it unchecked"
_CERTIFICATES = {
    9: "its certificate is not valid yet; check this machine's clock",
    10: "its certificate has expired",
    62: "its certificate is for another host name",
    64: "its certificate is for another address",
}
"""By OpenSSL's X509_V_ERR_...; the others are all about trust."""

_OLD = ("UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION", "TOO_SMALL", "TOO_WEAK", "LEGACY")
"""Parts of OpenSSL's reasons that stand for a camera with TLS of long ago."""

_BY_NUMBER = {
    errno.EHOSTUNREACH: "nothing in the network has its address; check that it is switched on",
    errno.ENETUNREACH: "this machine has no network in which it could be",
}
NO_HTTP = Why("it does not speak HTTP", Reason.SETTINGS)
_BY_KIND: tuple[tuple[type[Exception], Why], ...] = (
    (socket.gaierror, Why("its name is not found", Reason.UNREACHABLE)),
    (ConnectionRefusedError, Why("nothing listens there", Reason.UNREACHABLE)),
    (socket.timeout, Why("it does not answer", Reason.UNREACHABLE)),
    (
        ConnectionError,
        Why("it closes the connection without an answer", Reason.UNREACHABLE),
    ),
    (HTTPException, NO_HTTP),
    (ValueError, Why("its URL, or what it answers, makes no sense", Reason.OTHER)),
)
_REASONS = {
    **dict.fromkeys((errno.ENOENT, errno.ENODEV, errno.ENXIO), Reason.MISSING),
    **dict.fromkeys((errno.EACCES, errno.EPERM), Reason.DENIED),
    errno.EBUSY: Reason.BUSY,
    **dict.fromkeys((errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENETDOWN), Reason.UNREACHABLE),
    **dict.fromkeys((errno.ENOMEM, errno.EMFILE, errno.ENFILE), Reason.SOFTWARE),
}
"""By the number of an OSError."""

_LONGEST = 300
"""Characters of a library's own message that are repeated."""


def describe(error: BaseException) -> str:
    """Return in one line an error that a library raised: its type, text and origin."""
    lines = traceback.format_exception_only(type(error), error)  # never fails, unlike str()
    text = " ".join(" ".join(lines).split())[:_LONGEST]
    *_, place = traceback.extract_tb(error.__traceback__) or [None]
    return f"{text}, at {Path(place.filename).name}:{place.lineno}" if place else text


def without_secrets(url: str) -> str:
    """Return the URL without user, password, path and query: any of them may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def reason_of(error: BaseException) -> Reason:
    """Return the reason for what the system or a library has raised, as far as it shows it."""
    if isinstance(error, CameraError):
        return error.reason
    if isinstance(error, (MemoryError, ImportError)):
        return Reason.SOFTWARE
    number = error.errno if isinstance(error, OSError) else None
    return _REASONS.get(number or 0, Reason.OTHER)


def explain_status(status: int) -> Why:
    """Return what the status of an answer that is none means, in HTTP or RTSP."""
    return _STATUSES.get(status, Why(f"answers with the status {status}", Reason.OTHER))


def explain(error: Exception) -> Why:
    """Return in a few words why there is no connection to a camera, or no answer."""
    if isinstance(error, ssl.SSLError):
        return Why(_explain_tls(error), Reason.SETTINGS)
    number = getattr(error, "errno", None)
    if number in _BY_NUMBER:
        return Why(_BY_NUMBER[number], Reason.UNREACHABLE)
    for kind, why in _BY_KIND:
        if isinstance(error, kind):
            return why
    return Why(getattr(error, "strerror", None) or describe(error), reason_of(error))


def _explain_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"its certificate is not trusted ({error.verify_message.rstrip('.')})"
        return _CERTIFICATES.get(error.verify_code, why) + _UNCHECKED
    if any(word in (error.reason or "") for word in _OLD):
        return "it only speaks an old version of TLS, which is not safe"
    return "it does not speak TLS"
