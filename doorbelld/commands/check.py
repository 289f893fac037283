"""``doorbelld --check``: what the configuration comes to, and what the camera says to it."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable

from doorbelld.camera.base import Camera, CameraError, CameraSettings, Shot
from doorbelld.camera.factory import open_camera, time_to_start
from doorbelld.config.load import describe
from doorbelld.config.schema import Config
from doorbelld.media import fault, jpeg
from doorbelld.media.fault import Fault
from doorbelld.system.users import hidden_folder

_log = logging.getLogger(__name__)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def check(settings: Config, camera: CameraSettings, doubts: Iterable[str]) -> int:
    """Print the effective configuration and the ``doubts`` about it, and try the camera.

    Returns 0 when it delivers a picture and 1 when it does not.
    """
    _say(describe(settings))
    _say("")
    for doubt in doubts:
        _say(doubt)
    try:
        found = open_camera(settings.camera.source, camera)
    except CameraError as error:
        why = f"No picture: {error}."
    except Exception:  # noqa: BLE001  # camera libraries raise what they like
        _log.exception("unexpected fault in the camera's driver")
        why = "No picture: the camera's driver failed in a way that is not known."
    else:
        return _look_at(found, time_to_start(settings.camera.source, camera.stall_timeout))
    _say(why)
    _say("doorbelld would start, show that in the picture's place, and keep trying.")
    return 1


def unseen(settings: Config) -> list[str]:
    """Return a sentence for each file that is configured where the service sees nothing."""
    access = settings.access
    kind, _, path = settings.camera.source.partition(":")
    files = [
        ("[camera] source", path if kind == "file" else "none", "/var/lib/doorbelld"),
        ("[access] tls_certificate", access.tls_certificate, "/etc/doorbelld"),
        ("[access] tls_key", access.tls_key, "/etc/doorbelld"),
        ("[access] password_file", access.password_file, "/etc/doorbelld"),
    ]
    return [
        f"{key} = {path}: the service sees nothing in {hidden};"
        f" move the file, for example to {better}"
        for key, path, better in files
        if (hidden := hidden_folder(path))
    ]


def _look_at(camera: Camera, timeout: float) -> int:
    """Say what an opened camera delivers, and close it; return the exit code."""
    try:
        shot = _first_shot(camera, timeout)
    except CameraError as error:
        _say(f"Found {camera.name}, but no picture: {error}.")
        return 1
    finally:
        camera.close()
    width, height = jpeg.size(shot.data) or (0, 0)
    _say(f"Found {camera.name}: {width}x{height}, {len(shot.data)} bytes a picture.")
    _say("doorbelld would stream it.")
    return 0


def _first_shot(camera: Camera, timeout: float) -> Shot:
    """Return the first picture that would be shown. Raises CameraError if none is in time."""
    give_up_at = time.monotonic() + timeout
    why = fault.SILENT
    while time.monotonic() < give_up_at:
        try:
            shot = camera.read(0.5)
        except jpeg.TooLargeError:
            why = fault.TOO_MANY_TO_TURN
            continue
        found = fault.judge(shot.data) if shot else why
        if shot and not isinstance(found, Fault):
            return shot
        why = found if isinstance(found, Fault) else why
    raise CameraError(f"it {why.always} for {timeout:g} s")
