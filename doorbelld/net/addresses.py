"""Addresses: how they are written with a port, in a URL and in a request, and which ones are ours.

The kernel lists those of its interfaces: rtnetlink(7).
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from typing import Union
from urllib.parse import SplitResult, quote

Interface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]
"""An address with the length of its network's prefix."""

PRIVATE = (
    *("127.0.0.0/8", "169.254.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    *("::1/128", "fe80::/10", "fc00::/7"),
)
"""Networks whose addresses do not exist on the internet."""

_SAFE = "%/:=&~+!$,;'@()*[]|?"
"""Characters that need not be quoted in a path or query."""

_ALL = ("", "::", "0.0.0.0")  # compared, not bound
_DEFAULT_PORTS = {"http": 80, "https": 443}

_HEADER = struct.Struct("I H H I I")  # struct nlmsghdr: length, type, flags, sequence, port
_ADDRESS = struct.Struct("B B B B I")  # struct ifaddrmsg: family, prefix length, …, index
_ATTRIBUTE = struct.Struct("H H")  # struct rtattr: length, type
_GET_ADDRESSES = _HEADER.pack(17, 22, 0x301, 1, 0) + b"\0"  # RTM_GETADDR, REQUEST | DUMP, any
_NEW_ADDRESS, _DONE, _ERROR = 20, 3, 2
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_MOST = 1 << 18


def is_all(host: str) -> bool:
    """Return whether to listen on ``host`` means all addresses of this machine."""
    return host in _ALL


def bracketed(host: str) -> str:
    """Return a name or address as it is written in a URL, or before a port."""
    return f"[{host}]" if ":" in host else host


def with_port(host: str, port: int) -> str:
    """Return HOST:PORT, such as ``127.0.0.1:80`` or ``[::1]:80``."""
    return f"{bracketed(host)}:{port}"


def origin(scheme: str, host: str, port: int | None) -> str:
    """Return an http or https origin as browsers write it: without the default port."""
    if port is None or port == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{bracketed(host)}"
    return f"{scheme}://{with_port(host, port)}"


def request_target(url: SplitResult) -> str:
    """Return path and query of a URL as the first line of a request has them."""
    query = f"?{quote(url.query, _SAFE)}" if url.query else ""
    return quote(url.path or "/", _SAFE) + query


def encoded(host: str) -> bytes:
    """Return a name or address as getaddrinfo() takes it. Raises ValueError for a bad name.

    Given a text, getaddrinfo() would use the idna codec, which takes 400 KB of memory even for
    names that it does not change.
    """
    if not host.isascii():
        return host.encode("idna")
    *labels, last = host.split(".")
    if not all(0 < len(label) < 64 for label in labels) or len(last) >= 64:
        raise ValueError("a part of the name is empty or too long")
    return host.encode("ascii")


def own() -> list[Interface]:
    """Return every address of this machine; [] if there is no netlink."""
    return [address for _, address in _own_numbered()]


def own_named() -> list[tuple[str, Interface]]:
    """Return the same, each with the name of its interface, such as eth0."""
    names = dict(socket.if_nameindex())
    return [(names.get(index, f"#{index}"), address) for index, address in _own_numbered()]


def _own_numbered() -> list[tuple[int, Interface]]:
    """Return the same, each with the number of its interface."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
            kernel.settimeout(1)
            kernel.send(_GET_ADDRESSES)
            return list(_received(kernel))
    except OSError:
        return []


def outward() -> str | None:
    """Return the IPv4 address that other machines see; None if there is no network."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            # Nothing is sent: the kernel only chooses the address of the sender.
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
    except OSError:  # or there is no descriptor left
        return None


def _received(kernel: socket.socket) -> Iterator[tuple[int, Interface]]:
    while True:
        data = kernel.recv(_MOST)
        while len(data) >= _HEADER.size:
            length, kind, *_ = _HEADER.unpack_from(data)
            if kind in (_DONE, _ERROR) or length < _HEADER.size:
                return
            if kind == _NEW_ADDRESS:
                yield _interface(data[_HEADER.size : length])
            data = data[_aligned(length) :]


def _interface(message: bytes) -> tuple[int, Interface]:
    _, prefix, _, _, index = _ADDRESS.unpack_from(message)
    found = dict(_attributes(message[_ADDRESS.size :]))
    # On a point-to-point link ADDRESS is that of the other end; LOCAL is always ours.
    own = found.get(_IFA_LOCAL) or found[_IFA_ADDRESS]
    return index, ipaddress.ip_interface((own, prefix))


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        yield kind, data[_ATTRIBUTE.size : length]
        data = data[max(_aligned(length), _ATTRIBUTE.size) :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3
