"""Ntfy: sends each ring with its picture to a topic of an ntfy server, and so to phones."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from doorbelld.access import ring_token
from doorbelld.drivers.errors import Reason
from doorbelld.notify.outbox import OutboxTarget
from doorbelld.notify.push import PushError
from doorbelld.notify.target import MAX_AGE, NTFY_TOKEN, Event, News
from doorbelld.visits.visit import SPACE

_PRIORITY = 5
"""The highest: it may ring through the silence of the night, if the phone allows that."""

_NO_PICTURE: Mapping[str, str] = {
    Reason.NONE: "no camera was found",
    Reason.MISSING: "the camera is not connected",
    Reason.BUSY: "another program is using the camera",
    Reason.DENIED: "the doorbell may not use the camera",
    Reason.LOGIN: "the camera does not accept the login",
    Reason.UNREACHABLE: "the camera does not answer",
    Reason.SILENT: "the camera sends no picture",
    Reason.DAMAGED: "the camera's pictures cannot be shown",
    Reason.HANGS: "the camera hangs",
    Reason.SOFTWARE: "the doorbell lacks software or memory",
    Reason.PAUSED: "the camera is paused",
    Reason.SETTINGS: "the settings do not fit the camera",
    SPACE: "there was no room for it",
}
"""By the reason of a visit."""

_KEEPS_NONE = (
    "the ntfy server keeps no pictures, so messages come without; set base-url and"
    " attachment-cache-dir in its server.yml and restart it"
)
_TOO_MUCH = (
    "the ntfy server takes no picture of this size, or no more of them now, so messages come"
    " without; raise attachment-file-size-limit, visitor-attachment-total-size-limit and"
    " visitor-attachment-daily-bandwidth-limit in its server.yml, or lower the camera's resolution"
)
_ATTACHMENTS_DISALLOWED = 40014
_BANDWIDTH_REACHED = 42905
"""Ntfy's own numbers of errors."""

_NO_TOKEN = (
    "it wants a token; make one there (ntfy token add USER) and write it into the file that"
    " [notify] token_file names"
)
_NO_TOPIC = "[notify] ntfy must be the URL of a topic, such as https://HOST/TOPIC"
_REFUSED = {
    400: _NO_TOPIC,
    401: "it does not know the token; make one there (ntfy token add USER) and write it into the"
    " file that [notify] token_file names",
    403: "the token may not write to this topic; run there: ntfy access USER TOPIC write-only",
    404: _NO_TOPIC,
    405: _NO_TOPIC,
    429: "it limits how many messages come; raise visitor-message-daily-limit and"
    " visitor-request-limit-burst in its server.yml",
}
"""By the status of an answer."""


class NtfySettings(NamedTuple):
    """``url`` is that of the topic; ``token_file`` has a token for it, if it needs one."""

    url: str
    token_file: Path | None


class Ntfy(OutboxTarget):
    """Sends each ring once: what comes after it would ring the phone a second time.

    Newer servers could change or remove a message; that of Debian 13 cannot, and would show a
    second one instead. So a ring that was answered elsewhere stays on the phone. ``sign`` returns
    the token that can answer a visit, "" if there is none.
    """

    name = "ntfy"
    events = (Event.RING,)
    credential = NTFY_TOKEN

    def __init__(
        self, settings: NtfySettings, sign: Callable[[int], str], max_age: float = MAX_AGE
    ) -> None:
        super().__init__(settings.url, settings.token_file, max_age)
        self._sign = sign

    def _deliver(self, news: News, seconds: float, *, is_test: bool) -> str:
        """Send a message; without its picture if only that is refused, and return why."""
        until = time.monotonic() + seconds
        headers = self._headers(news, is_test=is_test)
        reason = _NO_PICTURE.get(news.visit.reason, "the camera does not work")
        if news.still is None:
            self._publish_text(headers, f"No picture: {reason}.", seconds)
            return ""
        picture = {"Filename": f"doorbell-{news.visit.id}.jpg"}
        try:
            self._publish({**headers, **picture}, news.still, seconds)
        except PushError as error:
            remark = _remark(error)
            if not remark:
                raise
        else:
            return ""
        self._publish_text(headers, "No picture: the server refuses it.", _left(until))
        return remark

    def _publish_text(self, headers: dict[str, str], why: str, seconds: float) -> None:
        self._publish({**headers, "Message": f"{headers['Message']} {why}"}, b"", seconds)

    def _publish(self, headers: dict[str, str], body: bytes, seconds: float) -> None:
        try:
            self._push.send("PUT", headers, body, seconds)
        except PushError as error:
            raise _explained(error, has_token="Authorization" in headers) from None

    def _headers(self, news: News, *, is_test: bool) -> dict[str, str]:
        text = "The bell rang." if news.visit.presses == 1 else "The bell rang again."
        facts = self._facts
        headers = {
            "Title": _encoded(facts.name if facts else "doorbelld"),
            "Message": "This is a test." if is_test else text,
            "Priority": str(_PRIORITY),
            "Tags": "bell",
        }
        if facts:
            url = facts.address if is_test else facts.visit_url(news.visit.id)
            headers["Click"] = _encoded(url)
            headers["Actions"] = self._actions(facts.address, 0 if is_test else news.visit.id)
        token = self._read_secret()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _actions(self, address: str, visit: int) -> str:
        """Return the buttons below the message, as JSON: then a comma in a URL does no harm."""
        actions: list[dict[str, Any]] = [{"action": "view", "label": "Live", "url": address}]
        token = self._sign(visit) if visit else ""
        if token:
            answer = f"{address}visits/{visit}/answered?{ring_token.PARAMETER}={token}"
            actions.append(
                {
                    "action": "http",
                    "label": "Answered",
                    "url": answer,
                    "method": "POST",
                    "clear": True,
                }
            )
        return json.dumps(actions)


def _encoded(text: str) -> str:
    """Return a header's text, as RFC 2047 has it if it is not plain; ntfy decodes that."""
    text = " ".join(text.split())
    if text.isascii() and text.isprintable() and "=?" not in text:
        return text
    return f"=?UTF-8?B?{b64encode(text.encode('utf-8', 'replace')).decode('ascii')}?="


def _left(until: float) -> float:
    return max(0.001, until - time.monotonic())


def _number(error: PushError) -> int:
    """Return ntfy's own number of an error, 0 if the answer has none."""
    try:
        number = json.loads(error.body)["code"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return 0
    return number if isinstance(number, int) else 0


def _remark(error: PushError) -> str:
    """Return why a message goes out without its picture; "" if that would be refused as well."""
    number = _number(error)
    if number == _ATTACHMENTS_DISALLOWED:
        return _KEEPS_NONE
    return _TOO_MUCH if error.status == 413 or number == _BANDWIDTH_REACHED else ""


def _explained(error: PushError, *, has_token: bool) -> PushError:
    """Return the same error, with what helps if the server has refused the message."""
    words = _REFUSED.get(error.status)
    if error.status in (401, 403) and not has_token:
        words = _NO_TOKEN
    return error.with_help(words) if words else error
