"""``doorbelld --check``: what the configuration comes to, and what the camera says to it."""

from __future__ import annotations

import sys
import time

from doorbelld import config, jpeg
from doorbelld.camera import Camera, CameraError, CameraSettings, Shot, open_camera
from doorbelld.config import Config


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def check(settings: Config, camera: CameraSettings) -> int:
    """Print the effective configuration and try the camera.

    Returns 0 when it delivers a picture and 1 when it does not.
    """
    _say(config.describe(settings))
    _say("")
    try:
        found = open_camera(settings.camera.source, camera)
    except CameraError as error:
        _say(f"No picture: {error}.")
        _say("doorbelld would start, show that in the picture's place, and keep trying.")
        return 1
    try:
        shot = _first_shot(found, camera.stall_timeout)
    except CameraError as error:
        _say(f"Found {found.name}, but no picture: {error}.")
        return 1
    finally:
        found.close()
    width, height = jpeg.size(shot.data) or (0, 0)
    _say(f"Found {found.name}: {width}x{height}, {len(shot.data)} bytes a picture.")
    _say("doorbelld would stream it.")
    return 0


def _first_shot(camera: Camera, timeout: float) -> Shot:
    give_up_at = time.monotonic() + timeout
    while time.monotonic() < give_up_at:
        shot = camera.read(0.5)
        if shot is not None:
            return shot
    raise CameraError(f"it has sent none for {timeout:g} s")
