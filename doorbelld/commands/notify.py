"""``doorbelld notify``: shows who is notified when the bell rings, and sends a test message.

It also finds out why one might not arrive, before anyone waits for it.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, Union
from urllib.parse import urlsplit

from doorbelld.commands import local
from doorbelld.commands.base import CommandError, Load
from doorbelld.config.schema import Config
from doorbelld.net import addresses
from doorbelld.notify.broker import NO_PAHO
from doorbelld.notify.push import Push, PushError
from doorbelld.notify.target import MQTT_PASSWORD, NTFY_TOKEN, WEBHOOK_KEY
from doorbelld.system import secretfile
from doorbelld.system.users import hidden_folder

_T = TypeVar("_T")
_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

OPTIONS = {"--test": "send a test message with a picture to each"}

_PATIENCE = 60.0
"""Seconds for a test of all of them at once: each waits for its server, for less than that."""

_NOTHING = (
    "Nothing is notified when the bell rings: set ntfy or webhook under [notify], or broker under"
    " [mqtt], and reload doorbelld (man doorbelld.conf)"
)

_UNIT = "doorbelld.service"
_TO_LOOK = 8.0
"""Seconds in which all servers are looked up, and again in which all are connected to."""

_RESOLVER = Path("/etc/resolv.conf")
_HOSTS = Path("/etc/hosts")


def run(options: Namespace, load: Load) -> int:
    """Ask the daemon on this machine; return 0 if all is well, 1 if not.

    Raises NotRunningError (exit code 3) and NotAllowedError (exit code 4).
    """
    settings = load()
    command = "notify --test" if options.test else "notify"
    daemon, status = local.find(settings, command)
    states = status.get("notify", {})
    missing = [place for place in places(settings) if place.name not in states]
    if not states and not missing:
        raise CommandError(_NOTHING)
    is_well = not missing
    if options.test:
        results = _test(daemon)
        _say(_outcome(each) for each in results)
        is_well = is_well and all(each["delivered"] for each in results)
    else:
        _say(_state(name, state) for name, state in states.items())
        is_well = is_well and all(state["state"] != "failed" for state in states.values())
    _say(
        f"{place.name}: doorbelld does not use it yet: sudo systemctl reload doorbelld"
        for place in missing
    )
    if not is_well:
        _say(_about_the_filter(settings))
    return 0 if is_well else 1


def _test(daemon: local.LocalDaemon) -> list[dict[str, Any]]:
    """Return how the test message to each of them went."""
    try:
        answer = daemon.post("/notify/test", _PATIENCE)
        text = answer.body.decode(errors="replace").strip()
        if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise local.NotAllowedError(f"doorbelld does not let this user send a test: {text}")
        if answer.status != HTTPStatus.OK:
            raise CommandError(f"doorbelld has sent no test: {text}")
        return list(json.loads(text))
    except (OSError, HTTPException, ValueError) as error:
        raise CommandError(f"doorbelld has not answered: {error}") from error


def _outcome(result: Mapping[str, Any]) -> str:
    return f"{result['target']}: {_ended(result['sentence'])}"


def _state(name: str, state: Mapping[str, Any]) -> str:
    """Return a sentence on one of them, as ``/status`` has it."""
    counts = ", ".join(f"{state[key]} {key}" for key in ("delivered", "failed", "dropped"))
    since = ""
    if state["state"] == "failed":
        since = time.strftime(" since %Y-%m-%d %H:%M", time.localtime(state["since"]))
    why = f": {state['detail']}" if state["detail"] else ""
    return _ended(f"{name}: {state['state']}{since} ({counts}){why}")


def _about_the_filter(settings: Config) -> Iterator[str]:
    """Yield what the unit's IP filter keeps from leaving, which a failure may not show."""
    targets = places(settings)
    return about_the_filter(targets, _at_once(targets, _addresses))


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?")) else f"{sentence}."


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")


# What would keep a message from arriving


class Place(NamedTuple):
    """Where a target connects to. ``secrets`` are its files, each with the name of a credential."""

    name: str
    host: str
    port: int
    is_secure: bool
    secrets: tuple[tuple[Path | None, str], ...]


