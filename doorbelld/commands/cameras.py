"""``doorbelld cameras``: lists the cameras of this machine, and which one ``auto`` takes."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from doorbelld.camera import picamera, picamera2
from doorbelld.commands.base import Load
from doorbelld.drivers.controls import Control
from doorbelld.drivers.errors import CameraError
from doorbelld.v4l2 import controls, devices

OPTIONS = {"--json": "print JSON, for programs"}


def run(options: Namespace, _load: Load) -> int:
    """Print a table, or JSON, of all cameras; return 0 if there is one and 1 if not."""
    # Here it is no error if a camera is in use.
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:FATAL")
    found = find()
    if options.json:
        text = json.dumps({"cameras": found}, indent=2)
    else:
        text = "\n\n".join(map(_describe, found)) or "No camera found; check that one is plugged in"
    sys.stdout.write(text + "\n")
    return 0 if found else 1


def find() -> list[dict[str, Any]]:
    """Return a row for each camera; ``auto`` takes the first."""
    rows = [
        _row(f"{kind}:{number}", f"Raspberry Pi camera {number} {sensor}".strip())
        for kind, library in (("picamera2", picamera2), ("picamera", picamera))
        for number, sensor in sorted(library.connected().items())
    ]
    for row in rows:
        kind, _, number = row["source"].partition(":")
        if kind == "picamera2":
            _add_controls(row, picamera2.controls(int(number)))
    rows += map(_webcam, devices.find())
    for number, row in enumerate(rows):
        row["auto"] = number == 0
    return rows


def _webcam(device: devices.Device) -> dict[str, Any]:
    row = _row(f"v4l2:{device.path}", device.name)
    row["used_by"] = _users(device.path)
    try:
        devices.probe(device.path)
    except CameraError as error:
        row["problem"] = str(error)
    try:
        row["formats"] = [
            {"format": each.code, "sizes": list(each.sizes)}
            for each in devices.formats(device.path)
        ]
    except OSError as error:
        row["problem"] = row["problem"] or f"{device.path} does not answer: {error.strerror}"
    with suppress(OSError), devices.opened(device.path) as fd:
        _add_controls(row, controls.listed(fd))
    return row


def _add_controls(row: dict[str, Any], found: list[Control]) -> None:
    """Add what can be set; there is no such list if that is nothing."""
    if found:
        row["controls"] = [asdict(each) for each in found]


def _row(source: str, name: str) -> dict[str, Any]:
    return {"source": source, "name": name, "problem": None, "used_by": [], "formats": []}


def _users(path: str) -> list[str]:
    """Return the names of the programs that have the file open, as far as we may see them."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # It has ended, or belongs to another user.
            links = [link.readlink() for link in (process / "fd").iterdir()]
            if Path(path) in links and process.name != str(os.getpid()):
                found.add((process / "comm").read_text(encoding="utf-8").strip())
    return sorted(found)


def _describe(row: dict[str, Any]) -> str:
    lines = [f"{row['source']}  {row['name']}"]
    if row["auto"]:
        lines[0] += "  (auto takes this one)"
    if row["used_by"]:
        lines.append(f"    In use by {', '.join(row['used_by'])}")
    elif row["problem"]:
        lines.append(f"    {row['problem']}")
    lines += [f"    {each['format']}  {', '.join(each['sizes'])}" for each in row["formats"]]
    for each in row.get("controls", ()):
        now = f" (now {each['value']})" if each["value"] else ""
        lines.append(f"    {each['name']}: {each['values']}{now}")
    return "\n".join(lines)
