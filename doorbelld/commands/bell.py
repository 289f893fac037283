"""``doorbelld bell``: shows what can ring, and what is pressed. ``doorbelld ring``: rings."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import ClassVar, NoReturn

from doorbelld.access import ring_token
from doorbelld.commands import local
from doorbelld.commands.base import CommandError, Load
from doorbelld.config import keys
from doorbelld.config.schema import BellSection, Config
from doorbelld.config.values import to_text
from doorbelld.system.users import become_the_service
from doorbelld.visits import inputs
from doorbelld.visits.inputs import AUTO, InputDevice, Inputs, Press
from doorbelld.wiring import ring_token_path

OPTIONS: dict[str, str] = {}

_INTERVAL = 1.0
_MOST_KEYS = 6
"""Keys of a device that are listed by their names; a keyboard has a hundred."""

_SHUTS_DOWN = 116
"""KEY_POWER."""

_RULES = "/etc/udev/rules.d/60-bell.rules"


def run(_options: Namespace, load: Load) -> int:
    """List the input devices, as the service's user if root runs it; print presses until Ctrl-C."""
    settings = load()
    address = _address(settings)
    by_service = become_the_service()
    # A shell lets its background jobs ignore it, and nothing else ends this.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    devices = Inputs(AUTO, None)
    try:
        devices.scan()
        for line in _report(settings.bell, devices, by_service=by_service):
            _say(line)
        _say(address)
        _say("Press the button, or plug it in; Ctrl-C ends.")
        _watch(settings.bell, devices)
    except KeyboardInterrupt:
        _say("")
        return 0
    finally:
        devices.close()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()  # It may be a pipe, whose reader wants to see a press at once.


def _report(section: BellSection, found: Inputs, *, by_service: bool) -> Iterator[str]:
    """Yield what is there, what may be read, and how that can be changed."""
    who = "doorbelld" if by_service else "you"
    readable = {device.path for device in found.devices}
    refused = [device for device in inputs.find() if device.path not in readable]
    if found.devices:
        yield f"Input devices that {who} may read:"
        yield from (f"    {_describe(section, device)}" for device in found.devices)
    else:
        yield f"There is no input device that {who} may read."
    if refused:
        yield f"Input devices that {who} may not read:"
        yield from (f"    {_describe(section, device)}" for device in refused)
        yield from _how_to_give(refused[-1])
    if os.geteuid() != 0 and not by_service:
        yield "As root, this command shows what the service may read: sudo doorbelld bell"
    yield ""


def _describe(section: BellSection, device: InputDevice) -> str:
    some = sorted(device.keys)[:_MOST_KEYS]
    listed = f"{len(device.keys)} keys" if len(device.keys) > _MOST_KEYS else _names(some)
    rings = ", which rings" if _rings(section, device, section.key) else ""
    return f"{device.path}  {device.name}: {listed}{rings}"


def _names(codes: Iterable[int]) -> str:
    texts = [
        f"{keys.describe(code)}{', which shuts this machine down' * (code == _SHUTS_DOWN)}"
        for code in codes
    ]
    return ", ".join(texts)


def _how_to_give(device: InputDevice) -> Iterator[str]:
    """Yield how the service gets a device; the newest one is the example."""
    name = re.sub(r"[^\w .:@()+/-]+", "*", device.name, flags=re.ASCII)  # a pattern of udev
    yield "To let doorbelld read one of them, never a keyboard, give it a tag, by its name:"
    yield f'    echo \'SUBSYSTEM=="input", ATTRS{{name}}=="{name}", TAG+="doorbelld"\' |'
    yield f"        sudo tee -a {_RULES}"
    yield "    sudo udevadm trigger --subsystem-match=input"


def _rings(section: BellSection, device: InputDevice, key: int) -> bool:
    """Return whether this key of a device is the bell's button."""
    if section.button is None or key != section.key or key not in device.keys:
        return False
    own = section.button in (AUTO, device.path)
    return own or Path(section.button).resolve() == Path(device.path).resolve()


def _address(settings: Config) -> str:
    """Return how a bell in the network rings."""
    host, port = settings.server.listen[0]
    page = next(
        local.page_urls(settings, host, port), f"{local.scheme(settings)}://localhost:{port}/"
    )
    try:
        token = _token(settings)
    except local.NotAllowedError as error:
        return f"A bell in the network rings by an address with a token. {error}"
    if not token:
        return f"A bell in the network rings by an address with a token, but {_no_token(settings)}."
    return (
        "A bell in the network rings by this address, with GET or POST; keep it secret:\n"
        f"    {page}ring?{ring_token.PARAMETER}={token}"
    )


def _token(settings: Config) -> str | None:
    """Return the token that rings; None if there is none yet."""
    path = ring_token_path(settings.bell, local.state_folder())
    try:
        return ring_token.read_token(path) if path else None
    except PermissionError:
        raise local.NotAllowedError(
            f"Only root may read the token, which is in {path}: use sudo"
        ) from None
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from None


def _no_token(settings: Config) -> str:
    """Return where there is no token, and what can be done about it."""
    path = ring_token_path(settings.bell, local.state_folder())
    if path is None:
        return "there is no token, because of [bell] token_file = none"
    return (
        f"there is no token in {path}: doorbelld makes it when it starts; if it is elsewhere, set"
        " STATE_DIRECTORY as for doorbelld"
    )


def _watch(section: BellSection, devices: Inputs) -> NoReturn:
    """Print what is pressed, plugged in and plugged out, until a KeyboardInterrupt."""
    before = devices.devices
    while True:
        for press in devices.wait(_INTERVAL):
            _say(_describe_press(section, press))
        devices.scan()
        for device in devices.devices:
            if device not in before:
                _say(f"Plugged in: {_describe(section, device)}")
        for device in before:
            if device not in devices.devices:
                _say(f"Plugged out: {device.path}  {device.name}")
        before = devices.devices


def _describe_press(section: BellSection, press: Press) -> str:
    what = f"{keys.describe(press.key)} on {press.device}"
    if _rings(section, press.device, press.key):
        return f"{what}: rings"
    if press.key == section.key:
        button = to_text(section.button)
        return f"{what}: does not ring, because of [bell] button = {button}"
    return f"{what}: does not ring; it would with [bell] key = {press.key}"


class Ring:
    """``doorbelld ring``: rings as a press of the button would."""

    OPTIONS: ClassVar[dict[str, str]] = {}

    @staticmethod
    def run(_options: Namespace, load: Load) -> int:
        """Ring by the daemon on this machine; return 0 if it has rung.

        Raises NotRunningError (exit code 3) and NotAllowedError (exit code 4).
        """
        settings = load()
        daemon, _ = local.find(settings, "ring")
        token = _token(settings)
        query = f"?{ring_token.PARAMETER}={token}" if token else ""
        try:
            answer = daemon.post(f"/ring{query}")
            text = answer.body.decode(errors="replace").strip()
            if answer.status == HTTPStatus.FORBIDDEN:
                why = text if token else _no_token(settings)
                raise local.NotAllowedError(f"doorbelld does not let this user ring: {why}")
            if answer.status != HTTPStatus.OK:
                raise CommandError(f"doorbelld has not rung: {text}")
            visit = json.loads(text)["visit"]
        except (OSError, HTTPException, ValueError, KeyError) as error:
            raise CommandError(f"doorbelld has not answered: {error}") from error
        _say(f"It has rung: visit {visit}.")
        return 0
