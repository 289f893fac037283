"""``doorbelld notify``: shows who is notified when the bell rings, and sends a test message."""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from doorbelld.commands import local
from doorbelld.commands.base import CommandError, Load
from doorbelld.config.schema import Config
from doorbelld.notify import doubts, secret
from doorbelld.notify.doubts import Place

OPTIONS = {"--test": "send a test message with a picture to each"}

_PATIENCE = 90.0
"""Seconds for a test of all of them: each may wait for its server, one after the other."""

_NOTHING = (
    "Nothing is notified when the bell rings: set ntfy or webhook under [notify], or broker under"
    " [mqtt], and reload doorbelld (man doorbelld.conf)"
)


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


def places(settings: Config) -> list[Place]:
    """Return where the messages on a ring go, as far as that is configured."""
    section, broker = settings.notify, settings.mqtt.broker
    found = []
    if broker is not None:
        password = (settings.mqtt.password_file, secret.MQTT_PASSWORD)
        found.append(Place("mqtt", *broker, (password,)))
    if section.ntfy is not None:
        token = (section.token_file, secret.NTFY_TOKEN)
        found.append(Place("ntfy", *_server_of(section.ntfy), (token,)))
    if section.webhook is not None:
        key = (section.key_file or section.token_file, secret.WEBHOOK_KEY)
        found.append(Place("webhook", *_server_of(section.webhook), (key,)))
    return found


def _server_of(url: str) -> tuple[str, int, bool]:
    """Return host, port and whether it uses TLS."""
    parts = urlsplit(url)
    is_secure = parts.scheme == "https"
    return parts.hostname or "", parts.port or (443 if is_secure else 80), is_secure


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
    if state["state"] != "failed":
        return f"{name}: {state['state']} ({counts})."
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(state["since"]))
    return f"{name}: failed since {since} ({counts}): {_ended(state['detail'])}"


def _about_the_filter(settings: Config) -> Iterator[str]:
    """Yield what the unit's IP filter keeps from leaving, which a failure may not show."""
    found = places(settings)
    return doubts.about_the_filter(found, doubts.look_up(found))


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith(".") else f"{sentence}."


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
