"""InputKernel: input devices that a test plugs in, and whose keys it presses.

Each is a pipe, in a folder that takes the place of /dev/input; what the kernel would answer about
it is in files, or given by a function that takes the place of ioctl().
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from doorbelld.visits import inputs

SYN, KEY, REL = 0, 1, 2
UP, DOWN, REPEAT = 0, 1, 2
DROPPED = (SYN, 3, 0)
REPORT = (SYN, 0, 0)


def words(codes: Iterable[int]) -> str:
    """Return a set of codes as the kernel writes it, in words of the process's ``long``."""
    size = 8 * struct.calcsize("@L")
    number = sum(1 << code for code in codes)
    found = []
    while number:
        found.append(f"{number % (1 << size):x}")
        number >>= size
    return " ".join(reversed(found)) or "0"


class InputKernel:
    """The devices event0, event1 ... of a machine that has none at first."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._sysfs = folder / "input", folder / "sysfs"
        self.folder.mkdir()
        self._writers: dict[str, int] = {}
        self.down: dict[str, set[int]] = {}
        """The codes that are down, by the path of the device."""
        self.refused: dict[str, int] = {}
        """The number of the error with which a device cannot be opened."""
        self.clocks: dict[str, int] = {}
        """The clock that was set for a device."""
        self.opened: list[str] = []
        self._os_open = os.open
        monkeypatch.setattr(inputs, "FOLDER", self.folder)
        monkeypatch.setattr(inputs, "SYSFS", self._sysfs)
        monkeypatch.setattr(os, "open", self._open)
        monkeypatch.setattr(fcntl, "ioctl", self._ioctl)

    def plug_in(
        self, number: int, name: str = "button@11", keys: Iterable[int] = (256,), *, error: int = 0
    ) -> str:
        """Let a device appear; return its path. With ``error`` it cannot be opened."""
        path = self.folder / f"event{number}"
        about = self._sysfs / path.name / "device"
        (about / "capabilities").mkdir(parents=True, exist_ok=True)
        (about / "name").write_text(f"{name}\n")
        (about / "capabilities" / "key").write_text(f"{words(keys)}\n")
        self.refused[str(path)] = error
        self.down.setdefault(str(path), set())
        os.mkfifo(path)
        self._writers[str(path)] = self._os_open(path, os.O_RDWR | os.O_NONBLOCK)
        return str(path)

    def unplug(self, path: str) -> None:
        """Let a device disappear."""
        Path(path).unlink()
        os.close(self._writers.pop(path))

    def send(self, path: str, *events: tuple[int, int, int], at: float | None = None) -> None:
        """Let a device send events: type, code, value."""
        seconds, part = divmod(time.monotonic() if at is None else at, 1)
        data = b"".join(
            inputs.EVENT.pack(int(seconds), round(part * 1e6), *event) for event in events
        )
        os.write(self._writers[path], data)

    def press(self, path: str, key: int = 256, *, at: float | None = None) -> None:
        """Press and release a key."""
        self.send(path, (KEY, key, DOWN), REPORT, (KEY, key, UP), REPORT, at=at)

    def close(self) -> None:
        """Unplug everything."""
        for path in list(self._writers):
            self.unplug(path)

    def _open(self, path: str | Path, flags: int, *rest: int, **more: int) -> int:
        if error := self.refused.get(str(path), 0):
            raise OSError(error, os.strerror(error))
        if str(path) in self._writers:
            self.opened.append(str(path))
        return self._os_open(path, flags, *rest, **more)

    def _ioctl(self, fd: int, request: int, argument: bytes) -> bytes:
        path = str(Path(f"/proc/self/fd/{fd}").readlink())
        if path not in self.down:
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        if request == 0x400445A0:  # EVIOCSCLOCKID
            [self.clocks[path]] = struct.unpack("@i", argument)
            return argument
        assert request == 0x80604518, f"{request:x}"  # EVIOCGKEY of 96 bytes
        bits = sum(1 << code for code in self.down[path])
        size = struct.calcsize("@L")
        parts = [bits >> 8 * size * n & (1 << 8 * size) - 1 for n in range(len(argument) // size)]
        return struct.pack(f"@{len(parts)}L", *parts)
