"""``doorbelld check``, or ``--check``: shows the effective configuration, and tries the camera."""

from __future__ import annotations

import logging
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from doorbelld.access import reach, ring_token
from doorbelld.camera.base import Camera
from doorbelld.camera.factory import open_camera, time_to_start
from doorbelld.commands import local, notify
from doorbelld.commands.base import Load
from doorbelld.config.load import ConfigError, describe
from doorbelld.config.schema import BellSection, Config, VisitsSection
from doorbelld.drivers.errors import CameraError
from doorbelld.media import codec
from doorbelld.stream.reader import Picture, PictureReader
from doorbelld.system.limited_log import StateLog
from doorbelld.system.users import become_the_service, hidden_folder
from doorbelld.visits.inputs import Inputs
from doorbelld.visits.store import Totals, VisitStore, room
from doorbelld.visits.visit import StoreError
from doorbelld.wiring import (
    access_rules,
    bell_settings,
    camera_settings,
    open_authenticator,
    ring_token_path,
    tls_context,
)

_log = logging.getLogger(__name__)

OPTIONS: dict[str, str] = {}

_MB = 1_000_000
_PICTURE = 50_000
"""Bytes of a picture of 640x480, as most cameras make it."""


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def run(_options: Namespace, load: Load) -> int:
    """Try everything that the daemon would use, as the service's user if root runs it.

    Returns 0 if the camera delivers a picture, and 1 if not.
    """
    as_service = become_the_service()
    if as_service:
        _log.info("checking as the user that the service runs as")
    settings = load()
    problems = _hidden_files(settings) if as_service else []
    if problems:
        raise ConfigError(problems)
    tls_context(settings.access)
    open_authenticator(settings.access)
    _say(describe(settings))
    _say("")
    hosts = [each.host for each in settings.server.listen]
    notes = [
        *reach.doubts(access_rules(settings.access), hosts),
        *_about_buttons(settings.bell),
        *_about_the_folder(settings, as_service=as_service),
        *_about_motion(settings.visits),
        *notify.about(settings, as_service=as_service),
    ]
    for note in notes:
        _say(note)
    return _try(settings)


def _about_buttons(section: BellSection) -> Iterator[str]:
    """Yield sentences on the buttons that would ring, and on those that cannot."""
    if section.button is None:
        return
    found = Inputs(section.button, section.key)
    try:
        found.scan()
        yield from (f"Bell: {device} rings." for device in found.devices)
        yield from (f"Bell: {problem}." for problem in found.problems.values())
    finally:
        found.close()


def _about_the_folder(settings: Config, *, as_service: bool) -> Iterator[str]:
    """Yield sentences on the folder of what is kept: visits and the token for ringing."""
    folder = local.state_folder()
    if not folder.exists():
        return  # The service makes it; without the service, there is none.
    if os.access(folder, os.W_OK | os.X_OK):
        yield from _about_the_token(settings.bell, folder)
        yield from _about_visits(settings, folder)
    elif as_service:
        yield f"Visits: the service may not write to {folder}, and will lose them when it stops."
    else:
        yield f"Visits: only root may check {folder}: sudo doorbelld --check"


def _about_the_token(section: BellSection, folder: Path) -> Iterator[str]:
    path = ring_token_path(section, folder)
    if path is None:
        return
    why = ""
    try:
        is_missing = ring_token.read_token(path) is None
        if is_missing and not os.access(path.parent, os.W_OK):
            why = "it does not exist and cannot be made"
    except (OSError, ValueError) as error:
        why = error.strerror or str(error) if isinstance(error, OSError) else f"it {error}"
    if why:
        yield f"Bell: {path}: {why}. Without a token, only a browser that has logged in can ring."


def _about_visits(settings: Config, folder: Path) -> Iterator[str]:
    bell = bell_settings(settings.bell, settings.visits)
    store = VisitStore(folder / "visits", space=bell.space, days=bell.days)
    totals = Totals(0, 0)
    try:
        if store.folder.exists():
            store.open_to_read()
            totals = store.totals()
        left = room(folder, bell.space - totals.bytes)
    except (OSError, StoreError) as error:
        yield f"Visits: {error}."
        return
    finally:
        store.close()
    each = totals.bytes / totals.count if totals.bytes else _usual_size(settings.visits)
    fit = int(left / each)
    more = f"about {fit} more fit" if fit > 0 else "each new one takes the place of old ones"
    yield f"Visits: {totals.count} in {store.folder} ({totals.bytes / _MB:.0f} MB); {more}."


def _about_motion(section: VisitsSection) -> Iterator[str]:
    if section.motion and not codec.is_installed():
        yield "Visits: motion = yes needs OpenCV, which is missing: apt install python3-opencv"


def _usual_size(section: VisitsSection) -> float:
    """Return how many bytes a visit has if the bell is pressed once."""
    return (section.before + section.after) * section.framerate * _PICTURE


def _try(settings: Config) -> int:
    """Open the camera, and say what it delivers; return the exit code."""
    source, asked = settings.camera.source, camera_settings(settings.camera)
    try:
        found = open_camera(source, asked)
    except CameraError as error:
        why = f"No picture: {error}."
    except Exception:  # noqa: BLE001  # camera libraries raise what they like
        _log.exception("unexpected fault in the camera's driver")
        why = "No picture: the camera's driver failed in an unknown way."
    else:
        return _look_at(found, time_to_start(source, asked.stall_timeout))
    _say(why)
    _say("doorbelld would start, show that in the picture's place, and keep trying.")
    return 1


def _hidden_files(settings: Config) -> list[str]:
    """Return a sentence for each file that is configured where the service sees nothing."""
    access = settings.access
    kind, _, path = settings.camera.source.partition(":")
    files = [
        ("[camera] source", path if kind == "file" else None, "/var/lib/doorbelld"),
        ("[access] tls_certificate", access.tls_certificate, "/etc/doorbelld"),
        ("[access] tls_key", access.tls_key, "/etc/doorbelld"),
        ("[access] password_file", access.password_file, "/etc/doorbelld"),
    ]
    return [
        f"{key} = {path}: the service sees nothing in {hidden};"
        f" move the file, for example to {better}"
        for key, path, better in files
        if path and (hidden := hidden_folder(str(path)))
    ]


def _look_at(camera: Camera, timeout: float) -> int:
    """Say what an opened camera delivers, and close it; return the exit code."""
    try:
        picture = _first_picture(camera, timeout)
        mode = camera.mode
    except CameraError as error:
        _say(f"Found {camera.name}, but no picture: {error}.")
        return 1
    finally:
        camera.close()
    width, height = picture.size
    size = f"{width}x{height}, {len(picture.data)} bytes a picture"
    _say(f"Found {camera.name}: {size}{mode and f' ({mode})'}.")
    _say("doorbelld would stream it.")
    return 0


def _first_picture(camera: Camera, timeout: float) -> Picture:
    """Return the first picture that would be shown. Raises CameraError if none is in time."""
    give_up_at = time.monotonic() + timeout
    reader = PictureReader(camera, StateLog(_log), time.sleep)
    while time.monotonic() < give_up_at:
        shot = reader.read(0.5)
        picture = reader.load(shot) if shot else None
        if picture is not None:
            return picture
    raise CameraError(f"it {reader.fault.always} for {timeout:g} s", reader.fault.reason)
