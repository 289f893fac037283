"""``doorbelld status``: shows what the running daemon is doing, and where phones can open it."""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import suppress
from http.client import HTTPException
from typing import Any

from doorbelld.commands import local
from doorbelld.commands.base import Load
from doorbelld.config.schema import Config
from doorbelld.media import codec
from doorbelld.net import authority
from doorbelld.visits.inputs import AUTO

OPTIONS = {"--json": "print JSON, for programs"}

_MB = 1_000_000

_MARGIN = 4
"""Light modules around a QR code; the standard asks for as many."""

_BLACK_ON_WHITE = "\x1b[38;5;16;48;5;231m"
"""From the colour cube, which no theme of the terminal turns into its negative."""

_PLAIN = "\x1b[0m"
_BLOCKS = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
"""Two modules, one above the other, in one character: it is about twice as high as wide."""


def run(options: Namespace, load: Load) -> int:
    """Ask the daemon on this machine, and print what it answers and its URLs.

    Returns 0 while there is a live picture, 1 while there is none, 3 if no daemon answers,
    and 4 if it wants the password or refuses this machine.
    """
    settings = load()
    try:
        daemon, answer = local.find(settings, "status")
    except (local.NotRunningError, local.NotAllowedError) as error:
        sys.stdout.write("null\n" if options.json else f"{error}\n")
        return error.exit_code
    links = list(local.page_urls(settings, *daemon.place))
    if options.json:
        sys.stdout.write(json.dumps({**answer, "urls": links}, indent=2) + "\n")
    else:
        ring = _newest_ring(daemon) if answer.get("visits", {}).get("count") else None
        doorbell = _doorbell(answer, ring, settings.bell.button)
        trust = list(_how_to_trust(settings, *daemon.place))
        sys.stdout.write("\n".join(_report(answer, doorbell, links, trust)) + "\n")
    return 0 if answer["camera"]["state"] == "streaming" else 1


def _how_to_trust(settings: Config, host: str, port: int) -> Iterator[str]:
    """Yield lines on our own authority, if it has signed the certificate."""
    path = settings.access.tls_certificate
    root = authority.root_in(path) if path else None
    if root:
        yield "Install the certificate on a phone, so that it trusts the page:"
        yield from (f"    {url}" for url in local.certificate_urls(settings, host, port))
        yield "Compare the SHA-256 fingerprint that the phone shows with this one:"
        yield f"    {authority.fingerprint(root)}"


def _newest_ring(daemon: local.LocalDaemon) -> dict[str, Any] | None:
    """Return the newest visit of a person who has rung, None if that is not known."""
    try:
        found = json.loads(daemon.get("/visits.json?limit=1&kind=ring").body)
        return found["visits"][0]  # type: ignore[no-any-return]
    except (OSError, HTTPException, ValueError, LookupError, TypeError):
        return None


def _report(
    answer: dict[str, Any], doorbell: Iterable[str], links: list[str], trust: list[str]
) -> Iterator[str]:
    camera = answer["camera"]
    yield _picture(camera)
    yield from _watchers(answer)
    yield from doorbell
    if not links:
        yield "There is no network that a phone could use; doorbelld --check may say why."
        return
    yield "Open on a phone in the same network:"
    yield from (f"    {link}" for link in links)
    yield from trust
    if sys.stdout.isatty():
        with suppress(ImportError):
            yield f"\n{qr_code(links[0])}"


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


def _doorbell(
    answer: dict[str, Any], ring: dict[str, Any] | None, button: str | None
) -> Iterator[str]:
    """Yield lines on the bell, visits, the shutter and notifications, if there is any to say."""
    bell, visits, shutter = (answer.get(name, {}) for name in ("bell", "visits", "shutter"))
    if bell.get("devices"):
        names = (f"{each['name']} ({each['path']})" for each in bell["devices"])
        yield f"The bell's button: {', '.join(names)}."
    elif button not in (None, AUTO) and bell.get("detail"):  # Else there may be no button at all.
        yield f"The bell's button: {bell['detail']}."
    if visits.get("count") or visits.get("state") == "failed":
        yield f"{_about(visits)}{_last(ring) if ring else ''}."
    if shutter.get("closed"):
        yield f"The camera is paused since {_moment(shutter['since'])}; the page opens it again."
    for name, target in answer.get("notify", {}).items():
        if target["state"] == "failed":
            since = _moment(target["since"])
            yield f"No notifications by {name} since {since}: {target['detail']}."


def _about(visits: dict[str, Any]) -> str:
    problem = f" ({visits['detail']})" if visits["detail"] else ""
    count = f"{visits['count'] or 'No'} visit{'s' * (visits['count'] != 1)}"
    return f"{count}, {visits['bytes'] / _MB:.0f} of {visits['space'] / _MB:.0f} MB{problem}"


def _last(ring: dict[str, Any]) -> str:
    answered = ", answered" if ring["answered"] is not None else ""
    return f"; last rang {_moment(ring['pressed_at'])}{answered}"


def _moment(seconds: float) -> str:
    """Return a time of today, or a day and a time."""
    moment = time.localtime(seconds)
    is_today = time.strftime("%j %Y", moment) == time.strftime("%j %Y")
    return time.strftime("%H:%M" if is_today else "%Y-%m-%d %H:%M", moment)


def qr_code(text: str) -> str:
    """Return a QR code as lines of block characters, which a phone reads off the terminal.

    Raises ImportError without OpenCV.
    """
    cv2 = codec.load_opencv()
    # OpenCV puts a margin around it, of a width that changed with its versions.
    code = cv2.QRCodeEncoder.create().encode(text)
    dark = [[module < 128 for module in row] for row in code.tolist()]  # 0 is dark, 255 light
    return "\n".join(f"{_BLACK_ON_WHITE}{line}{_PLAIN}" for line in _lines(_framed(dark)))


def _framed(dark: list[list[bool]]) -> list[list[bool]]:
    """Return the modules with just the margin that is needed."""
    rows = [number for number, row in enumerate(dark) if any(row)]
    first, last = rows[0], rows[-1]
    left = min(row.index(True) for row in dark if any(row))
    code = [row[left : left + last - first + 1] for row in dark[first : last + 1]]
    side = [False] * _MARGIN
    light = [[False] * (len(code) + 2 * _MARGIN) for _ in side]
    return [*light, *([*side, *row, *side] for row in code), *light]


def _lines(dark: list[list[bool]]) -> Iterator[str]:
    if len(dark) % 2:
        dark = [*dark, [False] * len(dark[0])]
    for upper, lower in zip(dark[::2], dark[1::2]):
        yield "".join(_BLOCKS[pair] for pair in zip(upper, lower))
