"""What the doorbell in the machine says of its camera, and what its viewers get."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import Any

from tests.appliance.machine import VirtualMachine
from tests.support.daemon import eventually
from tests.support.stream_parser import Part, StreamParser

TIMEOUT = 60.0
"""Seconds: inside the machine, every instruction is emulated."""


def camera(vm: VirtualMachine) -> dict[str, Any]:
    """Return what /status says of the camera."""
    with urllib.request.urlopen(_url(vm, "/status"), timeout=TIMEOUT) as answer:
        found: dict[str, Any] = json.load(answer)["camera"]
        return found


def wait_for(vm: VirtualMachine, state: str, detail: str = "") -> dict[str, Any]:
    """Wait until the camera is in this state, for a reason that matches ``detail``."""

    def poll() -> dict[str, Any] | None:
        found = camera(vm)
        return found if found["state"] == state and re.search(detail, found["detail"]) else None

    return eventually(poll, f"{state} {detail}", TIMEOUT)


def parts(vm: VirtualMachine, count: int) -> list[Part]:
    """Return the first parts that a new viewer gets."""
    parser = StreamParser()
    found: list[Part] = []
    with urllib.request.urlopen(_url(vm, "/video_feed"), timeout=TIMEOUT) as answer:
        while len(found) < count:
            part = parser.read(answer)
            assert part, "the stream ended"
            found.append(part)
    return found


def snapshot(vm: VirtualMachine) -> Part:
    """Return the newest picture."""
    with urllib.request.urlopen(_url(vm, "/snapshot.jpg"), timeout=TIMEOUT) as answer:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Part(headers, answer.read())


def configure(vm: VirtualMachine, **settings: object) -> None:
    """Give the service these settings of the camera, and no others; also while it runs."""
    lines = "".join(f"{key} = {value}\\n" for key, value in settings.items())
    vm.run(f"printf '[camera]\\n{lines}' > /etc/doorbelld/conf.d/test.conf")
    vm.run("systemctl try-reload-or-restart doorbelld")


def pid(vm: VirtualMachine) -> str:
    """Return the id of the daemon's process, inside the machine."""
    return vm.run("systemctl show --value --property=MainPID doorbelld").strip()


def resident(vm: VirtualMachine) -> float:
    """Return the daemon's resident memory, in MiB."""
    status = vm.run(f"cat /proc/{pid(vm)}/status")
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


def uses_opencv(vm: VirtualMachine) -> bool:
    """Return whether the daemon's process has loaded OpenCV."""
    return "/cv2/" in vm.run(f"cat /proc/{pid(vm)}/maps")


def _url(vm: VirtualMachine, path: str) -> str:
    return f"http://127.0.0.1:{vm.port}{path}"
