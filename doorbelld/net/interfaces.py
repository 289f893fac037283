"""Interfaces: the addresses of this machine, from the kernel (rtnetlink(7))."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from typing import Union

Interface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]

_HEADER = struct.Struct("I H H I I")  # struct nlmsghdr: length, type, flags, sequence, port
_ADDRESS = struct.Struct("B B B B I")  # struct ifaddrmsg: family, prefix length, …, index
_ATTRIBUTE = struct.Struct("H H")  # struct rtattr: length, type
_GET_ADDRESSES = _HEADER.pack(17, 22, 0x301, 1, 0) + b"\0"  # RTM_GETADDR, REQUEST | DUMP, any
_NEW_ADDRESS, _DONE, _ERROR = 20, 3, 2
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_MOST = 1 << 18


def addresses() -> list[Interface]:
    """Return every address with the length of its prefix; [] if there is no netlink."""
    return [address for _, address in _numbered_addresses()]


def named_addresses() -> list[tuple[str, Interface]]:
    """Return the same, each with the name of its interface, such as eth0."""
    names = dict(socket.if_nameindex())
    return [(names.get(index, f"#{index}"), address) for index, address in _numbered_addresses()]


def _numbered_addresses() -> list[tuple[int, Interface]]:
    """Return the same, each with the number of its interface."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
            kernel.settimeout(1)
            kernel.send(_GET_ADDRESSES)
            return list(_received(kernel))
    except OSError:
        return []


def outward_address() -> str | None:
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
