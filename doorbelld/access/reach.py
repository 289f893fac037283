"""Reach: the addresses of this machine at which a phone gets an answer."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator

from doorbelld.access.policy import Access, is_lan
from doorbelld.net.addresses import Interface, bracketed, outward, own_named

_ANYWHERE = {"", "::", "0.0.0.0"}  # compared, not bound
_SHARED = ipaddress.ip_network("100.64.0.0/10")
"""The range from which Tailscale assigns addresses (RFC 6598)."""


def addresses(access: Access) -> list[str]:
    """Return the addresses at which phones in their networks get an answer, the best first."""
    found = [each.ip for _, each in _candidates() if access.reaches(each)]
    # There may be more of them, for containers.
    first = outward()
    return [str(ip) for ip in sorted(found, key=lambda ip: (str(ip) != first, ip.version))]


def is_answered(host: str, access: Access) -> bool:
    """Return whether any client gets an answer at this name or address of ours."""
    if not access.answers_to(bracketed(host)):
        return False
    at = [each for _, each in own_named() if str(each.ip) == host]
    return not at or any(map(access.reaches, at))


def doubts(access: Access, listen: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each address at which only this machine gets an answer.

    ``listen`` are the names and addresses of the listeners.
    """
    for host in listen:
        if host and not access.answers_to(bracketed(host)):
            yield f"Name {host}: doorbelld does not answer to it; add it to hosts"
    everywhere = not _ANYWHERE.isdisjoint(listen)
    for name, each in _candidates():
        if (everywhere or str(each.ip) in listen) and not access.reaches(each):
            missing = _missing(each)
            yield f"Address {each.ip} ({name}): phones there get 403; add {missing} to networks"


def _missing(interface: Interface) -> str:
    """Return what ``networks`` lacks."""
    network = interface.network
    if interface.version == 4 and interface.ip in _SHARED:
        return str(_SHARED)
    if network.num_addresses == 1 or not is_lan(network):
        return "the addresses of the phones"
    return str(network)


def _candidates() -> list[tuple[str, Interface]]:
    return [
        (name, each)
        for name, each in own_named()
        if not (each.ip.is_loopback or each.ip.is_link_local)
    ]
