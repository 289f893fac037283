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
from functools import lru_cache
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

_GRACE = 6.0
"""Seconds for which a network still counts after its address is gone. DHCP may take an address
away and give the same one back a moment later; nobody should lose the stream for that."""

_PRIVATE_ZONES = (
    *(".local", ".localhost", ".lan", ".home", ".home.arpa"),
    *(".internal", ".intranet", ".localdomain"),
)
"""Domains that only a local network can answer for: reserved by RFC 6762 and RFC 8375, or kept
out of the public DNS. So no web site can be there, and none can point such a name at this
machine. Not «fritz.box», for example: .box is a public domain, and anyone can register there."""

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)(?:%\w+)?\]|([^\s:\[\]/@]+))(?::(\d*))?")
_LONGEST_NAME = 253
_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_RESOLVER = Path("/etc/resolv.conf")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Access:
    """Decides by the configuration: lists of texts as settings.py describes them.

    ``networks`` and ``trusted_proxies`` are networks, where «lan» and «any» stand for
    several; ``hosts`` are names, addresses, and domains such as «*.lan»; ``embed`` are origins.
    ``own`` returns the addresses of this machine's interfaces.
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
        self.has_proxies = bool(trusted_proxies)
        self.has_hosts = bool(hosts)
        self._networks = _networks(networks)
        self._proxies = _networks(trusted_proxies)
        self._with_own = "lan" in networks
        self._proxies_with_own = "lan" in trusted_proxies
        lower = [host.lower() for host in hosts]
        self._hosts = frozenset(host for host in lower if not host.startswith("*"))
        self._domains = tuple(host[1:] for host in lower if host.startswith("*"))
        self._own = own
        self._own_networks: dict[Network, float] = {}  # and when each was last seen
        self._own_addresses: frozenset[Address] = frozenset()
        self._own_known_until = 0.0
        self._has_lost = False

    def trusts(self, peer: str) -> bool:
        """Tell whether the peer of a connection is a trusted proxy."""
        return self._is_proxy(to_address(peer))

    def client(self, peer: str, forwarded: str) -> str:
        """Return the address of who is asking, as text.

        That is the peer of the connection. If it is a trusted proxy, it is the last address in
        ``forwarded``, its X-Forwarded-For, that is not a trusted proxy too; the first if all are.
        Raises ValueError where a trusted proxy gives no address there.
        """
        if not self.trusts(peer):
            return peer
        for text in reversed(forwarded.split(",")):
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
        name = bare_name(host)
        return bool(name) and (
            is_address(name)  # An address is never somebody else's name.
            or self._is_configured(name)
            or _is_private(name)
            or name in own_names()  # which takes the longest
        )

    def is_own(self, peer: str) -> bool:
        """Tell whether the peer of a connection is on this machine."""
        address = to_address(peer)
        return address.is_loopback or address in self._find_own_addresses()

    def is_direct(self, host: str, peer: str) -> bool:
        """Tell whether ``host`` may be what a client asks for that is itself the ``peer``.

        Otherwise something in between hides the client: a proxy on this machine that passes on
        its client's Host, or a router that forwards a port under an address of its own.
        """
        name, address = bare_name(host), to_address(peer)
        asked = _address_in(name)
        if not self.is_own(peer):
            return asked is None or str(asked) in self._hosts or self._may_be_here(asked, address)
        if asked is not None:  # A client on this machine connects from the address it asks for.
            return asked.is_loopback if address.is_loopback else asked == address
        if name == "localhost" or name.endswith((".local", ".localhost")):
            return True
        return name in own_names()

    def embeds(self, origin: str) -> bool:
        """Tell whether a page of that origin may show the picture and read what we answer."""
        return origin in self.embed

    def is_named(self, host: str) -> bool:
        """Tell whether a host is one of ``hosts``, or a name or address of this machine.

        Unlike :meth:`answers_to` this takes no name or address that may belong to another device.
        The port does not count.
        """
        name = bare_host(host)
        short = socket.gethostname().partition(".")[0].lower()
        if self._is_configured(name) or name in own_names() or name == f"{short}.local":
            return True
        asked = _address_in(name)
        return asked is not None and not asked.is_loopback and asked in self._find_own_addresses()

    def reaches(self, interface: interfaces.Interface) -> bool:
        """Tell whether anyone who could ask at that address of this machine would be let in."""
        network = interface.network
        same = (each for each in self._networks if each.version == network.version)
        if any(each.overlaps(network) for each in same):
            return True
        is_alone = network.num_addresses == 1
        return self._with_own and is_lan(network) and not is_alone

    def has_lost_a_network(self) -> bool:
        """Ask the kernel for the interfaces' networks; tell whether one has gone since then."""
        self._look()
        has_lost, self._has_lost = self._has_lost, False
        return has_lost

    def _look(self) -> None:
        now, found = time.monotonic(), list(self._own())
        seen: dict[Network, float] = {}
        before = self._own_networks
        if found:
            seen = {each.network: now for each in found if is_lan(each.network)}
            self._own_addresses = frozenset(each.ip for each in found)
            kept = {network: at for network, at in before.items() if now - at < _GRACE}
        else:  # The kernel could not be asked, for want of a descriptor.
            kept = dict.fromkeys(before, now)
        self._own_networks = {**kept, **seen}
        self._has_lost |= not before.keys() <= self._own_networks.keys()
        # Last, for other threads look meanwhile: better asked twice than told of none.
        self._own_known_until = now + _FRESH

    def _is_configured(self, name: str) -> bool:
        return name in self._hosts or name.endswith(self._domains)

    def _may_be_here(self, asked: Address, peer: Address) -> bool:
        """Tell whether an address that ``peer`` asks for may lead here without hiding clients.

        A client of the LAN asks for an address of the LAN. One with a public address of its own
        was hidden by nobody.
        """
        return (
            _is_in_any(asked, _LAN_NETWORKS)
            or asked in self._find_own_addresses()
            or self._is_in(asked, self._networks, self._with_own)
            or not _is_in_any(peer, _LAN_NETWORKS)
        )

    def _is_proxy(self, address: Address) -> bool:
        return self._is_in(address, self._proxies, self._proxies_with_own)

    def _is_in(self, address: Address, networks: Iterable[Network], with_own: bool) -> bool:
        if _is_in_any(address, networks):
            return True
        return with_own and _is_in_any(address, self._find_own())

    def _find_own(self) -> Iterable[Network]:
        """Return the networks of the interfaces, asked of the kernel once in a while."""
        if time.monotonic() >= self._own_known_until:
            self._look()
        return self._own_networks

    def _find_own_addresses(self) -> frozenset[Address]:
        self._find_own()
        return self._own_addresses


