"""Inputs: the kernel's input devices, and the keys that are pressed on them.

It reads them as the kernel offers them (evdev), and needs no library.
"""

from __future__ import annotations

import errno
import os
import select
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from doorbelld.system.wakeup import Wakeup
from doorbelld.v4l2 import ioctl

FOLDER = Path("/dev/input")
SYSFS = Path("/sys/class/input")
AUTO = "auto"
"""Stands for all devices, instead of the path of one."""

_EVIOCGKEY = 0x80604518  # the keys that are down, in 96 bytes
_EVIOCSCLOCKID = 0x400445A0
_SYN, _KEY = 0, 1  # types of events
_SYN_REPORT, _SYN_DROPPED = 0, 3  # codes of _SYN
_UP, _DOWN = 0, 1  # values of _KEY; 2 is a key that repeats while it is down

_MOST_EVENTS = 64
"""That are read at once."""

_LONG = struct.calcsize("@L")
_NONE: frozenset[int] = frozenset()

_Mark = tuple[int, int, int]


def layout(size_of_long: int) -> struct.Struct:
    """Return struct input_event: seconds, microseconds, type, code, value.

    The kernel writes it as the process has it that reads: its numbers of time are as large as a
    ``long`` there, also where that process has a time of 64 bits.
    """
    return struct.Struct("=2QHHi" if size_of_long == 8 else "=2IHHi")


EVENT = layout(_LONG)
"""That of this very process."""


@dataclass(frozen=True)
class InputDevice:
    """An input device: its path, the name it reports, and the codes of the keys it has."""

    path: str
    name: str
    keys: frozenset[int]

    def __str__(self) -> str:
        """Return how a user finds it."""
        return f"{self.path} ({self.name})" if self.name else self.path


class Press(NamedTuple):
    """A key that went down on a device; ``at`` is a moment of time.monotonic()."""

    device: InputDevice
    key: int
    at: float


def describe(path: Path) -> InputDevice:
    """Return what the kernel says of a device, which need not be opened for that."""
    about = SYSFS / path.resolve().name / "device"
    name = ioctl.printable(_read(about / "name"))
    return InputDevice(str(path), name, frozenset(_numbers(_read(about / "capabilities/key"))))


def find() -> list[InputDevice]:
    """List the devices that have a key, in the order of their numbers."""
    return [device for path in _there(AUTO) if (device := describe(Path(path))).keys]


