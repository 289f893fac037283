"""Access: which requests are allowed, by address, by name, and by the page that sends them.

Three questions about every request:

* Is the client's address in an allowed network?
* Does it ask for a name that is ours? A page of another site whose own name points to this machine
  (DNS rebinding) would otherwise count as ours in the visitor's browser.
* Does it come from a page of another site, and may that page show us?
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Union

from doorbelld.net import addresses
from doorbelld.net.names import (
    Address,
    address_in,
    bare_host,
    bare_name,
    forwarded_address,
    is_address,
    is_private,
    own_names,
    to_address,
)

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

LAN = addresses.PRIVATE
"""Always part of the LAN; «lan» adds the networks that this machine's interfaces are in."""

_ANYWHERE = ("0.0.0.0/0", "::/0")
_LEAST_PREFIX = {4: 8, 6: 32}
"""Bits: an interface with a wider network than that is not in a LAN."""

_FRESH = 5.0
"""Seconds for which the interfaces' addresses are cached."""

_GRACE = 6.0
"""Seconds for which a network still counts after its address is gone. DHCP may remove an address
and assign the same one a moment later; no viewer should lose the stream for that."""


class Access:
    """Decides by the configuration: lists of texts as config/schema.py describes them.

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
        own: Callable[[], Iterable[addresses.Interface]] = addresses.own,
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
        """Return whether the peer of a connection is a trusted proxy."""
        return self._is_proxy(to_address(peer))

    def client(self, peer: str, forwarded: str) -> str:
        """Return the address of the client, as text.

        That is the peer of the connection. If the peer is a trusted proxy, it is the last address
        in ``forwarded``, its X-Forwarded-For, that is no trusted proxy; the first if all are.
        Raises ValueError if a trusted proxy names no address there.
        """
        if not self.trusts(peer):
            return peer
        for text in reversed(forwarded.split(",")):
            client = forwarded_address(text)
            if not self._is_proxy(client):
                break
        return str(client)

    def admits(self, client: str) -> bool:
        """Return whether an address is in an allowed network."""
        return self._is_in(to_address(client), self._networks, self._with_own)

    def answers_to(self, host: str) -> bool:
        """Return whether the name in a Host header (or URL) is one of ours, at any port."""
        name = bare_name(host)
        return bool(name) and (
            is_address(name)  # An address cannot be the name of another site.
            or self._is_configured(name)
            or is_private(name)
            or name in own_names()  # last, because it takes longest
        )

    def is_own(self, peer: str) -> bool:
        """Return whether the peer of a connection is on this machine."""
        address = to_address(peer)
        return address.is_loopback or address in self._find_own_addresses()

    def is_direct(self, host: str, peer: str) -> bool:
        """Return whether a client that is itself the ``peer`` would ask for ``host``.

        Otherwise something in between hides the client: a proxy on this machine that passes on
        its client's Host, or a router that forwards a port and uses an address of its own.
        """
        name, address = bare_name(host), to_address(peer)
        asked = address_in(name)
        if not self.is_own(peer):
            return asked is None or str(asked) in self._hosts or self._may_be_here(asked, address)
        if asked is not None:  # A client on this machine connects from the address it asks for.
            return asked.is_loopback if address.is_loopback else asked == address
        if name == "localhost" or name.endswith((".local", ".localhost")):
            return True
        return name in own_names()

    def embeds(self, origin: str) -> bool:
        """Return whether a page of that origin may show the picture and read our answers."""
        return origin in self.embed

    def is_named(self, host: str) -> bool:
        """Return whether a host is one of ``hosts``, or a name or address of this machine.

        Unlike :meth:`answers_to` this accepts no name or address that may belong to another device.
        The port does not count.
        """
        name = bare_host(host)
        short = socket.gethostname().partition(".")[0].lower()
        if self._is_configured(name) or name in own_names() or name == f"{short}.local":
            return True
        asked = address_in(name)
        return asked is not None and not asked.is_loopback and asked in self._find_own_addresses()

    def reaches(self, interface: addresses.Interface) -> bool:
        """Return whether clients in the network of this interface would be answered."""
        network = interface.network
        same = (each for each in self._networks if each.version == network.version)
        if any(each.overlaps(network) for each in same):
            return True
        is_alone = network.num_addresses == 1
        return self._with_own and is_lan(network) and not is_alone

    def has_lost_a_network(self) -> bool:
        """Ask the kernel for the interfaces' networks; return whether one is gone."""
        self._refresh()
        has_lost, self._has_lost = self._has_lost, False
        return has_lost

    def _refresh(self) -> None:
        now, found = time.monotonic(), list(self._own())
        seen: dict[Network, float] = {}
        before = self._own_networks
        if found:
            seen = {each.network: now for each in found if is_lan(each.network)}
            self._own_addresses = frozenset(each.ip for each in found)
            kept = {network: at for network, at in before.items() if now - at < _GRACE}
        else:  # The kernel could not be asked: no descriptor is free.
            kept = dict.fromkeys(before, now)
        self._own_networks = {**kept, **seen}
        self._has_lost |= not before.keys() <= self._own_networks.keys()
        # Last, because other threads read it: better to ask twice than to find none.
        self._own_known_until = now + _FRESH

    def _is_configured(self, name: str) -> bool:
        return name in self._hosts or name.endswith(self._domains)

    def _may_be_here(self, asked: Address, peer: Address) -> bool:
        """Return whether ``peer`` may ask for this address without anything hiding clients.

        A client in the LAN asks for an address of the LAN. A client with a public address of its
        own is not hidden.
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
        """Return the networks of the interfaces; the kernel is asked now and then."""
        if time.monotonic() >= self._own_known_until:
            self._refresh()
        return self._own_networks

    def _find_own_addresses(self) -> frozenset[Address]:
        self._find_own()
        return self._own_addresses


def _is_in_any(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _networks(texts: Iterable[str]) -> list[Network]:
    found: list[str] = []
    for text in texts:
        found += {"lan": LAN, "any": _ANYWHERE}.get(text, (text,))
    return [ipaddress.ip_network(text) for text in found]


_LAN_NETWORKS = _networks(LAN)


def is_lan(network: Network) -> bool:
    """Return whether the network of an interface can be a LAN, and not half the internet."""
    return network.prefixlen >= _LEAST_PREFIX[network.version]
