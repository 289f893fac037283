"""Guard: whether a request is allowed, by what its head says about where it comes from.

If it is not, it says why, and what the owner of the doorbell can set to change that. Browsers guard
the answer by the headers of :func:`security`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

from doorbelld.access import forwarded
from doorbelld.access.forwarded import Fields
from doorbelld.access.policy import Access
from doorbelld.net.addresses import bracketed
from doorbelld.net.names import bare_host, bare_name, is_name, is_same_place, origin, to_address
from doorbelld.server.request import Headers, Request, RequestError

_POLICY = (
    "default-src 'none'; img-src 'self' blob: data:; style-src 'self'; script-src 'self';"
    " connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'"
)
_PERMISSIONS = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"

_A_YEAR = 365 * 24 * 3600

_IS_URL = re.compile(r"[a-z]+://", re.IGNORECASE)

_BEFOREHAND = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
"""What a browser sends if it loads a page before a person asks for it; of Safari and older ones,
the first name is not enough."""

_OTHER_SITES = ("same-site", "cross-site")
"""In Sec-Fetch-Site, the pages that are not ours: the first has the name of this host."""

_MOST = 80
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>doorbelld</title>
<h1>Not shown here</h1>
<p>{why}.</p>
<p>{how}</p>
<pre>{lines}</pre>
</html>
"""
_HOW = "If this is your doorbell, put this into /etc/doorbelld/conf.d/access.conf and reload:"
_HOW_TO_ADD = "If this is your doorbell, add this to what is set there (the dots) and reload:"
_MORE = "..., "
"""Stands for what a list in the configuration already has: clients we refuse must not see it."""


class Advice(NamedTuple):
    """``why`` is a sentence without its full stop; ``settings`` are keys of [access]."""

    why: str
    settings: Mapping[str, str]

    def __str__(self) -> str:
        """Return it in one line, for the log and for programs."""
        lines = " and ".join(f"[access] {key} = {value}" for key, value in self.settings.items())
        return f"{self.why}; to allow it, set {lines}" if lines else self.why

    def as_page(self) -> str:
        """Return it for a browser."""
        pairs = (f"{key} = {value}" for key, value in self.settings.items())
        lines = html.escape("\n".join(["[access]", *pairs]))
        adds = any(value.startswith(_MORE) for value in self.settings.values())
        how = _HOW_TO_ADD if adds else _HOW
        return _PAGE.format(why=html.escape(self.why), how=how, lines=lines)


class RefusedError(Exception):
    """The request is not allowed; ``status`` and ``advice`` say why."""

    def __init__(self, status: HTTPStatus, why: str, **settings: str) -> None:
        self.advice = Advice(why, settings)
        super().__init__(str(self.advice))
        self.status = status


def client(access: Access, fields: Fields, version: str, peer: str) -> str:
    """Return the address of the client behind a connection from ``peer``, an address.

    ``fields`` are the header lines, ``version`` is like HTTP/1.1. Raises RefusedError if a proxy
    hides the client, and RequestError if what the proxy says cannot be understood.
    """
    hosts = [value for name, value in fields if name.lower() == "host"]
    nginx_adds_nothing = forwarded.is_bare_nginx(fields, version)
    if not access.trusts(peer):
        is_nginx = nginx_adds_nothing or forwarded.is_like_nginx(fields, here=access.is_own(peer))
        sign = "the form of its head" if is_nginx else forwarded.sign_of_proxy(fields)
        if sign and access.admits(peer):  # Others only learn that they are refused.
            raise _untrusted_proxy(access, sign, peer, hosts[0] if hosts else "")
        return peer
    if version != "HTTP/1.0" and not access.is_direct(hosts[0] if hosts else "", peer):
        nginx_adds_nothing = False  # The name was configured there, so more may have been.
    named = forwarded.named_clients(fields)
    if not named or nginx_adds_nothing:
        raise RefusedError(
            HTTPStatus.FORBIDDEN,
            f"the trusted proxy {peer} does not name its client: make it send X-Forwarded-For",
        )
    try:
        clients = {access.client(peer, each) for each in named}
    except ValueError:
        raise RequestError("X-Forwarded-For or Forwarded cannot be understood") from None
    if len(clients) > 1:
        raise RequestError("X-Forwarded-For and Forwarded name different clients")
    return clients.pop()


