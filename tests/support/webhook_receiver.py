"""WebhookReceiver: a program of a user that gets what the webhook sends."""

from __future__ import annotations

import email.policy
import json
from collections.abc import Sequence
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

from tests.support.daemon import eventually
from tests.support.other_site import OtherSite


class Post(NamedTuple):
    """What was sent once. ``image`` is None if there was none."""

    event: dict[str, Any]
    image: bytes | None

    def summary(self) -> tuple[str, int, int]:
        """Return the event, the visit and the presses."""
        visit = self.event["visit"]
        return self.event["event"], visit["id"], visit["presses"]


class WebhookReceiver(OtherSite):
    """Takes everything, and keeps it in ``posts``."""

    def __init__(self) -> None:
        receiver = self
        self.posts: list[Post] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.posts.append(_post(self.headers["Content-Type"], body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        super().__init__("127.0.0.1", Handler)

    @property
    def url(self) -> str:
        """Return where it is; the path is a secret."""
        return f"{self.origin}/hook-MARKER"

    def wait_for(self, expected: Sequence[tuple[str, int, int]]) -> list[Post]:
        """Wait until it has got as much, which must be this: event, visit and presses of each."""
        eventually(lambda: len(self.posts) >= len(expected), f"{expected}")
        assert [each.summary() for each in self.posts] == list(expected)
        return self.posts


def _post(content_type: str, body: bytes) -> Post:
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message: Any = BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    parts = {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in message.iter_parts()
    }
    return Post(json.loads(parts["event"]), parts.get("image"))
