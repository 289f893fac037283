"""``doorbelld status``: shows what the running daemon is doing, and where phones can open it."""

from __future__ import annotations

import json
import ssl
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any

from doorbelld.access.authenticator import cookie_of
from doorbelld.commands import qr
from doorbelld.commands.base import Load
from doorbelld.commands.urls import certificate_urls, page_urls
from doorbelld.config.schema import AccessSection, Config
from doorbelld.net import addresses, authority, holder, listeners
from doorbelld.wiring import password_path

_PATIENCE = 5.0
_HTTP = 80
"""Where doorbelld.socket listens, whatever the configuration says."""

_REFUSED = "doorbelld is running, but does not answer this machine:"
_NO_PASSWORD = "It asks for a password, whose file only root may read: sudo doorbelld status"

OPTIONS = {"--json": "print JSON, for programs"}


def run(options: Namespace, load: Load) -> int:
    """Ask the daemon on this machine, and print what it answers and its URLs.

    Returns 0 while there is a live picture, 1 while there is none, 3 if no daemon answers,
    and 4 if it wants the password or refuses this machine.
    """
    settings = load()
    connect = _connect_securely if settings.access.tls_certificate else HTTPConnection
    cookie = _own_cookie(settings.access)
    headers = {"Host": "localhost", **({"Cookie": cookie} if cookie else {})}
    place, answer = _ask(settings.server.listen, connect, headers)
    if answer is None:
        sys.stdout.write("null\n" if options.json else f"doorbelld is not running: {place}\n")
        return 3
    if "camera" not in answer:
        said = f"{_REFUSED} {answer['refused']}" if answer else _NO_PASSWORD
        sys.stdout.write("null\n" if options.json else f"{said}\n")
        return 4
    links, trust = list(page_urls(settings, *place)), list(_how_to_trust(settings, *place))
    if options.json:
        sys.stdout.write(json.dumps({**answer, "urls": links}, indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(_report(answer, links, trust)) + "\n")
    return 0 if answer["camera"]["state"] == "streaming" else 1


def _own_cookie(section: AccessSection) -> str | None:
    """Return a cookie that the daemon accepts, if this user may read the password's file."""
    path = password_path(section)
    try:
        return cookie_of(path) if path else None
    except ValueError:
        return None


def _connect_securely(host: str, port: int, timeout: float) -> HTTPConnection:
    """Return a connection over TLS that checks no certificate: it stays on this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return HTTPSConnection(host, port, timeout=timeout, context=context)


def _ask(
    listen: Sequence[tuple[str, int]],
    connect: Callable[..., HTTPConnection],
    headers: Mapping[str, str],
) -> tuple[Any, dict[str, Any] | None]:
    """Return (host, port) and the answer of the first that answers, or a reason and None.

    The answer is empty if it wants a password, and has only ``refused``, which says why, if it
    refuses this machine.
    """
    why = ""
    for host, port in [*listen, ("", _HTTP)]:
        # A number: some small systems do not know the name localhost.
        here = "::1" if host == "::" else "127.0.0.1"
        own = here if addresses.is_all(host) else host
        connection = connect(own, port, timeout=_PATIENCE)
        try:
            status, is_ours, body = _get(connection, headers)
            if status == HTTPStatus.FORBIDDEN:  # This machine itself may be in trusted_proxies.
                connection.close()
                status, is_ours, body = _get(connection, {**headers, "X-Forwarded-For": here})
            if status == HTTPStatus.UNAUTHORIZED and is_ours:
                return (host, port), {}
            if status == HTTPStatus.FORBIDDEN and is_ours:
                return (host, port), {"refused": body.decode(errors="replace").strip()}
            found = json.loads(body)
            if "camera" in found:
                return (host, port), found
            why = why or _holder(host, port) or f"something else answers at port {port}"
        except (OSError, HTTPException, ValueError, TypeError) as error:
            why = why or _holder(host, port) or f"nothing answers at port {port} ({error})"
        finally:
            connection.close()
    return why, None


def _get(connection: HTTPConnection, headers: Mapping[str, str]) -> tuple[int, bool, bytes]:
    """Return what /status answers: the status, whether it comes from a doorbelld, the body."""
    connection.request("GET", "/status", headers=headers)
    answer = connection.getresponse()
    return answer.status, "doorbelld" in answer.headers.get("Server", ""), answer.read()


def _holder(host: str, port: int) -> str:
    """Return a sentence if another program has the port, and "" if not."""
    found = holder.find(host, port)
    if found is None or found.is_ours:
        return ""
    return f"port {port} is in use by {found}; {listeners.advice(port)}"


def _how_to_trust(settings: Config, host: str, port: int) -> Iterator[str]:
    """Yield lines on our own authority, if it has signed the certificate."""
    path = settings.access.tls_certificate
    root = authority.root_in(path) if path else None
    if root:
        yield "Install the certificate on a phone, so that it trusts the page:"
        yield from (f"    {url}" for url in certificate_urls(settings, host, port))
        yield "Compare the SHA-256 fingerprint that the phone shows with this one:"
        yield f"    {authority.fingerprint(root)}"


def _report(answer: dict[str, Any], links: list[str], trust: list[str]) -> Iterator[str]:
    camera = answer["camera"]
    yield _picture(camera)
    yield from _watchers(answer)
    if not links:
        yield "There is no network that a phone could use; doorbelld --check may say why."
        return
    yield "Open on a phone in the same network:"
    yield from (f"    {link}" for link in links)
    yield from trust
    if sys.stdout.isatty():
        with suppress(ImportError):
            yield f"\n{qr.draw(links[0])}"


def _picture(camera: dict[str, Any]) -> str:
    name, detail = camera["name"], camera["detail"]
    if camera["state"] == "streaming":
        return f"{name}: live, {camera['fps']:g} frames a second ({detail})"
    since = time.strftime("%H:%M", time.localtime(camera["since"]))
    return f"{name}: {camera['state']} since {since}: {detail}"


def _watchers(answer: dict[str, Any]) -> Iterator[str]:
    viewers = answer["viewers"]
    if not viewers:
        yield "Nobody is watching."
        return
    yield f"{len(viewers)} watching:"
    for viewer in viewers:
        since = time.strftime("%H:%M", time.localtime(viewer["since"]))
        yield f"    {viewer['address']} since {since}, {viewer['fps']:g} frames a second"