def let_in(access: Access, request: Request, client: str, *, is_shared: bool = False) -> str:
    """Return the origin of the page of another site that makes ``client`` send this request.

    It is empty if our own page or a program sends it. ``is_shared`` says that any page may show
    what is at this URL. Raises RefusedError unless this client may ask for it, by this name, over
    this connection and on this page, and RequestError where that is not clear.
    """
    if not access.admits(client):
        raise RefusedError(HTTPStatus.FORBIDDEN, "this address is not in the networks let in")
    headers, peer = request.headers, request.peer
    host = _host(headers, request.target)
    if host is not None and not access.answers_to(host):
        raise _unknown_name(access, host)
    is_proxied = access.trusts(peer)
    if host and not is_proxied and not access.is_direct(host, peer):
        raise _hidden_client(access, host, peer)
    try:
        return _embedder(access, request, host or "", is_proxied=is_proxied)
    except RefusedError:
        if is_shared:
            return ""
        raise


def insist_on_our_own_page(embedder: str) -> None:
    """Raise RefusedError if a form comes from another site, which may only show the picture."""
    if embedder:
        raise RefusedError(HTTPStatus.FORBIDDEN, "another web site asks for this")


def insist_on_a_plain_post(request: Request, embedder: str) -> None:
    """Raise RefusedError as :func:`insist_on_our_own_page`, RequestError if there is a body."""
    insist_on_our_own_page(embedder)
    if request.has_body:
        raise RequestError("a body makes no sense here")


def insist_on_no_other_site(access: Access, request: Request, embedder: str) -> None:
    """Raise RefusedError if a page of another site leads here in any way, even by a link.

    It is for what happens at once when a browser opens the URL. Devices and programs name no page.
    """
    headers = request.headers
    page = headers.get("Origin") or headers.get("Referer")
    is_ours = not page or _is_ours(
        access,
        headers,
        origin(page),
        _host(headers, request.target) or "",
        is_proxied=access.trusts(request.peer),
    )
    if not is_ours or _site_of(headers) in _OTHER_SITES:
        raise RefusedError(HTTPStatus.FORBIDDEN, "another web site asks for this")
    insist_on_our_own_page(embedder)
    if any(map(headers.get, _BEFOREHAND)):
        raise RefusedError(HTTPStatus.FORBIDDEN, "no one has asked for this yet")


def _unknown_name(access: Access, host: str) -> RefusedError:
    name = bare_name(host)
    why = f"{_quoted(host)} is not a name that doorbelld answers to"
    settings = {"hosts": _added(name, there=access.has_hosts)} if is_name(name) else {}
    return RefusedError(HTTPStatus.MISDIRECTED_REQUEST, why, **settings)


def _untrusted_proxy(access: Access, sign: str, peer: str, host: str) -> RefusedError:
    peer, name = str(to_address(peer)), bare_name(host)
    why = f"this came through a proxy, as {sign} shows, and {peer} is not in trusted_proxies"
    settings = {"trusted_proxies": _added(peer, there=access.has_proxies)}
    if is_name(name) and not access.answers_to(name):
        settings["hosts"] = _added(name, there=access.has_hosts)
    return RefusedError(HTTPStatus.FORBIDDEN, why, **settings)


def _hidden_client(access: Access, host: str, peer: str) -> RefusedError:
    """Return the refusal where only the Host shows that something hides the client."""
    if access.is_own(peer):
        return _untrusted_proxy(access, f"the name {_quoted(host)}", peer, host)
    name = bare_name(host)
    why = f"{name} is no address of this machine or its network: a router hides the client"
    settings = {"hosts": _added(name, there=access.has_hosts)}
    return RefusedError(HTTPStatus.FORBIDDEN, why, **settings)


def _added(text: str, *, there: bool) -> str:
    """Return the value of a list in the configuration with this text added."""
    return f"{_MORE}{text}" if there else text


