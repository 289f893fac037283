"""Opens a camera and prints what it reads from it, a JSON object a line; for v4l2.Watcher.

Run as ``python3 -m tests.support.watch_camera SOURCE [SETTING=VALUE]…``. It ends when its
standard input does, or with the camera's error; the line "pause" makes it read nothing for a
second, "rest" makes it read for a second without loading a picture, and "late" makes it load
pictures too late.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
import select
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from doorbelld.camera.base import CameraSettings
from doorbelld.camera.factory import open_camera
from doorbelld.drivers.errors import CameraError

if TYPE_CHECKING:
    from doorbelld.camera.base import Camera, Shot


def settings_of(pairs: list[str]) -> CameraSettings:
    """Return the settings that ``key=value`` pairs describe."""
    given = dict(pair.split("=") for pair in pairs)
    return dataclasses.replace(CameraSettings(), **{k: json.loads(v) for k, v in given.items()})


def report(**event: object) -> None:
    """Print an event."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def rest(camera: Camera) -> None:
    """Read for a second without loading anything; report how many pictures that were."""
    count, until, before = 0, time.monotonic() + 1, time.process_time()
    while time.monotonic() < until:
        count += camera.read(0.5) is not None
    report(rested=count, cpu=time.process_time() - before)


def load_late(camera: Camera) -> None:
    """Load a picture when there is a newer one, that one in another thread, and one too late."""
    older, newer = camera.read(5), camera.read(5)
    report(older=failure_of(older))
    with ThreadPoolExecutor(1) as pool:
        report(newer=pool.submit(failure_of, newer).result())
    camera.close()
    report(closed=failure_of(newer))
    camera.open()


def failure_of(shot: Shot | None) -> str:
    """Return what loading a picture raises."""
    try:
        assert shot
        assert shot.jpeg()
    except ValueError as error:
        return type(error).__name__
    return ""


def is_to_go_on(camera: Camera) -> bool:
    """Obey standard input; return whether it is still open."""
    if not select.select([sys.stdin], [], [], 0)[0]:
        return True
    word = sys.stdin.readline()
    if word == "pause\n":
        time.sleep(1)
        report(paused=True)
    elif word == "rest\n":
        rest(camera)
    elif word == "late\n":
        load_late(camera)
    return bool(word)


def loaded(shot: Shot | None) -> bytes:
    """Return the picture, loaded; empty if there is none, or it is damaged."""
    with suppress(ValueError):
        return shot.jpeg() if shot else b""
    return b""


def watch(camera: Camera) -> None:
    """Read until standard input is closed."""
    damaged = 0
    while is_to_go_on(camera):
        started = time.monotonic()
        shot = camera.read(1)
        now = time.monotonic()
        data = loaded(shot)
        damaged += bool(shot and not data)
        event = {"waited": now - started, "invalid": camera.invalid + damaged}
        if shot and data:
            event["age"] = now - shot.captured_at
            report(data=base64.b64encode(data).decode(), **event)
        else:
            report(none=True, **event)


def main() -> None:
    """Open, watch, close."""
    logging.basicConfig(format="%(levelname)s: %(message)s")
    signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        camera = open_camera(sys.argv[1], settings_of(sys.argv[2:]))
    except CameraError as error:
        report(refused=str(error), reason=error.reason)
        return
    report(name=camera.name, mode=camera.mode)
    try:
        watch(camera)
    except CameraError as error:
        report(error=str(error), reason=error.reason)
    finally:
        camera.close()


if __name__ == "__main__":
    main()
