"""Visit: a request that was let in, with what is known about the client."""

from __future__ import annotations

from typing import NamedTuple

from doorbelld.server.request import Request
from doorbelld.web.site import Site


class Visit(NamedTuple):
    """A request and the site that answers it.

    ``client`` is the client's address, which a trusted proxy has named if there is one.
    ``password_id`` stands for the password in force when the request began. ``ticket`` stands for
    a good token in the URL (b"": none), see embedding.py. ``embedder`` is the origin of the page of
    another site that shows us, "" if there is none.
    """

    site: Site
    request: Request
    client: str
    password_id: bytes = b""
    ticket: bytes = b""
    embedder: str = ""
