"""App: what the server asks of the application it serves."""

from __future__ import annotations

import ssl
from typing import Protocol

from doorbelld.server.framing import Head
from doorbelld.server.request import Request, RequestError
from doorbelld.server.response import Response


class App(Protocol):
    """Answers requests. Called from many threads; nothing here may wait for a client.

    All but the call itself are used by the accept loop, and must return at once.
    """

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What TLS begins with on a new connection, None for plain text only."""
        ...

    def __call__(self, request: Request) -> Response:
        """Answer a request."""
        ...

    def refuse(self, error: RequestError, peer: str, *, secure: bool) -> Response:
        """Answer a request that cannot be understood."""
        ...

    def reject(self, status: int) -> Response:
        """Answer a request that was not read: too late (408), too long (414, 431) or too much."""
        ...

    def may_send_body(self, head: Head, peer: str) -> bool:
        """Return whether to wait for the body of a form from this address."""
        ...
