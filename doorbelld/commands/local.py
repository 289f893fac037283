"""Local: the daemon of this machine: how to ask it, its URLs for phones, and its folder."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

from doorbelld.access import reach
from doorbelld.access.authenticator import cookie_of
from doorbelld.commands.base import CommandError
from doorbelld.config.schema import AccessSection, Config
from doorbelld.net import addresses, holder, listeners, mdns
from doorbelld.system import files, systemd
from doorbelld.web import assets
from doorbelld.wiring import access_rules, password_path

_PATIENCE = 5.0
_HTTP = 80
"""Where doorbelld.socket listens, whatever the configuration says."""

_STATE_FOLDER = Path("/var/lib/doorbelld")
"""The StateDirectory= of the service."""

_AVAHI = Path("/run/avahi-daemon/pid")
"""Exists while Avahi answers to this machine's .local name."""


class NotRunningError(CommandError):
    """No daemon answers on this machine."""

    exit_code = 3

    def __init__(self, why: str) -> None:
        super().__init__(f"doorbelld is not running: {why}")


class NotAllowedError(CommandError):
    """The daemon wants a password that this user cannot read, or refuses this machine."""

    exit_code = 4


@dataclass(frozen=True)
class Answer:
    """What the daemon answers to a request."""

    status: int
    is_ours: bool
    body: bytes


class LocalDaemon:
    """The daemon that runs on this machine, asked with its own password if there is one."""

    def __init__(self, settings: Config, host: str, port: int) -> None:
        self.place = (host, port)
        # A number: some small systems do not know the name localhost.
        self._here = "::1" if host == "::" else "127.0.0.1"
        self._own = self._here if addresses.is_all(host) else host
        self._is_secure = bool(settings.access.tls_certificate)
        cookie = _own_cookie(settings.access)
        self._headers = {"Host": "localhost", **({"Cookie": cookie} if cookie else {})}

    def get(self, path: str) -> Answer:
        """Return the answer to GET. Raises OSError, HTTPException and ValueError."""
        answer = self._request("GET", path)
        if answer.status == HTTPStatus.FORBIDDEN:  # This machine itself may be in trusted_proxies.
            self._headers["X-Forwarded-For"] = self._here  # from now on
            answer = self._request("GET", path)
        return answer

    def post(self, path: str, timeout: float = _PATIENCE) -> Answer:
        """Return the answer to a POST without a body, as ``get`` does, but sent once."""
        return self._request("POST", path, timeout)

    def _request(self, method: str, path: str, timeout: float = _PATIENCE) -> Answer:
        connect = _connect_securely if self._is_secure else HTTPConnection
        connection = connect(self._own, self.place[1], timeout=timeout)
        try:
            connection.request(method, path, headers=self._headers)
            answer = connection.getresponse()
            is_ours = "doorbelld" in answer.headers.get("Server", "")
            return Answer(answer.status, is_ours, answer.read())
        finally:
            connection.close()


def find(settings: Config, command: str) -> tuple[LocalDaemon, dict[str, Any]]:
    """Return the daemon on this machine, and its /status; ``command`` is the one that asks.

    Raises NotRunningError and NotAllowedError.
    """
    why = ""
    for host, port in [*settings.server.listen, ("", _HTTP)]:
        try:
            daemon = LocalDaemon(settings, host, port)
            answer = daemon.get("/status")
            _check(answer, command)
            found = json.loads(answer.body)
            if "camera" in found:
                return daemon, found
            why = why or _holder(host, port) or f"something else answers at port {port}"
        except (OSError, HTTPException, ValueError, TypeError) as error:
            why = why or _holder(host, port) or f"nothing answers at port {port} ({error})"
    raise NotRunningError(why)


def _check(answer: Answer, command: str) -> None:
    """Raise NotAllowedError if a doorbelld refuses to answer."""
    if answer.status == HTTPStatus.UNAUTHORIZED and answer.is_ours:
        raise NotAllowedError(
            f"It asks for a password, whose file only root may read: sudo doorbelld {command}"
        )
    if answer.status == HTTPStatus.FORBIDDEN and answer.is_ours:
        why = answer.body.decode(errors="replace").strip()
        raise NotAllowedError(f"doorbelld is running, but does not answer this machine: {why}")


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


def _holder(host: str, port: int) -> str:
    """Return a sentence if another program has the port, and "" if not."""
    found = holder.find(host, port)
    if found is None or found.is_ours:
        return ""
    return f"port {port} is in use by {found}; {listeners.advice(port)}"


def state_folder() -> Path:
    """Return the folder of what outlives the daemon: the service's, or STATE_DIRECTORY."""
    return systemd.state_folder() or _STATE_FOLDER


def is_in_use(folder: Path) -> bool:
    """Return whether a daemon keeps its visits in a folder, which it locks. Raises OSError."""
    try:
        os.close(files.lock(folder))
    except BlockingIOError:
        return True
    return False


def scheme(settings: Config) -> str:
    """Return https if the configuration has a certificate, else http."""
    return "https" if settings.access.tls_certificate else "http"


def page_urls(settings: Config, host: str, port: int) -> Iterator[str]:
    """Yield the URLs of the page at which a phone would get an answer, the best first.

    ``host`` and ``port`` are where the daemon listens.
    """
    for each in _hosts(settings, host):
        yield f"{addresses.origin(scheme(settings), each, port)}/"


def certificate_urls(settings: Config, host: str, port: int) -> Iterator[str]:
    """Yield the URLs of the authority's certificate, for iPhones and for others.

    They are in plain HTTP, where a browser that does not trust it yet shows no warning.
    """
    name = next(_hosts(settings, host), "HOST")
    place = addresses.origin("http", name, port)
    yield f"{place}{assets.PROFILE}  (iPhone, iPad)"
    yield f"{place}{assets.CERTIFICATE}  (others)"


def _hosts(settings: Config, host: str) -> Iterator[str]:
    access = access_rules(settings.access)
    if not addresses.is_all(host):
        if reach.is_answered(host, access):
            yield host
        return
    found = reach.addresses(access)
    if found and _AVAHI.exists():
        yield mdns.local_name()
    yield from found
