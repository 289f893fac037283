"""Errors: what goes wrong with a camera, in words that any user understands."""

from __future__ import annotations

import traceback
from pathlib import Path
from urllib.parse import urlsplit


class CameraError(Exception):
    """The camera cannot deliver; the text says why in one plain sentence without full stop."""


class CameraStuckError(CameraError):
    """The camera's library hangs in this process; only a new process can help."""


class GoneError(ValueError):
    """A picture that was not loaded in time: a newer one has taken its place."""


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
