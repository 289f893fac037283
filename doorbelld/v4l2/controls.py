"""Controls of a webcam: brightness, focus, exposure and so on, by the keys of the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from doorbelld.drivers.controls import Control
from doorbelld.v4l2 import setting
from doorbelld.v4l2.setting import NoSuchValueError, Setting

_USER, _CAMERA = 0x00980900, 0x009A0900  # V4L2_CID_BASE, V4L2_CID_CAMERA_CLASS_BASE
_EXPOSURE_AUTO = _CAMERA + 1

_MANUAL = (1, 2)  # enum v4l2_exposure_auto_type: manual, shutter priority
_AUTOMATIC = (3, 0)  # aperture priority, which most webcams have; automatic


class _Ids(NamedTuple):
    """The controls behind a key: those for its value, of which the first that exists is used.

    ``switch`` chooses between the camera's own value and ours; None if nothing does.
    """

    values: tuple[int, ...]
    switch: int | None = None


_KEYS = {
    "exposure": _Ids((_CAMERA + 2, _USER + 17), _EXPOSURE_AUTO),
    "gain": _Ids((_USER + 19,), _USER + 18),
    "focus": _Ids((_CAMERA + 10,), _CAMERA + 12),
    "brightness": _Ids((_USER,), _USER + 32),
    "contrast": _Ids((_USER + 1,)),
    "saturation": _Ids((_USER + 2,)),
    "sharpness": _Ids((_USER + 27,)),
    "white_balance": _Ids((_USER + 26, _CAMERA + 20), _USER + 12),  # kelvins, or a menu
    "metering": _Ids((_CAMERA + 25,)),
    "power_line_frequency": _Ids((_USER + 24,)),
    "hdr": _Ids((_CAMERA + 36, _CAMERA + 21)),  # a sensor's mode, or wide dynamic range
}
"""In the order in which they are set: automatic exposure may rule others."""


def apply(fd: int, asked: Mapping[str, str]) -> dict[str, str]:
    """Set controls of a device; return, for each that cannot be set, why, and what there is."""
    problems = {}
    for key in sorted(asked, key=[*_KEYS, *asked].index):
        offer = _offer(fd, key)
        if offer is None:
            has = ", ".join(name for name, _ in _offers(fd)) or "no controls"
            problems[key] = f"the camera has no such control; it has {has}"
            continue
        try:
            _set(fd, key, offer, asked[key])
        except OSError as error:
            problems[key] = f"{error.strerror}; the camera has {offer.values}"
        except ValueError as error:
            problems[key] = f"{error}; the camera has {offer.values}"
    return problems


def listed(fd: int) -> list[Control]:
    """Return what a device offers, by key, with the current values."""
    return [Control(key, offer.values, offer.current(fd)) for key, offer in _offers(fd)]


@dataclass(frozen=True)
class _Offer:
    """What a device has for a key; at least one of the two.

    ``automatics`` and ``manuals`` are the states of the switch that the device has, the best
    first.
    """

    value: Setting | None
    switch: Setting | None = None
    automatics: tuple[int, ...] = ()
    manuals: tuple[int, ...] = ()

    @property
    def values(self) -> str:
        """What is possible, for the user."""
        others = self.value.values if self.value else "off"
        return f"auto, {others}" if self.automatics else others

    def current(self, fd: int) -> str:
        """Return the current value, or "" if the device does not say it."""
        with suppress(OSError):
            if self.switch and self.switch.get(fd) in self.automatics:
                return "auto"
            return self.value.word(self.value.get(fd)) if self.value else "off"
        return ""


def _offers(fd: int) -> Iterator[tuple[str, _Offer]]:
    for key in _KEYS:
        offer = _offer(fd, key)
        if offer:
            yield key, offer


def _offer(fd: int, key: str) -> _Offer | None:
    ids = _KEYS.get(key, _Ids(()))
    found = (setting.find(fd, each) for each in ids.values)
    value = next((each for each in found if each), None)
    switch = setting.find(fd, ids.switch) if ids.switch else None
    if switch is None:
        return _Offer(value) if value else None
    if switch.id != _EXPOSURE_AUTO:
        return _Offer(value, switch, (1,), (0,))
    return _Offer(value, switch, _states(switch, _AUTOMATIC), _states(switch, _MANUAL))


def _states(switch: Setting, wanted: tuple[int, ...]) -> tuple[int, ...]:
    """Return which of the wanted values a menu has, its default first."""
    possible = [each for each in wanted if each in switch.words.values()]
    return tuple(sorted(possible, key=lambda each: each != switch.default))


def _set(fd: int, key: str, offer: _Offer, text: str) -> None:
    """Set what the user wants. Raises ValueError with what is wrong, or OSError."""
    if text.lower() == "auto" and offer.switch and offer.automatics:
        offer.switch.set(fd, offer.automatics[0])
        return
    value = offer.value.parse(text) if offer.value else 0
    if offer.value is None and text.lower() != "off":
        raise NoSuchValueError
    if offer.value and offer.value.is_read_only:
        raise ValueError("it can only be read")
    if offer.switch and offer.manuals:
        offer.switch.set(fd, offer.manuals[0])
    now = _offer(fd, key)  # active now, perhaps
    if now and now.value:
        if now.value.is_inactive:
            raise ValueError("it has no effect at the moment")
        now.value.set(fd, value)