def bare_name(host: str) -> str:
    """Return the name or address in a Host header, without its port; "" if it is neither."""
    match = _HOST.fullmatch(host)
    if not match:
        return ""
    if match[1]:
        return match[1] if _address_in(match[1]) else ""
    return match[2].lower().removesuffix(".")


def is_address(text: str) -> bool:
    """Tell whether a text is an address."""
    return _address_in(text) is not None


def is_name(text: str) -> bool:
    """Tell whether a text could be the name of a machine."""
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None


def own_names() -> set[str]:
    """Return the names of this machine: its host name, and that in the LAN's own domains.

    Asked each time, for a host name may be changed at any time.
    """
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


def _is_in_any(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _networks(texts: Iterable[str]) -> list[Network]:
    found: list[str] = []
    for text in texts:
        found += {"lan": LAN, "any": _ANYWHERE}.get(text, (text,))
    return [ipaddress.ip_network(text) for text in found]


def to_address(text: str) -> Address:
    """Return an address; an IPv4 address in IPv6's clothes as what it is. Raises ValueError."""
    return _parsed(text.partition("%")[0])


@lru_cache(maxsize=256)  # The same few are asked for several times with every request.
def _parsed(text: str) -> Address:
    found = ipaddress.ip_address(text)
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped or found


_LAN_NETWORKS = _networks(LAN)


def _is_private(name: str) -> bool:
    """Tell whether a name is one that nobody can have on the internet.

    A name without a dot is looked up in the local network, whose members may watch anyway.
    """
    zone = f".{name.partition('.')[2]}"
    return is_name(name) if zone == "." else zone.endswith(_PRIVATE_ZONES)


def is_lan(network: Network) -> bool:
    """Tell whether the network of an interface can be a LAN, and not half the internet."""
    return network.prefixlen >= _LEAST_PREFIX[network.version]


def _address_in(name: str) -> Address | None:
    with suppress(ValueError):
        return None if "%" in name else to_address(name)
    return None
