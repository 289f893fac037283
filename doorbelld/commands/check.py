"""``doorbelld check``, or ``--check``: shows the effective configuration, and tries the camera."""

from __future__ import annotations

import logging
import sys
import time
from argparse import Namespace

from doorbelld.access import reach
from doorbelld.camera.base import Camera
from doorbelld.camera.factory import open_camera, time_to_start
from doorbelld.commands.base import Load
from doorbelld.config.load import ConfigError, describe
from doorbelld.config.schema import Config
from doorbelld.drivers.errors import CameraError
from doorbelld.stream.reader import Picture, PictureReader
from doorbelld.system.limited_log import StateLog
from doorbelld.system.users import become_the_service, hidden_folder
from doorbelld.wiring import access_rules, camera_settings, open_authenticator, tls_context

_log = logging.getLogger(__name__)

OPTIONS: dict[str, str] = {}


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
    for warning in reach.doubts(access_rules(settings.access), hosts):
        _say(warning)
    return _try(settings)


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
