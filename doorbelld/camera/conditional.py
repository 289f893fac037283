"""Conditional: asks a camera for its picture only if that is a new one."""

from __future__ import annotations

import re
from http.client import HTTPMessage

_MOST_BELIEVED = 256
"""Answers in a row; at five a second this is almost a minute."""

_HEADERS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
_HARMLESS = re.compile(r"[\x20-\x7e]{1,200}")


class Conditional:
    """What the camera said of its last still picture, to ask for another one than that.

    Some cameras give every picture the same date, or one that changes only each second, and say
    "not modified" to whatever they see. So that is believed once, and then the picture is
    compared: as long as it is the same, it is believed twice as often the next time.
    """

    def __init__(self) -> None:
        self._validators: dict[str, str] = {}
        self._picture = b""
        self._believed = self._left = 1
        self._is_reliable = True

    def headers(self) -> dict[str, str]:
        """Return the headers of the next request."""
        return self._validators if self._is_reliable and self._left else {}

    def unchanged(self) -> bytes:
        """Take note of a "not modified"; return the picture that is still the newest."""
        self._left -= 1
        return self._picture

    def changed(self, headers: HTTPMessage, picture: bytes) -> None:
        """Take note of an answer with a picture."""
        validators = {
            ours: value
            for theirs, ours in _HEADERS.items()
            if _HARMLESS.fullmatch(value := headers.get(theirs) or "")
        }
        if validators == self._validators:
            self._is_reliable &= picture == self._picture
            self._believed = min(2 * self._believed, _MOST_BELIEVED)
        self._validators, self._picture, self._left = validators, picture, self._believed
