"""Setting: one control of a V4L2 driver, with its range, or the words that stand for values."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from doorbelld.v4l2 import ioctl

_INTEGER, _BOOLEAN, _MENU, _INTEGER_MENU = 1, 2, 3, 9  # enum v4l2_ctrl_type
_DISABLED, _READ_ONLY, _INACTIVE = 0x01, 0x04, 0x10  # V4L2_CTRL_FLAG_...
_NUMBER = struct.Struct("=q")

_MOST_ENTRIES = 64
"""Of a menu, that are asked for."""

_OFF = ("off", "disabled", "disable", "no", "false", "0")
_ON = ("on", "enabled", "enable", "yes", "true", "1")


class NoSuchValueError(ValueError):
    """The camera has no such value."""

    def __init__(self) -> None:
        super().__init__("there is no such value")


@dataclass(frozen=True)
class Setting:
    """A control that has a number, is on or off, or is chosen from a menu.

    ``words`` are the values that have names, by name; empty for a number.
    """

    id: int
    least: int
    most: int
    step: int
    default: int
    is_read_only: bool
    is_inactive: bool
    words: Mapping[str, int]

    @property
    def values(self) -> str:
        """What it can be set to, for the user."""
        if self.words:
            return ", ".join(self.words)
        steps = f" in steps of {self.step}" if self.step > 1 else ""
        return f"{self.least} to {self.most}{steps}"

    def parse(self, text: str) -> int:
        """Return the value that a user's word or number stands for. Raises NoSuchValueError."""
        if self.words:
            return self.words[_match(text, self.words)]
        try:
            number = float(text)
        except ValueError as error:
            raise NoSuchValueError from error
        if not (number.is_integer() and self.least <= number <= self.most):
            raise NoSuchValueError
        return int(number)

    def word(self, value: int) -> str:
        """Return a value as the user would write it."""
        return next((word for word, each in self.words.items() if each == value), str(value))

    def get(self, fd: int) -> int:
        """Return the current value. Raises OSError."""
        return int(ioctl.call(fd, ioctl.G_CTRL, self.id, 0)[1])

    def set(self, fd: int, value: int) -> None:
        """Set a value. Raises OSError."""
        ioctl.call(fd, ioctl.S_CTRL, self.id, value)


def find(fd: int, control: int) -> Setting | None:
    """Return the control with this id, or None if the device has none that can be shown."""
    try:
        found = ioctl.call(fd, ioctl.QUERYCTRL, control, 0, b"", 0, 0, 0, 0, 0)
    except OSError:
        return None
    _, kind, _, least, most, step, default, flags = found
    if flags & _DISABLED or kind not in (_INTEGER, _BOOLEAN, _MENU, _INTEGER_MENU):
        return None
    words = {"off": 0, "on": 1} if kind == _BOOLEAN else {}
    if kind in (_MENU, _INTEGER_MENU):
        words = _menu(fd, control, range(least, most + 1)[:_MOST_ENTRIES], kind == _MENU)
        if not words:
            return None
    is_read_only, is_inactive = bool(flags & _READ_ONLY), bool(flags & _INACTIVE)
    return Setting(control, least, most, step, default, is_read_only, is_inactive, words)


def _menu(fd: int, control: int, indexes: range, has_names: bool) -> dict[str, int]:
    words = {}
    for index in indexes:
        with suppress(OSError):  # Not every number has an entry.
            name = ioctl.call(fd, ioctl.QUERYMENU, control, index, b"")[2]
            words[_label(name) if has_names else str(_NUMBER.unpack_from(name)[0])] = index
    return words


def _label(name: bytes) -> str:
    """Return an entry of a menu: off and auto in these words, others in the driver's."""
    text = ioctl.text(name)
    plain = _plain(text)
    if plain in _OFF:
        return "off"
    return "auto" if plain in ("auto", "automatic") else text


def _match(text: str, words: Mapping[str, int]) -> str:
    """Return the word that ``text`` is, or is the beginning of; "50" is "50 Hz"."""
    asked = _plain(text)
    asked = "off" if asked in _OFF and "off" in words else asked
    asked = "on" if asked in _ON and "on" in words else asked
    for word in words:
        if _plain(word) == asked:
            return word
    for word in words:
        rest = _plain(word)[len(asked) :]
        if len(asked) > 1 and _plain(word).startswith(asked) and not rest[:1].isdigit():
            return word
    raise NoSuchValueError


def _plain(text: str) -> str:
    """Return letters and digits alone, as Americans write them."""
    return re.sub(r"[^a-z0-9]", "", text.lower()).replace("centre", "center")