class Input:
    """An input device that is opened and read. The constructor and presses() raise OSError."""

    def __init__(self, device: InputDevice) -> None:
        self.device = device
        self._fd = os.open(device.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._is_behind = False
        try:
            # Otherwise the time of an event would be that of the system clock, which may be set.
            clock = struct.pack("@i", time.CLOCK_MONOTONIC)
            ioctl.send(self._fd, _EVIOCSCLOCKID, clock)
            self._down = self._ask()  # These may be stuck, and were not pressed now.
        except OSError:
            os.close(self._fd)
            raise

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._fd

    def close(self) -> None:
        """Close the device."""
        os.close(self._fd)

    def presses(self) -> Iterator[Press]:
        """Yield what was pressed since the last call, or a part of it."""
        try:
            data = os.read(self._fd, _MOST_EVENTS * EVENT.size)
        except BlockingIOError:
            return
        if not data:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        whole = len(data) - len(data) % EVENT.size
        for seconds, micros, kind, code, value in EVENT.iter_unpack(data[:whole]):
            if kind == _SYN:
                yield from self._sync(code)
            elif kind == _KEY and not self._is_behind:
                if value == _DOWN:
                    self._down.add(code)
                    yield Press(self.device, code, seconds + micros / 1e6)
                elif value == _UP:
                    self._down.discard(code)

    def _sync(self, code: int) -> Iterator[Press]:
        """Take note that the kernel had to drop events; then find out what is down now."""
        if code == _SYN_DROPPED:
            self._is_behind = True  # The events up to the next report are not complete.
        elif code == _SYN_REPORT and self._is_behind:
            self._is_behind = False
            before, self._down = self._down, self._ask()
            for key in sorted(self._down - before):
                yield Press(self.device, key, time.monotonic())

    def _ask(self) -> set[int]:
        answer = ioctl.send(self._fd, _EVIOCGKEY, bytes(0x60))
        words = struct.unpack(f"@{len(answer) // _LONG}L", answer)
        return set(_bits(words))


class Inputs:
    """The devices that have a certain key, opened as soon as they are there. For one thread.

    ``which`` is the path of the only device, or AUTO; with ``key`` None, any key will do.
    """

    def __init__(self, which: str, key: int | None) -> None:
        self._which = which
        self._key = key
        self._seen: dict[str, _Mark] = {}
        self._open: dict[str, Input] = {}
        self.problems: dict[str, str] = {}
        """Why a device that has the key cannot be used, by its path."""

    @property
    def devices(self) -> list[InputDevice]:
        """The devices that are read."""
        return [each.device for each in self._open.values()]

    def scan(self) -> None:
        """Open what is there now; forget what is not. It costs little if nothing has changed."""
        there = _there(self._which)
        if not there and self._which != AUTO:
            missing = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            self.problems[self._which] = explain(InputDevice(self._which, "", _NONE), missing)
        for gone in self._seen.keys() - there.keys():
            del self._seen[gone]
        for gone in self.problems.keys() - there.keys():
            if self._which == AUTO:
                del self.problems[gone]
        for path, mark in there.items():
            if path not in self._open and self._seen.get(path) != mark:
                self._try(path, mark)

    def wait(self, timeout: float, wakeup: Wakeup | None = None) -> list[Press]:
        """Return what is pressed, as soon as it is; nothing after a timeout or a wake-up."""
        poll = select.poll()
        by_fd = {each.fileno(): each for each in self._open.values()}
        for fd in [*by_fd, *([wakeup.fileno()] if wakeup else [])]:
            poll.register(fd, select.POLLIN)
        found: list[Press] = []
        for fd, _ in poll.poll(timeout * 1000):
            if fd in by_fd:
                found += self._read(by_fd[fd])
        return found

    def close(self) -> None:
        """Close all devices."""
        for each in self._open.values():
            each.close()
        self._open.clear()
        self._seen.clear()
        self.problems.clear()

    def _try(self, path: str, mark: _Mark) -> None:
        """Open the device at ``path`` if it has the key."""
        device = describe(Path(path))
        self.problems.pop(path, None)
        if not (self._key in device.keys if self._key else device.keys):
            self._seen[path] = mark
            if self._which != AUTO:
                self.problems[path] = _no_key(device, self._key)
            return
        try:
            self._open[path] = Input(device)
        except OSError as error:
            self.problems[path] = explain(device, error)
            if not isinstance(error, PermissionError):
                return  # It has gone again, or there are too many files: try again later.
        self._seen[path] = mark

    def _read(self, one: Input) -> list[Press]:
        found = []
        try:
            found += [press for press in one.presses() if self._key in (None, press.key)]
        except OSError:
            one.close()
            del self._open[one.device.path]
            self._seen.pop(one.device.path, None)  # Its name goes first, and scan() has seen that.
        return found


def explain(device: InputDevice, error: OSError) -> str:
    """Return in one sentence why a device cannot be read, and what helps."""
    if isinstance(error, PermissionError):
        return f"No permission to read {device}; sudo doorbelld bell shows how to give it"
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return f"There is no device at {device.path}; check that it is plugged in"
    if error.errno in (errno.ENOTTY, errno.EINVAL):
        return f"{device} is not an input device"
    return f"{device} cannot be read: {error.strerror}"


def _no_key(device: InputDevice, key: int | None) -> str:
    if not device.keys:
        return f"{device} is not an input device with a key"
    return f"{device} has no key {key}; sudo doorbelld bell lists its keys"


def _there(which: str) -> dict[str, _Mark]:
    """Return the paths of the devices that exist, in the order of their numbers."""
    found = {}
    with suppress(OSError):
        if which != AUTO:
            return {which: _mark(Path(which).stat())}
        with os.scandir(FOLDER) as entries:
            for entry in entries:
                if entry.name.startswith("event"):
                    found[entry.path] = _mark(entry.stat())
    return {path: found[path] for path in sorted(found, key=lambda path: (len(path), path))}


def _mark(status: os.stat_result) -> _Mark:
    """Return what is different for another device, or one whose owner udev has changed."""
    return status.st_rdev, status.st_ino, status.st_ctime_ns


def _numbers(bitmap: str) -> Iterator[int]:
    """Yield the numbers of the bits that are set in a text of the kernel's, in words of a long."""
    words = [int(word, 16) for word in bitmap.split()]
    return _bits(tuple(reversed(words)))


def _bits(words: tuple[int, ...]) -> Iterator[int]:
    """Yield the numbers of the bits that are set, the first word being the lowest."""
    size = 8 * _LONG
    for number, word in enumerate(words):
        yield from (size * number + bit for bit in range(size) if word >> bit & 1)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
