"""Listeners: the listening sockets for all configured addresses, IPv6 and IPv4."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from doorbelld.net import addresses, holder
from doorbelld.net.holder import Holder

_log = logging.getLogger(__name__)

_BACKLOG = 1024
_FIRST_UNPRIVILEGED = 1024
_ANY = ("", "::", "0.0.0.0")  # compared, not bound
_Choice = Sequence[tuple[int, Any]]
_Kept = dict[Any, socket.socket]
_FREEBIND = (socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND in ip(7), which Python does not name
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


class ListenError(OSError):
    """It is not possible to listen at ``place``, a (host, port).

    ``strerror`` is the whole sentence with the remedy, the text a short form of it, and ``kind``
    stays the same while the cause is the same.
    """

    def __init__(self, place: tuple[str, int], why: str, number: int = 0) -> None:
        host, port = self.place = place
        where = addresses.with_port(host, port)
        self._short = f"{where}: {why}"
        self.kind = why
        helps = ""
        if number in (errno.EADDRINUSE, errno.EACCES):
            self._short = f"port {port}: {why}"
        if number == errno.EADDRINUSE:
            # The program may have ended, or be unknown: the kind stays the same.
            found = holder.find(host, port) or Holder()
            self._short = f"port {port}: in use by {found}"
            why += f" by {found}"
            helps = f"; {advice(port)}"
        elif number == errno.EACCES and port < _FIRST_UNPRIVILEGED:
            helps = "; for a port below 1024 enable doorbelld.socket, see man doorbelld"
        super().__init__(number, f"cannot listen on {where}: {why}{helps}")

    def __str__(self) -> str:
        """Return the short form."""
        return self._short


def advice(port: int) -> str:
    """Return what helps if another program has the port."""
    other = 8080 if port != 8080 else 8081
    return f"stop that program, or choose another port, such as listen = :{other}"


def open_listeners(
    addresses: Sequence[tuple[str, int]], before: Sequence[socket.socket] = ()
) -> tuple[list[socket.socket], list[ListenError]]:
    """Listen on every (host, port); an empty host means all addresses of the machine.

    Listeners of ``before`` at one of these addresses are kept; the others are closed. Returns the
    listeners, and an error for each address that failed.
    """
    found: list[socket.socket] = []
    failed: list[ListenError] = []
    kept: _Kept = {each.getsockname()[:2]: each for each in before}
    choices: list[tuple[tuple[str, int], _Choice]] = []
    # "All addresses" comes first: it may include others of the list.
    for place in sorted(dict.fromkeys(addresses), key=_narrowness):
        try:
            choices.append((place, _resolve(*place)))
        except OSError as error:
            failed.append(_failure(place, error))
    # Before new ones are opened, which may be at the same port.
    _end_all_but(kept, [address[:2] for _, choice in choices for _, address in choice])
    for place, choice in choices:
        try:
            found += _listen(choice, kept) if place[0] else [_listen_anywhere(choice, kept)]
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _is_covered(place):
                failed.append(_failure(place, error))
    _end_all_but(kept, [])
    return found, failed


def _narrowness(place: tuple[str, int]) -> int:
    return _ANY.index(place[0]) if place[0] in _ANY else len(_ANY)


def _is_covered(place: tuple[str, int]) -> bool:
    """Return whether we listen there already, at all addresses or by another name."""
    found = holder.find(*place) if place[0] not in ("", "::") else None
    return found is not None and found.pid == os.getpid()


def _failure(place: tuple[str, int], error: OSError) -> ListenError:
    number = 0 if isinstance(error, socket.gaierror) else error.errno or 0
    return ListenError(place, error.strerror or str(error), number)


def end(listeners: Iterable[socket.socket]) -> None:
    """Stop listening, even if others have copies of the sockets."""
    for listener in listeners:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def url(listener: socket.socket, host: str, *, secure: bool) -> str:
    """Return the URL of the page at this listener, with ``host`` if it is at all addresses."""
    own, port = listener.getsockname()[:2]
    where = addresses.with_port(host if addresses.is_all(own) else own, port)
    return f"{'https' if secure else 'http'}://{where}/"


def _resolve(host: str, port: int) -> _Choice:
    """Return family and address of everything that a name resolves to, each only once."""
    if not host:
        return [(socket.AF_INET6, ("::", port)), (socket.AF_INET, ("0.0.0.0", port))]
    name = addresses.encoded(host)
    infos = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in infos))


def _end_all_but(kept: _Kept, wanted: Sequence[tuple[Any, ...]]) -> None:
    end([kept.pop(place) for place in list(kept) if place not in wanted])


def _listen_anywhere(choice: _Choice, kept: _Kept) -> socket.socket:
    """Listen on all addresses of the machine: with one socket for IPv6 and IPv4, if it has both."""
    (family, address), without_ipv6 = sorted(choice, key=lambda each: each[1] not in kept)
    try:
        return _bind(family, address, kept)
    except OSError as error:
        if error.errno not in _NO_IPV6:
            raise
        return _bind(*without_ipv6, kept)


def _listen(choice: _Choice, kept: _Kept) -> list[socket.socket]:
    """Listen on all addresses of a name that this machine has: localhost is often ::1 too."""
    found: list[socket.socket] = []
    missing: OSError | None = None
    for family, address in choice:
        try:
            found.append(_bind(family, address, kept))
        except OSError as error:
            if error.errno not in _NO_IPV6:
                end(found)  # and the copies that the service manager has
                raise
            missing = error
    if missing and not found:
        return [_bind_before(missing, family, address) for family, address in choice]
    return found


def _bind_before(missing: OSError, family: int, address: Any) -> socket.socket:
    """Listen on an address that this machine does not have yet: DHCP may bring it later.

    Raises ``missing`` if that is not the problem.
    """
    if missing.errno != errno.EADDRNOTAVAIL:
        raise missing
    listener = _bind(family, address, {}, _FREEBIND)
    _log.warning("this machine does not have the address %s yet: waiting for it", address[0])
    return listener


def _bind(family: int, address: Any, kept: _Kept, *options: tuple[int, int, int]) -> socket.socket:
    known = kept.pop(address[:2], None)
    if known:
        return known
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Only "::" includes IPv4.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        for option in options:
            listener.setsockopt(*option)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
