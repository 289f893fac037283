"""Addresses: how they are written with a port and in a URL, and which ones are private."""

from __future__ import annotations

PRIVATE = (
    *("127.0.0.0/8", "169.254.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    *("::1/128", "fe80::/10", "fc00::/7"),
)
"""Networks whose addresses do not exist on the internet."""

_ALL = ("", "::", "0.0.0.0")  # compared, not bound
_DEFAULT_PORTS = {"http": 80, "https": 443}


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
