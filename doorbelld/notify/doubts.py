"""Doubts: why a message might not arrive, found before anyone waits for one."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar, Union

from doorbelld.net import addresses
from doorbelld.notify import secret
from doorbelld.notify.push import Push, PushError
from doorbelld.system.users import hidden_folder

_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

_T = TypeVar("_T")

_UNIT = "doorbelld.service"
_PATIENCE = 8.0
"""Seconds in which all of them are looked up, and again in which all are connected to."""

_RESOLVER = Path("/etc/resolv.conf")
_NO_PAHO = "needs paho-mqtt, which is missing: sudo apt install python3-paho-mqtt"


class Place(NamedTuple):
    """Where a target connects to. ``secrets`` are its files, each with the name of a credential."""

    name: str
    host: str
    port: int
    is_secure: bool
    secrets: tuple[tuple[Path | None, str], ...]


class Filter(NamedTuple):
    """The addresses that systemd lets a unit reach, of the unit and the slices that it is in."""

    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()

    def passes(self, address: str) -> bool:
        """Return whether packets to this address may leave; see systemd.resource-control(5)."""
        found = _parsed(address)
        return _is_in(found, self.allowed) or not _is_in(found, self.denied)


def about(places: Sequence[Place], *, as_service: bool) -> Iterator[str]:
    """Yield sentences on each of them: why it cannot work, or that its server answers.

    ``as_service`` is whether this process has the rights of the service, but sees all files.
    """
    found = look_up(places)
    reached = _at_once(places, _try)
    for place in places:
        problems = [*_about_secrets(place, as_service=as_service)]
        if place.name == "mqtt" and not importlib.util.find_spec("paho"):
            problems.append(_NO_PAHO)
        server = reached.get(place.name, f"{place.host} was not found in {_PATIENCE:g} s")
        if server or not problems:
            problems.append(server or f"{place.host} answers at port {place.port}")
        yield from (f"Notify: {place.name}: {problem}." for problem in problems)
    yield from about_the_filter(places, found)


def look_up(places: Iterable[Place]) -> dict[str, list[str]]:
    """Return the addresses of the server of each target; none if that is not known in time."""
    return _at_once(places, _addresses)


def about_the_filter(places: Sequence[Place], found: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield a sentence for each target whose server the unit's IP filter hides, and the remedy."""
    rules = read_filter() if places else Filter()
    needed = set()
    for place in places:
        hidden = found.get(place.name, [])
        if hidden and not any(map(rules.passes, hidden)):
            needed.update(hidden)
            yield f"Notify: {place.name}: the IP filter of {_UNIT} hides {place.host} from it."
        servers = [] if _needs_no_name_server(place.host) else _name_servers()
        if servers and not any(map(rules.passes, servers)):
            needed.update(servers)
            yield f"Notify: {place.name}: the IP filter of {_UNIT} hides the name server from it."
    if needed:
        # Services in the internet change their addresses, and a message would be lost then.
        is_far = any(_parsed(each).is_global for each in needed)
        value = "any" if is_far else f'"{" ".join(sorted(needed))}"'
        command = f"sudo systemctl set-property {_UNIT} IPAddressAllow={value}"
        yield f"Notify: this opens the filter at once, and for good: {command}"


def read_filter() -> Filter:
    """Return the unit's filter; one that lets everything pass if systemd does not run here."""
    command = ["systemctl", "show", "--property=IPAddressAllow", "--property=IPAddressDeny"]
    try:
        done = subprocess.run(  # noqa: S603  # all words are ours
            [*command, "--", _UNIT, "system.slice", "-.slice"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired):
        return Filter()
    lists: dict[str, list[str]] = {"IPAddressAllow": [], "IPAddressDeny": []}
    for line in done.stdout.splitlines():
        key, _, value = line.partition("=")
        if key in lists:
            lists[key] += value.split()
    return Filter(tuple(lists["IPAddressAllow"]), tuple(lists["IPAddressDeny"]))


def _about_secrets(place: Place, *, as_service: bool) -> Iterator[str]:
    for path, credential in place.secrets:
        hidden = hidden_folder(str(path)) if path and as_service else None
        if hidden:
            yield f"{path}: the service sees nothing in {hidden}; move it to /etc/doorbelld"
        elif path and not as_service and os.geteuid() != 0 and not os.access(path, os.R_OK):
            yield f"only root may check {path}: sudo doorbelld --check"
        else:
            try:
                secret.read(path, credential)
            except secret.SecretError as error:
                yield str(error)


def _try(place: Place) -> str:
    """Return why its server cannot be reached from this machine, "" if it can."""
    scheme = "https" if place.is_secure else "http"
    try:
        Push(addresses.origin(scheme, place.host, place.port)).probe(_PATIENCE)
    except PushError as error:
        return str(error)
    return ""


def _addresses(place: Place) -> list[str]:
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return sorted({str(each[4][0]) for each in found})


def _at_once(places: Iterable[Place], work: Callable[[Place], _T]) -> dict[str, _T]:
    """Do something for all places at once; return what came of it in time, by their names.

    A lookup cannot be ended, so its thread is left behind: the process ends soon.
    """
    found: dict[str, _T] = {}

    def do(place: Place) -> None:
        found[place.name] = work(place)

    threads = [threading.Thread(target=do, args=(place,), daemon=True) for place in places]
    until = time.monotonic() + _PATIENCE
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return dict(found)


def _needs_no_name_server(host: str) -> bool:
    """Return whether a host is an address, this machine, or a name that Avahi knows."""
    if host.lower().rstrip(".").endswith(("localhost", ".local")):
        return True
    try:
        _parsed(host)
    except ValueError:
        return False
    return True


def _name_servers() -> list[str]:
    try:
        return _servers_in(_RESOLVER.read_text(encoding="ascii", errors="replace"))
    except OSError:
        return []


def _servers_in(text: str) -> list[str]:
    """Return the addresses in the text of a resolv.conf(5)."""
    return re.findall(r"^nameserver\s+([0-9A-Fa-f.:]+)", text, re.MULTILINE)


def _parsed(address: str) -> _Address:
    """Return an address; one of IPv4 that is written as IPv6 is one of IPv4. Raises ValueError."""
    found = ipaddress.ip_address(address.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


def _is_in(address: _Address, networks: Iterable[str]) -> bool:
    return any(address in ipaddress.ip_network(each, strict=False) for each in networks)
