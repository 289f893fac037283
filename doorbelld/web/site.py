"""Site: what requests are judged and answered by at one moment; a request with it is a Context."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from doorbelld.access.authenticator import Authenticator
from doorbelld.access.embedding import Embedding
from doorbelld.access.policy import Access
from doorbelld.access.ring_token import RingToken
from doorbelld.access.watching import WatchRules
from doorbelld.server.request import Request
from doorbelld.web.assets import Asset


@dataclass(frozen=True)
class Site:
    """A snapshot that never changes: a reload makes a new one, and each request uses one alone.

    ``tls`` is None if the page is served in plain text; with ``hsts`` the answers make browsers use
    HTTPS only.
    """

    access: Access
    authenticator: Authenticator
    embedding: Embedding
    assets: Mapping[str, Asset]
    tls: ssl.SSLContext | None = None
    hsts: bool = False
    ring_token: RingToken = field(default_factory=partial(RingToken, None))

    @property
    def watch_rules(self) -> WatchRules:
        """Who may go on watching."""
        return WatchRules(
            self.access, self.authenticator, self.embedding, tls_only=self.tls is not None
        )


class Context(NamedTuple):
    """A request and the site that answers it.

    ``client`` is the client's address, which a trusted proxy has named if there is one.
    ``password_id`` stands for the password in force when the request began. ``ticket`` stands for
    a good token in the URL (b"": none), see embedding.py. ``embedder`` is the origin of the page of
    another site that shows us, "" if there is none. ``answers`` is the id of the visit that a good
    token in the URL may answer, 0 if there is none.
    """

    site: Site
    request: Request
    client: str
    password_id: bytes = b""
    ticket: bytes = b""
    embedder: str = ""
    answers: int = 0