def _host(headers: Headers, target: str) -> str | None:
    """Return the name that is asked for; None if a program sends none."""
    hosts = headers.get_all("Host")
    if len(hosts) > 1:
        raise RequestError("there is more than one Host")
    if _IS_URL.match(target):  # then the name in it counts
        try:
            return urlsplit(target).netloc.rpartition("@")[2]
        except ValueError:
            raise RequestError("the URL cannot be understood") from None
    return hosts[0].strip() if hosts else None


def _embedder(access: Access, request: Request, host: str, *, is_proxied: bool) -> str:
    """Return the origin of the page that makes the browser ask, as far as the browser says it.

    Some pages do not let it. Then the headers of the answer keep them from showing us.
    """
    headers = request.headers
    named = headers.get("Origin")
    page = named or headers.get("Referer")
    is_get = request.method in ("GET", "HEAD")
    if not page:
        if not is_get and _site_of(headers) in _OTHER_SITES:
            raise RefusedError(HTTPStatus.FORBIDDEN, "another web site asks for this")
        return ""
    page = origin(page)
    if access.embeds(page):
        return page
    # A person may follow a link to us; a browser asks for text/html only to open a page. A form
    # is no link, and Firefox before 70 sends no Origin with it.
    is_link = is_get and not named and "text/html" in headers.get("Accept")
    if is_link or _is_ours(access, headers, page, host, is_proxied=is_proxied):
        return ""
    why = "another web site asks for this"
    if is_proxied:
        why += "; if it is this page behind the proxy, add its host name to hosts"
    raise RefusedError(HTTPStatus.FORBIDDEN, why)


def _is_ours(access: Access, headers: Headers, page: str, host: str, *, is_proxied: bool) -> bool:
    """Return whether this page, an origin, is one of ours.

    A browser that sends Sec-Fetch-Site knows best, and no page can set that header. Others send
    only the origin. A trusted proxy may listen at another port, and ask us without the port or by
    a name that is not the one in the browser. So behind a proxy the name is enough, if this
    machine is known by it. Without a proxy another port is another site.
    """
    site = _site_of(headers)
    if site in ("same-origin", *_OTHER_SITES):
        return site == "same-origin" and bool(host)
    if not is_proxied or page == "null":
        return is_same_place(page, host)
    forwarded = ",".join(headers.get_all("X-Forwarded-Host")).split(",")
    asked = [host, *(each.strip() for each in forwarded if access.answers_to(each.strip()))]
    name = bare_host(page)
    # A proxy may have removed the port from the Host.
    if any(is_same_place(page, each) or each.lower() in (name, bracketed(name)) for each in asked):
        return True
    return access.is_named(name)


def _site_of(headers: Headers) -> str:
    """Return what a browser says of the page that asks, "" if it says nothing."""
    return headers.get("Sec-Fetch-Site").strip().lower()


def _quoted(text: str) -> str:
    """Return a text that a client has sent, short and harmless in a log or a page."""
    shown = text if len(text) <= _MOST else f"{text[:_MOST]}..."
    return ascii(shown)


@lru_cache(maxsize=64)  # ``visitor`` is one of ``embed``.
def security(
    embed: tuple[str, ...] = (),
    visitor: str = "",
    *,
    hsts: bool = False,
    shared: bool = False,
    proxied: bool = False,
) -> Mapping[str, str]:
    """Return the headers by which pages load nothing foreign, and no other site shows or reads us.

    Except the origins in ``embed``, which may frame the page. ``visitor`` is the origin of such a
    page that asks now: it may show the picture, and read the answer. With ``shared`` every page
    may show this answer, and none may read it. With ``hsts`` browsers use only HTTPS from now on.

    With ``proxied`` a page of the same origin may frame us: behind a proxy, that may be another
    program at another path, such as Home Assistant. It could read everything here anyway.
    """
    ancestors = " ".join([*embed, *["'self'"] * proxied]) or "'none'"
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": _PERMISSIONS,
        "Content-Security-Policy": f"{_POLICY}; frame-ancestors {ancestors}",
        "Cross-Origin-Resource-Policy": "cross-origin" if visitor or shared else "same-origin",
    }
    if hsts:
        headers["Strict-Transport-Security"] = f"max-age={_A_YEAR}"
    if embed:
        headers["Vary"] = "Origin, Referer"
    if visitor:
        headers["Access-Control-Allow-Origin"] = visitor
    return headers
