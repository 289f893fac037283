"""The gate: what a request's head says of where it comes from, held against Access."""

from __future__ import annotations

import re
from email.message import Message
from http import HTTPStatus
from urllib.parse import urlsplit

from doorbelld.access.policy import Access
from doorbelld.net.names import bare_host, bare_name, is_name, is_same_place, origin, to_address
from doorbelld.web import forwarded
from doorbelld.web.advice import MORE, Advice, quoted
from doorbelld.web.forwarded import Fields

_IS_URL = re.compile(r"[a-z]+://", re.IGNORECASE)


class BadRequestError(Exception):
    """The request cannot be understood; the text says why."""


class StrangerError(Exception):
    """The request is not for us to answer; ``status`` and ``advice`` say why."""

    def __init__(self, status: HTTPStatus, why: str, **settings: str) -> None:
        self.advice = Advice(why, settings)
        super().__init__(str(self.advice))
        self.status = status


def client(access: Access, fields: Fields, version: str, peer: str) -> str:
    """Return the address of the client that asks over a connection from ``peer``, an address.

    ``fields`` are the lines of the head, ``version`` is like HTTP/1.1. Raises StrangerError where
    a proxy hides the client, and BadRequestError where what it says cannot be understood.
    """
    hosts = [value for name, value in fields if name.lower() == "host"]
    nginx_adds_nothing = forwarded.is_bare_nginx(fields, version)
    if not access.trusts(peer):
        is_nginx = nginx_adds_nothing or forwarded.is_like_nginx(fields, here=access.is_own(peer))
        sign = "the form of its head" if is_nginx else forwarded.sign_of_proxy(fields)
        if sign and access.admits(peer):  # Strangers learn only that they are refused.
            raise _untrusted_proxy(access, sign, peer, hosts[0] if hosts else "")
        return peer
    if version != "HTTP/1.0" and not access.is_direct(hosts[0] if hosts else "", peer):
        nginx_adds_nothing = False  # It was told the name, and may have been told more.
    named = forwarded.named_clients(fields)
    if not named or nginx_adds_nothing:
        raise StrangerError(
            HTTPStatus.FORBIDDEN,
            f"the trusted proxy {peer} does not name its client: make it send X-Forwarded-For",
        )
    try:
        clients = {access.client(peer, each) for each in named}
    except ValueError:
        raise BadRequestError("X-Forwarded-For or Forwarded cannot be understood") from None
    if len(clients) > 1:
        raise BadRequestError("X-Forwarded-For and Forwarded name different clients")
    return clients.pop()


def let_in(
    access: Access,
    headers: Message,
    target: str,
    client: str,
    peer: str,
    *,
    is_shared: bool = False,
) -> str:
    """Return the origin of the page elsewhere that makes ``client`` ask for ``target``.

    ``is_shared`` says that any page may show what is at this URL.

    It is empty where our own page asks, or a program. Raises StrangerError unless this client
    may ask for it, by this name, over this connection, and on this page, and BadRequestError
    where that is not clear.
    """
    if not access.admits(client):
        raise StrangerError(HTTPStatus.FORBIDDEN, "this address is not in the networks let in")
    host = _host(headers, target)
    if host is not None and not access.answers_to(host):
        raise _unknown_name(access, host)
    is_proxied = access.trusts(peer)
    if host and not is_proxied and not access.is_direct(host, peer):
        raise _hidden_client(access, host, peer)
    try:
        return _embedder(access, headers, host or "", is_proxied=is_proxied)
    except StrangerError:
        if is_shared:
            return ""
        raise


def _unknown_name(access: Access, host: str) -> StrangerError:
    name = bare_name(host)
    why = f"{quoted(host)} is not a name that doorbelld answers to"
    settings = {"hosts": _added(name, there=access.has_hosts)} if is_name(name) else {}
    return StrangerError(HTTPStatus.MISDIRECTED_REQUEST, why, **settings)


def _untrusted_proxy(access: Access, sign: str, peer: str, host: str) -> StrangerError:
    peer, name = str(to_address(peer)), bare_name(host)
    why = f"this came through a proxy, as {sign} shows, and {peer} is not in trusted_proxies"
    settings = {"trusted_proxies": _added(peer, there=access.has_proxies)}
    if is_name(name) and not access.answers_to(name):
        settings["hosts"] = _added(name, there=access.has_hosts)
    return StrangerError(HTTPStatus.FORBIDDEN, why, **settings)


def _hidden_client(access: Access, host: str, peer: str) -> StrangerError:
    """Return what to say where something between us and a client is only known by the Host."""
    if access.is_own(peer):
        return _untrusted_proxy(access, f"the name {quoted(host)}", peer, host)
    name = bare_name(host)
    why = f"{name} is no address of this machine or its network: a router hides the client"
    settings = {"hosts": _added(name, there=access.has_hosts)}
    return StrangerError(HTTPStatus.FORBIDDEN, why, **settings)


def _added(text: str, *, there: bool) -> str:
    """Return the value of a list in the configuration with this text added to it."""
    return f"{MORE}{text}" if there else text


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


def _embedder(access: Access, headers: Message, host: str, *, is_proxied: bool) -> str:
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
    if is_link or _is_ours(access, headers, page, host, is_proxied=is_proxied):
        return ""
    why = "another web site asks for this"
    if is_proxied:
        why += "; if it is this page behind the proxy, add its host name to hosts"
    raise StrangerError(HTTPStatus.FORBIDDEN, why)


def _is_ours(access: Access, headers: Message, page: str, host: str, *, is_proxied: bool) -> bool:
    """Return whether this page, an origin, is one of ours.

    A browser that says Sec-Fetch-Site knows best, and no page can write that header. Others tell
    only the origin. A trusted proxy may listen at another port, and ask us without the port or by
    a name that is not the one in the browser; so behind one the name is enough, if this machine
    is known by it. Without a proxy another port is another site.
    """
    site = headers.get("Sec-Fetch-Site", "").strip().lower()
    if site in ("same-origin", "same-site", "cross-site"):
        return site == "same-origin" and bool(host)
    if not is_proxied or page == "null":
        return is_same_place(page, host)
    forwarded = ",".join(headers.get_all("X-Forwarded-Host", [])).split(",")
    asked = [host, *(each.strip() for each in forwarded if access.answers_to(each.strip()))]
    name = bare_host(page)
    # A Host that is nothing but the name has lost its port on the way.
    if any(is_same_place(page, each) or each.lower() in (name, f"[{name}]") for each in asked):
        return True
    return access.is_named(name)
