"""Errors: what goes wrong with a camera, in words that any user understands."""

from __future__ import annotations

import errno
import socket
import ssl
import traceback
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit


class CameraError(Exception):
    """The camera cannot deliver; the text says why in one plain sentence without full stop."""


class CameraStuckError(CameraError):
    """The camera's library hangs in this process; only a new process can help."""


class GoneError(ValueError):
    """A picture that was not loaded in time: a newer one has taken its place."""


NO_ANSWER = "it does not answer"
CLOSED = "it closes the connection without an answer"
NO_PASSWORD = "asks for a user name and a password; the source must be ...://USER:PASSWORD@HOST/..."
STATUSES = {
    401: "refuses the user name or the password",
    403: "refuses us (status 403)",
    404: "has nothing at this path (status 404)",
    503: "is busy (status 503)",
}
"""What the status of an answer means; RTSP has the same."""

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
_BY_KIND: tuple[tuple[type[Exception], str], ...] = (
    (socket.gaierror, "its name is not found"),
    (ConnectionRefusedError, "nothing listens there"),
    (socket.timeout, NO_ANSWER),
    (ConnectionError, CLOSED),
    (HTTPException, "it does not speak HTTP"),
    (ValueError, "its URL, or what it answers, makes no sense"),
)

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


def explain(error: Exception) -> str:
    """Return in a few words why there is no connection to a camera, or no answer."""
    if isinstance(error, ssl.SSLError):
        return _explain_tls(error)
    number = getattr(error, "errno", None)
    if number in _BY_NUMBER:
        return _BY_NUMBER[number]
    for kind, text in _BY_KIND:
        if isinstance(error, kind):
            return text
    return getattr(error, "strerror", None) or describe(error)


def _explain_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"its certificate is not trusted ({error.verify_message.rstrip('.')})"
        return _CERTIFICATES.get(error.verify_code, why) + _UNCHECKED
    if any(word in (error.reason or "") for word in _OLD):
        return "it only speaks an old version of TLS, which is not safe"
    return "it does not speak TLS"
