"""Access: who may come in, by address, by the name they ask for, and by the page they come from.

Three questions, asked of every request once its head is read:

* Does the client's address belong to the networks that are let in?
* Does it ask for a name that is ours? A page of another site that has its own name point to
  this machine (DNS rebinding) would otherwise count as ours in the visitor's browser.
* Does it come from a page of another site, and may that one show us?
"""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Union
from urllib.parse import urlsplit

from doorbelld import interfaces

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

LAN = (
    *("127.0.0.0/8", "169.254.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    *("::1/128", "fe80::/10", "fc00::/7"),
)
"""What is a LAN wherever it is; «lan» adds the networks that this machine's interfaces are in."""

_ANYWHERE = ("0.0.0.0/0", "::/0")
_LEAST_PREFIX = {4: 8, 6: 32}
"""Bits: an interface that claims a wider network than that is no LAN's."""

_FRESH = 5.0
"""Seconds for which the interfaces' addresses count as known."""

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)(?:%\w+)?\]|([^\s:\[\]/@]+))(?::(\d*))?")
_RESOLVER = Path("/etc/resolv.conf")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Access:
    """Decides by the configuration: lists of texts as settings.py describes them.

    ``networks`` and ``trusted_proxies`` are networks, where «lan» and «any» stand for
    several; ``hosts`` are names; ``embed`` are origins. ``own`` returns the addresses of this
    machine's interfaces.
    """

    def __init__(
        self,
        *,
        networks: Sequence[str] = ("lan",),
        trusted_proxies: Sequence[str] = (),
        hosts: Sequence[str] = (),
        embed: Sequence[str] = (),
        own: Callable[[], Iterable[interfaces.Interface]] = interfaces.addresses,
    ) -> None:
        self.embed = tuple(embed)
        self._networks = _networks(networks)
        self._proxies = _networks(trusted_proxies)
        self._with_own = "lan" in networks
        self._proxies_with_own = "lan" in trusted_proxies
        self._hosts = frozenset(host.lower() for host in hosts)
        self._own = own
        self._own_networks: list[Network] = []
        self._own_known_until = 0.0

    def client(self, peer: str, forwarded: str) -> str:
        """Return the address of who is asking, as text.

        That is the peer of the connection; if it is a trusted proxy, the last address in its
        X-Forwarded-For (``forwarded``) that is not one too. Raises ValueError where a proxy
        tells what is no address.
        """
        client = to_address(peer)
        if not self._is_proxy(client):
            return peer
        for text in reversed(forwarded.split(",") if forwarded.strip() else []):
            match = _HOST.fullmatch(text.strip())
            # An IPv6 address may come without the brackets, and then with no port.
            bare = (match[1] or match[2]) if match else text.strip()
            client = to_address(bare)
            if not self._is_proxy(client):
                break
        return str(client)

    def admits(self, client: str) -> bool:
        """Tell whether an address is in the networks that are let in."""
        return self._is_in(to_address(client), self._networks, self._with_own)

    def answers_to(self, host: str) -> bool:
        """Tell whether the name in a Host header (or URL) is one of ours, at whatever port."""
        match = _HOST.fullmatch(host)
        if not match:
            return False
        if match[1]:
            return True  # An address is never somebody else's name.
        name = match[2].lower().removesuffix(".")
        with suppress(ValueError):
            ipaddress.IPv4Address(name)
            return True
        return (
            name == "localhost"
            or name.endswith(".local")
            or name in self._hosts
            or name in own_names()
        )

    def embeds(self, origin: str) -> bool:
        """Tell whether a page of that origin may show the picture and read what we answer."""
        return origin in self.embed

    def is_proxy(self, peer: str) -> bool:
        """Tell whether the peer of a connection is a trusted proxy."""
        return self._is_proxy(to_address(peer))

    def is_named(self, host: str) -> bool:
        """Tell whether a host is one of ``hosts``, or a name or address of this machine.

        Unlike :meth:`answers_to` this takes no name or address that may belong to another device.
        The port does not count.
        """
        name = bare_host(host)
        short = socket.gethostname().partition(".")[0].lower()
        if name in self._hosts or name in own_names() or name == f"{short}.local":
            return True
        own = (each.ip for each in self._own())
        return any(name == str(ip) for ip in own if not ip.is_loopback)

    def _is_proxy(self, address: Address) -> bool:
        return self._is_in(address, self._proxies, self._proxies_with_own)

    def _is_in(self, address: Address, networks: Iterable[Network], with_own: bool) -> bool:
        if any(address in network for network in networks):
            return True
        return with_own and any(address in network for network in self._find_own())

    def _find_own(self) -> list[Network]:
        """Return the networks of the interfaces, asked of the kernel once in a while."""
        now = time.monotonic()
        if now >= self._own_known_until:
            found = [
                each.network
                for each in self._own()
                if each.network.prefixlen >= _LEAST_PREFIX[each.version]
            ]
            # None at all means that the kernel could not be asked, for want of a descriptor.
            self._own_networks = found or self._own_networks
            # Last, for other threads look meanwhile: better asked twice than told of none.
            self._own_known_until = now + _FRESH
        return self._own_networks


def own_names() -> set[str]:
    """Return the names of this machine: its host name, and that in the LAN's own domains."""
    full = socket.gethostname().lower()
    short = full.partition(".")[0]
    return {full, short, *(f"{short}.{domain}" for domain in _search_domains())}


def origin(url: str) -> str:
    """Return the origin of a URL as browsers write it; "null" for what has none."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return "null"
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        return "null"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    is_default = port is None or port == _DEFAULT_PORTS[parts.scheme]
    return f"{parts.scheme}://{host}" if is_default else f"{parts.scheme}://{host}:{port}"


def bare_host(text: str) -> str:
    """Return the host of a Host header or of an origin: no scheme, no port, lower case.

    It is empty where there is none.
    """
    with suppress(ValueError):
        return (urlsplit(f"//{text.rpartition('://')[2]}").hostname or "").removesuffix(".")
    return ""


def is_same_place(page: str, host: str) -> bool:
    """Tell whether an origin is that of the request's own Host.

    The scheme does not count: a proxy in front may speak HTTPS where we do not.
    """
    scheme = page.partition("://")[0]
    return page != "null" and origin(f"{scheme}://{host}") == page


def _search_domains() -> list[str]:
    """Return the domains that the LAN told this machine, such as fritz.box: resolv.conf(5)."""
    try:
        lines = _RESOLVER.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for keyword, *domains in filter(None, map(str.split, lines)):
        if keyword in ("search", "domain"):
            found += [domain.lower().rstrip(".") for domain in domains]
    return found


def _networks(texts: Iterable[str]) -> list[Network]:
    found: list[str] = []
    for text in texts:
        found += {"lan": LAN, "any": _ANYWHERE}.get(text, (text,))
    return [ipaddress.ip_network(text) for text in found]


def to_address(text: str) -> Address:
    """Return an address; an IPv4 address in IPv6's clothes as what it is. Raises ValueError."""
    found = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped or found
