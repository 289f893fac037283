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
    """What was sent once; the names of ``headers`` are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def parts(self) -> dict[str, tuple[str, bytes]]:
        """The parts of the form: the type and the bytes, by name."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        message: Any = BytesParser(policy=email.policy.HTTP).parsebytes(head + self.body)
        assert not message.defects
        return {
            part.get_param("name", header="content-disposition"): (
                part.get_content_type(),
                part.get_payload(decode=True),
            )
            for part in message.iter_parts()
        }

    @property
    def event(self) -> dict[str, Any]:
        """What has happened."""
        kind, content = self.parts["event"]
        assert kind == "application/json"
        found: dict[str, Any] = json.loads(content)
        return found

    @property
    def image(self) -> bytes | None:
        """The picture; None if there was none."""
        kind, content = self.parts.get("image", ("image/jpeg", None))
        assert kind == "image/jpeg"
        return content

    def summary(self) -> tuple[str, int, int]:
        """Return the event, the visit and the presses."""
        event = self.event
        return event["event"], event["visit"]["id"], event["visit"]["presses"]


class WebhookReceiver(OtherSite):
    """Keeps everything in ``posts``; ``statuses`` are its next answers, then 204."""

    def __init__(self) -> None:
        receiver = self
        self.posts: list[Post] = []
        self.statuses: list[int] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {key.lower(): value for key, value in self.headers.items()}
                receiver.posts.append(Post(self.path, headers, body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
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
