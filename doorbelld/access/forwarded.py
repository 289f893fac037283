"""Forwarded: signs that a request came through a proxy, and which client the proxy names.

A proxy that is not trusted must be noticed: all its clients have the proxy's address, and seem to
be in the LAN. Nearly every proxy adds a header that says so. nginx adds none by default, but it
can be recognised by what it always changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

Fields = Sequence[tuple[str, str]]
"""The header lines of a request in their order: name and value."""

_LONG = 40
"""Letters of a name that are compared: no known name has more."""

_OF_PROXIES = re.compile(
    r"(?:x-)?forwarded(?:-.*)?|via|(?:x-)?(?:client|real|remote|originating|true-client)-(?:ip|addr)"
    r"|(?:x-cluster-|true-|wl-proxy-|incap-)client-ip|x-proxyuser-ip|remote-addr|x-host"
    r"|x-varnish|x-cloud-trace-context|x-hass-source|x-ingress-path|x-replaced-path"
    r"|(?:x-original|x-envoy|x-azure|x-arr|x-amzn|x-amz-cf|x-appengine|x-vercel"
    r"|x-nf|x-sucuri|x-akamai|akamai|cdn|cf|cloudfront|fastly|fly|ngrok|proxy|tailscale)-.*"
)
"""Headers of proxies, tunnels and content delivery networks; no browser and no camera program
sends any of them."""

_NOT_BEFORE = frozenset(["user-agent", "accept", "x-forwarded-for", "forwarded"])
"""What never comes before ``Connection: close`` if nginx adds no header of its own."""


def sign_of_proxy(fields: Fields) -> str:
    """Return what shows that a proxy has passed a request on; "" if nothing does."""
    for name, _ in fields:
        if _is_of_proxies(name[:_LONG]):
            return f"the header {name[:_LONG]}"
    names = [name.lower() for name, _ in fields]
    options = [value.strip() for name, value in fields if name.lower() == "connection"]
    if "upgrade" in ",".join(options).lower() and "upgrade" not in names:
        return "a Connection header without the Upgrade it speaks of"
    if options in (["upgrade"], ["Upgrade"]):
        # Clients write it with a capital, and Host comes first.
        is_early = "host" in names and names.index("connection") < names.index("host")
        if is_early or options == ["upgrade"]:
            return "a Connection header as nginx has it for web sockets"
    return ""


def is_bare_nginx(fields: Fields, version: str) -> bool:
    """Return whether a request looks like nginx's where it sets no X-Forwarded-For of its own.

    nginx begins with the headers that it sets itself: what is configured, then Host and
    Connection unless these were configured; what the client has sent follows. Few other programs
    send Connection with HTTP/1.0, and these send their User-Agent first. With HTTP/1.1 small
    programs begin with both like nginx, but hardly ever with a port in the Host and more headers.
    """
    if ("Connection", "close") not in fields:
        return False
    before = [name.lower() for name, _ in fields[: fields.index(("Connection", "close"))]]
    if version == "HTTP/1.0":
        return "host" in before and not _NOT_BEFORE.intersection(before)
    return before == ["host"] and _names_port(fields[0][1]) and len(fields) > 2


def is_like_nginx(fields: Fields, *, here: bool) -> bool:
    """Return whether a request looks like one that nginx sends, and hardly any other program.

    If Connection is configured, as for web sockets, it comes before a Host that is not, and that
    Host then has a port. ``here`` says that the request comes from this machine. Then a head of
    only Host and Connection counts as well: any client can make nginx send it.
    """
    if len(fields) < 2 or ("Connection", "close") not in fields[:2]:
        return False
    (first, value), (second, host) = fields[:2]
    if first == "Connection":
        return second == "Host" and _names_port(host)
    return here and len(fields) == 2 and first == "Host" and _names_port(value)


def _names_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]


def named_clients(fields: Fields) -> list[str]:
    """Return the addresses that proxies have named, with commas: one text for each kind of header.

    They may be anything but addresses, or empty.
    """
    forwarded = [value for name, value in fields if name.lower() == "forwarded"]
    found = [
        ",".join(value for name, value in fields if name.lower() == "x-forwarded-for"),
        ",".join(map(_client_in, ",".join(forwarded).split(","))),
    ]
    return [each for each in found if each.strip(" \t,")]


@lru_cache(maxsize=256)  # Most requests have the same headers.
def _is_of_proxies(name: str) -> bool:
    # Some programs write _ for -. Both count as a sign.
    return _OF_PROXIES.fullmatch(name.lower().replace("_", "-")) is not None


def _client_in(element: str) -> str:
    """Return the client in one element of a Forwarded header (RFC 7239).

    No proxy puts a comma or a semicolon into a quoted value, so text between quotes is not
    looked for: what a client has begun there could swallow what the proxy has added.
    """
    return ",".join(_values_of_for(element.split(";")))


def _values_of_for(pairs: Iterable[str]) -> Iterable[str]:
    for pair in pairs:
        key, _, value = pair.strip().partition("=")
        if key.lower() == "for":
            yield re.sub(r'^"(.*)"$', r"\1", value)
