"""Forwarded: what shows that a request came through a proxy, and which client the proxy names.

A proxy that is not trusted must be noticed: all its clients have the proxy's address, and seem to
be in the LAN. Nearly every proxy adds a header that says so. nginx adds none by default, but what
it always changes gives it away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

Fields = Sequence[tuple[str, str]]
"""The header lines of a request in their order: name and value."""

_LONG = 40
"""Letters of a name that are looked at: none that is known has more."""

_OF_PROXIES = re.compile(
    r"(?:x-)?forwarded(?:-.*)?|via|(?:x-)?(?:client|real|remote|originating|true-client)-(?:ip|addr)"
    r"|(?:x-cluster-|true-|wl-proxy-|incap-)client-ip|x-proxyuser-ip|remote-addr|x-host"
    r"|x-varnish|x-cloud-trace-context|x-hass-source|x-ingress-path|x-replaced-path"
    r"|(?:x-original|x-envoy|x-azure|x-arr|x-amzn|x-amz-cf|x-appengine|x-vercel"
    r"|x-nf|x-sucuri|x-akamai|akamai|cdn|cf|cloudfront|fastly|fly|ngrok|proxy|tailscale)-.*"
)
"""Headers of proxies, tunnels and content delivery networks; no browser and no camera program
sends any of them."""


def sign_of_proxy(fields: Fields) -> str:
    """Return what shows that a proxy has passed a request on; "" if nothing does."""
    for name, _ in fields:
        if _is_of_proxies(name[:_LONG]):
            return f"the header {name[:_LONG]}"
    options = [value.lower() for name, value in fields if name.lower() == "connection"]
    if "upgrade" in ",".join(options) and not any(name.lower() == "upgrade" for name, _ in fields):
        return "a Connection header without the Upgrade it speaks of"
    return ""


def is_bare_nginx(fields: Fields, version: str) -> bool:
    """Return whether a request looks like nginx's where it sets no X-Forwarded-For of its own.

    nginx begins with the headers that it sets itself: Host, and Connection if nothing else was
    configured; what the client has sent comes after these. With HTTP/1.1 small programs begin
    like this too, but hardly with a port in the Host and further headers.
    """
    if len(fields) < 2 or [name for name, _ in fields[:2]] != ["Host", "Connection"]:
        return False
    (_, host), (_, option) = fields[:2]
    names_port = ":" in host.rpartition("]")[2] and len(fields) > 2
    return option.strip().lower() == "close" and (version == "HTTP/1.0" or names_port)


def named_clients(fields: Fields) -> list[str]:
    """Return the addresses that proxies have named, with commas, by each header that names any.

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
    # Some programs take _ for -. As a sign both will do.
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
