"""The gate: what a request's head says of where it comes from, held against Access."""

from __future__ import annotations

import re
from email.message import Message
from http import HTTPStatus
from urllib.parse import urlsplit

from doorbelld.access import Access, is_same_place, origin

_IS_URL = re.compile(r"[a-z]+://", re.IGNORECASE)


class BadRequestError(Exception):
    """The request cannot be understood; the text says why."""


class StrangerError(Exception):
    """The request is not for us to answer; ``status`` and the text say why."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


def client(access: Access, headers: Message, peer: str) -> str:
    """Return the address of who asks over a connection from the address ``peer``.

    Raises BadRequestError where that cannot be told.
    """
    try:
        return access.client(peer, ",".join(headers.get_all("X-Forwarded-For", [])))
    except ValueError:
        raise BadRequestError("X-Forwarded-For cannot be understood") from None


def let_in(access: Access, headers: Message, target: str, client: str) -> str:
    """Return the origin of the page elsewhere that makes ``client`` ask for ``target``.

    It is empty where our own page asks, or a program. Raises StrangerError unless this client
    may ask for it, by this name and on this page, and BadRequestError where that cannot be told.
    """
    if not access.admits(client):
        raise StrangerError(HTTPStatus.FORBIDDEN, "this address is not in the networks let in")
    host = _host(headers, target)
    if host is not None and not access.answers_to(host):
        raise StrangerError(
            HTTPStatus.MISDIRECTED_REQUEST, "this is not a name that doorbelld answers to"
        )
    return _embedder(access, headers, host or "")


def _host(headers: Message, target: str) -> str | None:
    """Return the name that is asked for; None where a program tells none."""
    hosts = headers.get_all("Host", [])
    if len(hosts) > 1:
        raise BadRequestError("there is more than one Host")
    if _IS_URL.match(target):  # then the name in it counts
        try:
            return urlsplit(target).netloc.rpartition("@")[2]
        except ValueError:
            raise BadRequestError("the URL cannot be understood") from None
    return str(hosts[0]).strip() if hosts else None


def _embedder(access: Access, headers: Message, host: str) -> str:
    """Look at the page that makes the browser ask, as far as the browser tells of it.

    Not every page lets it tell. The headers of the answer then keep it from showing us.
    """
    told = headers.get("Origin")
    page = told or headers.get("Referer")
    if not page:
        return ""
    page = origin(page)
    if access.embeds(page):
        return page
    # Somebody may follow a link to us; only a browser's own look at a page names text/html.
    is_link = not told and "text/html" in headers.get("Accept", "")
    if not is_link and not is_same_place(page, host):
        raise StrangerError(HTTPStatus.FORBIDDEN, "another web site asks for this")
    return ""
