"""Site: what requests are judged and answered by, as it is at one moment."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from doorbelld.access.authenticator import Authenticator
from doorbelld.access.embedding import Embedding
from doorbelld.access.policy import Access
from doorbelld.access.watching import WatchRules
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

    @property
    def watch_rules(self) -> WatchRules:
        """Who may go on watching."""
        return WatchRules(
            self.access, self.authenticator, self.embedding, tls_only=self.tls is not None
        )
