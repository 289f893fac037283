"""URLs: where phones can open the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from doorbelld.access import reach
from doorbelld.config.schema import Config
from doorbelld.net import addresses, mdns
from doorbelld.web import assets
from doorbelld.wiring import access_rules

_AVAHI = Path("/run/avahi-daemon/pid")
"""Exists while Avahi answers to this machine's .local name."""


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
