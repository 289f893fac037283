"""Opens a camera and prints what it reads from it, a JSON object a line; for v4l2.Watcher.

Run as ``python3 -m tests.support.watch_camera SOURCE [SETTING=VALUE]…``. It ends when its
standard input does, or with the camera's error; the line "pause" makes it read nothing for a
second.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import select
import signal
import sys
import time
from typing import TYPE_CHECKING

from doorbelld.camera.base import CameraSettings
from doorbelld.camera.factory import open_camera
from doorbelld.drivers.errors import CameraError

if TYPE_CHECKING:
    from doorbelld.camera.base import Camera


def settings_of(pairs: list[str]) -> CameraSettings:
    """Return the settings that ``key=value`` pairs describe."""
    given = dict(pair.split("=") for pair in pairs)
    return dataclasses.replace(CameraSettings(), **{k: json.loads(v) for k, v in given.items()})


def report(**event: object) -> None:
    """Print an event."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def is_to_go_on() -> bool:
    """Obey standard input; return whether it is still open."""
    if not select.select([sys.stdin], [], [], 0)[0]:
        return True
    word = sys.stdin.readline()
    if word == "pause\n":
        time.sleep(1)
        report(paused=True)
    return bool(word)


def watch(camera: Camera) -> None:
    """Read until standard input is closed."""
    while is_to_go_on():
        started = time.monotonic()
        shot = camera.read(1)
        now = time.monotonic()
        event = {"waited": now - started, "invalid": camera.invalid}
        if shot:
            event["age"] = now - shot.captured_at
            report(data=base64.b64encode(shot.jpeg()).decode(), **event)
        else:
            report(none=True, **event)


def main() -> None:
    """Open, watch, close."""
    signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        camera = open_camera(sys.argv[1], settings_of(sys.argv[2:]))
    except CameraError as error:
        report(refused=str(error))
        return
    report(name=camera.name)
    try:
        watch(camera)
    except CameraError as error:
        report(error=str(error))
    finally:
        camera.close()


if __name__ == "__main__":
    main()
