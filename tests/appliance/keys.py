"""A program inside a machine: plugs in input devices and presses their keys, by uinput.

It reads lines: ``add NAME CODE...``, ``press NAME CODE TIMES``, ``remove NAME``; NAME is one word.
It answers each with a line, for ``add`` the path of the device. All are removed at the end.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import time
from pathlib import Path

_UI_DEV_CREATE, _UI_DEV_DESTROY = 0x5501, 0x5502
_UI_DEV_SETUP = 0x405C5503
_UI_SET_EVBIT, _UI_SET_KEYBIT = 0x40045564, 0x40045565
_UI_GET_SYSNAME = 0x8040552C  # 64 bytes
_SETUP = struct.Struct("=4H80sI")  # struct uinput_setup
_EVENT = struct.Struct("@2LHHi")
_SYN, _KEY = 0, 1
_USB = 3

_PAUSE = 0.2
"""Seconds between two presses, of which the key is down for half."""


def add(name: str, codes: list[int]) -> int:
    """Plug in a device that has these keys; return its descriptor."""
    fd = os.open("/dev/uinput", os.O_WRONLY)
    fcntl.ioctl(fd, _UI_SET_EVBIT, _KEY)
    for code in codes:
        fcntl.ioctl(fd, _UI_SET_KEYBIT, code)
    fcntl.ioctl(fd, _UI_DEV_SETUP, _SETUP.pack(_USB, 1, 1, 1, name.encode(), 0))
    fcntl.ioctl(fd, _UI_DEV_CREATE)
    return fd


def path(fd: int) -> str:
    """Return the path of a device, as soon as it has one."""
    system = fcntl.ioctl(fd, _UI_GET_SYSNAME, bytes(64)).split(b"\0")[0].decode()
    while True:
        for node in Path("/sys/class/input", system).glob("event*"):
            return f"/dev/input/{node.name}"
        time.sleep(0.01)


def press(fd: int, code: int, times: int) -> None:
    """Press and release a key."""
    for _ in range(times):
        for value in (1, 0):
            os.write(fd, _EVENT.pack(0, 0, _KEY, code, value) + _EVENT.pack(0, 0, _SYN, 0, 0))
            time.sleep(_PAUSE / 2)


def main() -> None:
    """Do what each line asks for."""
    devices: dict[str, int] = {}
    for line in sys.stdin:
        verb, name, *numbers = line.split()
        answer = "done"
        if verb == "add":
            devices[name] = add(name, [int(each) for each in numbers])
            answer = path(devices[name])
        elif verb == "press":
            press(devices[name], int(numbers[0]), int(numbers[1]))
        else:
            os.close(devices.pop(name))
        print(answer, flush=True)


if __name__ == "__main__":
    main()
