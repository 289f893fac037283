"""Webhook: posts each ring, with its picture, to a program; see docs/notifications.md."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from doorbelld.notify.outbox import OutboxTarget
from doorbelld.notify.push import PushError
from doorbelld.notify.target import MAX_AGE, WEBHOOK_KEY, Event, News
from doorbelld.visits.visit import described

_HELP = {
    401: "check the URL in [notify] webhook",
    403: "check the URL in [notify] webhook",
    404: "check the path of the URL in [notify] webhook",
    405: "check that it takes a POST at this path",
    413: "it takes no message, however small; raise its limit, or that of the proxy before it",
    415: "check that it takes multipart/form-data",
}
"""By the status of an answer."""

_TOO_LARGE = (
    "messages come without their picture: it is too large for {}, or for the proxy before it; raise"
    " the limit there"
)
_SAME_KEY = "; if the URL is right, check that it has the same key"
"""What else may help, if it has refused a message with a signature."""


class WebhookSettings(NamedTuple):
    """``key_file`` has the key for the signature, None if there is none."""

    url: str
    key_file: Path | None


class Webhook(OutboxTarget):
    """Posts what happens to a URL, signed if there is a key."""

    name = "webhook"
    events = (Event.RING, Event.ANSWERED)
    credential = WEBHOOK_KEY

    def __init__(self, settings: WebhookSettings, max_age: float = MAX_AGE) -> None:
        super().__init__(settings.url, settings.key_file, max_age)

    def _deliver(self, news: News, seconds: float, *, is_test: bool) -> str:
        """Send a message; without its picture if that is too large, and return so."""
        until = time.monotonic() + seconds
        event = json.dumps(self._event(news, is_test=is_test)).encode("ascii")
        still = news.still if news.event is Event.RING else None
        try:
            self._post(event, still, news.visit.id, seconds)
        except PushError as error:
            if still is None or error.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                raise
        else:
            return ""
        self._post(event, None, news.visit.id, max(0.001, until - time.monotonic()))
        return _TOO_LARGE.format(self._push.place)

    def _post(self, event: bytes, still: bytes | None, visit: int, seconds: float) -> None:
        key = self._read_secret()
        boundary = os.urandom(16).hex()
        body = _form(boundary, event, still, visit)
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        if key is not None:
            signature = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
            headers["X-Doorbelld-Signature"] = f"sha256={signature}"
        try:
            self._push.send("POST", headers, body, seconds)
        except PushError as error:
            words = _HELP.get(error.status)
            if words and key is not None and error.status in (401, 403):
                words += _SAME_KEY
            raise error.with_help(words) if words else error from None

    def _event(self, news: News, *, is_test: bool) -> dict[str, Any]:
        facts = self._facts
        return {
            "event": "test" if is_test else news.event.value,
            "visit": described(news.visit),
            "url": facts.visit_url(news.visit.id) if facts else "",
            "name": facts.name if facts else "",
            "sent": round(time.time(), 3),
        }


def _form(boundary: str, event: bytes, still: bytes | None, visit: int) -> bytes:
    """Return multipart/form-data (RFC 7578) with one part or two."""
    parts = [_part(boundary, 'name="event"', "application/json", event)]
    if still is not None:
        name = f'name="image"; filename="doorbell-{visit}.jpg"'
        parts.append(_part(boundary, name, "image/jpeg", still))
    return b"".join([*parts, f"--{boundary}--\r\n".encode("ascii")])


def _part(boundary: str, disposition: str, kind: str, body: bytes) -> bytes:
    head = (
        f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n"
        f"Content-Type: {kind}\r\n\r\n"
    )
    return head.encode("ascii") + body + b"\r\n"
