"""Names: the names and addresses in a request, and which of them are this machine's."""

from __future__ import annotations

import ipaddress
import re
import socket
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Union
from urllib.parse import urlsplit

from doorbelld.net import addresses

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

_PRIVATE_ZONES = (
    *(".local", ".localhost", ".lan", ".home", ".home.arpa"),
    *(".internal", ".intranet", ".localdomain"),
)
"""Domains that exist only in a local network: reserved by RFC 6762 and RFC 8375, or kept out of
the public DNS. So no web site has such a name, and none can point it at this machine. "fritz.box",
for example, is not one of them: .box is a public domain, where anyone can register a name."""

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)(?:%\w+)?\]|([^\s:\[\]/@]+))(?::(\d*))?")
_LONGEST_NAME = 253
_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_NO_HOST = re.compile(r"[\s\[\]\\]")
"""What urlsplit leaves in a host although no name or address has it."""

_RESOLVER = Path("/etc/resolv.conf")


def bare_name(host: str) -> str:
    """Return the name or address in a Host header, without its port; "" if it has none."""
    match = _HOST.fullmatch(host)
    if not match:
        return ""
    if match[1]:
        return match[1] if address_in(match[1]) else ""
    return match[2].lower().removesuffix(".")


def forwarded_address(text: str) -> Address:
    """Return the address in an element of X-Forwarded-For. Raises ValueError if there is none."""
    match = _HOST.fullmatch(text.strip())
    # An IPv6 address may come without brackets, and then without port.
    return to_address((match[1] or match[2]) if match else text.strip())


def is_address(text: str) -> bool:
    """Return whether a text is an address."""
    return address_in(text) is not None


def is_name(text: str) -> bool:
    """Return whether a text could be the name of a machine."""
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None


def own_names() -> set[str]:
    """Return the names of this machine: its host name, also within the domains of the LAN.

    Not cached: a host name may change at any time.
    """
    full = socket.gethostname().lower()
    short = full.partition(".")[0]
    return {full, short, *(f"{short}.{domain}" for domain in _search_domains())}


@lru_cache(maxsize=32)  # The page is the same one each time.
def origin(url: str) -> str:
    """Return the origin of a URL as browsers write it; "null" if it has none."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return "null"
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or _NO_HOST.search(host):
        return "null"
    return addresses.origin(parts.scheme, host, port)


def bare_host(text: str) -> str:
    """Return the host of a Host header or of an origin: no scheme, no port, lower case.

    It is empty if there is none.
    """
    with suppress(ValueError):
        return (urlsplit(f"//{text.rpartition('://')[2]}").hostname or "").removesuffix(".")
    return ""


def is_same_place(page: str, host: str) -> bool:
    """Return whether an origin is that of the request's own Host.

    The scheme may differ: a proxy may serve HTTPS while we serve HTTP.
    """
    scheme = page.partition("://")[0]
    return page != "null" and origin(f"{scheme}://{host}") == page


def _search_domains() -> list[str]:
    """Return the domains of the LAN, such as fritz.box, from resolv.conf(5)."""
    try:
        lines = _RESOLVER.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for keyword, *domains in filter(None, map(str.split, lines)):
        if keyword in ("search", "domain"):
            found += [domain.lower().rstrip(".") for domain in domains]
    return found


def is_private(name: str) -> bool:
    """Return whether a name cannot exist on the internet.

    A name without a dot is looked up in the local network, which may watch anyway.
    """
    zone = f".{name.partition('.')[2]}"
    return is_name(name) if zone == "." else zone.endswith(_PRIVATE_ZONES)


def to_address(text: str) -> Address:
    """Return an address; an IPv4-mapped one as IPv4. Raises ValueError."""
    return _parsed(text.partition("%")[0])


@lru_cache(maxsize=256)  # Every request needs the same few several times.
def _parsed(text: str) -> Address:
    found = ipaddress.ip_address(text)
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped or found


def address_in(name: str) -> Address | None:
    """Return the address that a text is, without a zone; None if it is none."""
    with suppress(ValueError):
        return None if "%" in name else to_address(name)
    return None
