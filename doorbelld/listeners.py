"""Listening sockets: every address asked for, IPv6 and IPv4 alike where both exist."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import Any

_BACKLOG = 1024
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


def open_listeners(addresses: Sequence[tuple[str, int]]) -> list[socket.socket]:
    """Listen on every (host, port); an empty host means all addresses of the machine.

    Raises OSError, whose strerror names the address, and then leaves nothing open.
    """
    found: list[socket.socket] = []
    for host, port in addresses:
        try:
            found += _listen(host, port)
        except OSError as error:
            for listener in found:
                listener.close()
            place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            why = f"cannot listen on {place}: {error.strerror}"
            raise OSError(error.errno, why) from error
    return found


def url(listener: socket.socket, host: str) -> str:
    """Return the address of the page as served by a listener of every address, or its own."""
    own, port = listener.getsockname()[:2]
    if own not in ("::", "0.0.0.0"):  # compared, not bound
        host = f"[{own}]" if ":" in own else own
    return f"http://{host}:{port}/"


def _listen(host: str, port: int) -> list[socket.socket]:
    if host:
        return _listen_by_name(host, port)
    try:
        return [_bind(socket.AF_INET6, ("::", port))]
    except OSError as error:
        if error.errno not in _NO_IPV6:
            raise
        return [_bind(socket.AF_INET, ("", port))]


def _listen_by_name(host: str, port: int) -> list[socket.socket]:
    """Listen on all addresses of a name that this machine has: localhost often names ::1 too."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # Each is named only once, whatever the resolver says.
    addresses = {address: family for family, _, _, _, address in infos}
    found: list[socket.socket] = []
    missing: OSError | None = None
    for address, family in addresses.items():
        try:
            found.append(_bind(family, address))
        except OSError as error:
            if error.errno not in _NO_IPV6:
                for listener in found:
                    listener.close()
                raise
            missing = error
    if missing and not found:
        raise missing
    return found


def _bind(family: int, address: Any) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Only the address of all addresses stands for IPv4 too.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