def places(settings: Config) -> list[Place]:
    """Return where the messages on a ring go, as far as that is configured."""
    section, broker = settings.notify, settings.mqtt.broker
    found = []
    if broker is not None:
        password = (settings.mqtt.password_file, MQTT_PASSWORD)
        found.append(Place("mqtt", *broker, (password,)))
    if section.ntfy is not None:
        token = (section.token_file, NTFY_TOKEN)
        found.append(Place("ntfy", *_server_of(section.ntfy), (token,)))
    if section.webhook is not None:
        key = (section.key_file or section.token_file, WEBHOOK_KEY)
        found.append(Place("webhook", *_server_of(section.webhook), (key,)))
    return found


def _server_of(url: str) -> tuple[str, int, bool]:
    """Return host, port and whether it uses TLS."""
    parts = urlsplit(url)
    is_secure = parts.scheme == "https"
    return parts.hostname or "", parts.port or (443 if is_secure else 80), is_secure


class Filter(NamedTuple):
    """The addresses that systemd lets a unit reach, of the unit and the slices that it is in."""

    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()

    def passes(self, address: str) -> bool:
        """Return whether packets to this address may leave; see systemd.resource-control(5)."""
        found = _parsed(address)
        return _is_in(found, self.allowed) or not _is_in(found, self.denied)


def about(settings: Config, *, as_service: bool) -> Iterator[str]:
    """Yield sentences on each of them: why it cannot work, or that its server answers.

    ``as_service`` is whether this process has the rights of the service, but sees all files.
    """
    targets = places(settings)
    found = _at_once(targets, _addresses)
    reached = _at_once(targets, _try)
    for place in targets:
        problems = [*_about_secrets(place, as_service=as_service)]
        if place.name == "mqtt" and not importlib.util.find_spec("paho"):
            problems.append(NO_PAHO)
        server = reached.get(place.name, f"{place.host} was not found in {_TO_LOOK:g} s")
        if server or not problems:
            problems.append(server or f"{place.host} answers at port {place.port}")
        yield from (f"Notify: {place.name}: {problem}." for problem in problems)
    yield from about_the_filter(targets, found)


def about_the_filter(targets: Sequence[Place], found: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield a sentence for each target whose server the unit's IP filter hides, and the remedy."""
    rules = read_filter() if targets else Filter()
    needed = set()
    for place in targets:
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
            timeout=_TO_LOOK,
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
                secretfile.read_given(path, credential)
            except secretfile.SecretError as error:
                yield str(error)


def _try(place: Place) -> str:
    """Return why its server cannot be reached from this machine, "" if it can."""
    scheme = "https" if place.is_secure else "http"
    try:
        Push(addresses.origin(scheme, place.host, place.port)).probe(_TO_LOOK)
    except PushError as error:
        # A remedy may name the scheme with which the URL must begin.
        return str(error).replace("with http", "with mqtt") if place.name == "mqtt" else str(error)
    return ""


def _addresses(place: Place) -> list[str]:
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return sorted({str(each[4][0]) for each in found})


def _at_once(targets: Iterable[Place], work: Callable[[Place], _T]) -> dict[str, _T]:
    """Do something for all places at once; return what came of it in time, by their names.

    A lookup cannot be ended, so its thread is left behind: the process ends soon.
    """
    found: dict[str, _T] = {}

    def do(place: Place) -> None:
        found[place.name] = work(place)

    threads = [threading.Thread(target=do, args=(place,), daemon=True) for place in targets]
    until = time.monotonic() + _TO_LOOK
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return dict(found)


def _needs_no_name_server(host: str) -> bool:
    """Return whether a host is an address, in /etc/hosts, or a name that Avahi knows."""
    with suppress(ValueError):
        return bool(_parsed(host))
    name = host.lower()
    return name.endswith(".local") or name in _text_of(_HOSTS).lower().split()


def _name_servers() -> list[str]:
    """Return their addresses, see resolv.conf(5)."""
    return re.findall(r"^nameserver\s+([0-9A-Fa-f.:]+)", _text_of(_RESOLVER), re.MULTILINE)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _parsed(address: str) -> _Address:
    """Return an address; one of IPv4 that is written as IPv6 is one of IPv4. Raises ValueError."""
    found = ipaddress.ip_address(address.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


def _is_in(address: _Address, networks: Iterable[str]) -> bool:
    return any(address in ipaddress.ip_network(each, strict=False) for each in networks)
