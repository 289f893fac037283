"""libcamera's controls: the settings of a Raspberry Pi camera, by the names of our configuration.

What the library has differs by its version, by the sensor, and by the model of the Raspberry Pi.
So everything is looked up in what the camera itself offers, and a setting that it does not have,
or not with this value, is a warning: the camera then runs without it.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from doorbelld.drivers.controls import Control
from doorbelld.drivers.errors import describe
from doorbelld.system.limited_log import MINUTE, OnceLog

logger = logging.getLogger(__name__)

Zoom = tuple[float, float, float, float]
Values = dict[str, Any]
"""Controls of libcamera by their names, as picamera2 takes them."""

WHOLE: Zoom = (0.0, 0.0, 1.0, 1.0)

_LONGEST_EXPOSURE = 1_000_000
"""Microseconds. With longer ones the camera would look as if it had stopped."""

_ROOM = 10_000
"""Microseconds: a frame takes a little longer than its exposure."""

_AUTO, _MANUAL = 0, 1
"""Of ExposureTimeMode and AnalogueGainMode, which libcamera has had since 0.5."""

_ENUMERATIONS = ("AfMode", "AwbMode", "AeMeteringMode", "AeFlickerMode", "HdrMode")

_PERIODS = {"50 Hz": 10_000, "60 Hz": 8333}
"""Microseconds between two flashes of a lamp: it flashes twice in a period."""

_LIGHTS = ("auto", "incandescent", "tungsten", "fluorescent", "indoor", "daylight", "cloudy")
_METERING = {"centre": "CentreWeighted", "spot": "Spot", "matrix": "Matrix"}
_HDR = {
    "off": "Off",
    "on": "SingleExposure",
    "single-exposure": "SingleExposure",
    "multi-exposure": "MultiExposure",
    "night": "Night",
}
_NUMBERS = {
    "brightness": "Brightness",
    "contrast": "Contrast",
    "saturation": "Saturation",
    "sharpness": "Sharpness",
}

_SENSOR_HDR = (
    "; the HDR of this sensor itself has to be turned on before the camera is opened:"
    " v4l2-ctl -d /dev/v4l-subdev0 --set-ctrl wide_dynamic_range=1"
)


class Asked(Protocol):
    """What is asked of the camera."""

    @property
    def width(self) -> int:
        """The width of the picture."""

    @property
    def height(self) -> int:
        """The height of the picture."""

    @property
    def framerate(self) -> float:
        """Frames a second."""

    @property
    def framerate_dark(self) -> float:
        """How low the frame rate may fall."""

    @property
    def controls(self) -> Mapping[str, str]:
        """Settings by name."""

    @property
    def zoom(self) -> Zoom:
        """The part of the picture to show."""


@dataclass(frozen=True)
class Offer:
    """What an opened camera has: the library's own mappings.

    ``controls`` has the least, the greatest and the default value of each control;
    ``enumerations`` has the class with the names of a control's values; ``has_hdr`` is whether the
    Raspberry Pi can merge exposures.
    """

    controls: Mapping[str, tuple[Any, Any, Any]]
    properties: Mapping[str, Any]
    enumerations: Mapping[str, Any]
    has_hdr: bool = False

    def limits(self, control: str) -> tuple[Any, Any] | None:
        """Return the least and the greatest value of a control that is a number."""
        least, most, _ = self.controls.get(control, (None, None, None))
        are_numbers = isinstance(least, (int, float)) and isinstance(most, (int, float))
        return (least, most) if are_numbers else None

    def member(self, control: str, name: str) -> int | None:
        """Return a value of an enumeration by its name, None if the camera does not have it."""
        value = getattr(self.enumerations.get(control), name, None)
        limits = self.limits(control)
        if value is None or limits is None or not limits[0] <= int(value) <= limits[1]:
            return None
        return int(value)


@dataclass(frozen=True)
class _Setting:
    """A key of the configuration: the words and numbers it takes, and what they set."""

    words: Mapping[str, Values]
    least: float = 0.0
    most: float = -1.0
    unit: str = ""
    of_number: Callable[[float], Values] | None = None
    value: str = ""

    def describe(self) -> str:
        """Return what it takes, in words."""
        found = list(self.words)
        if self.of_number is not None:
            found.append(f"{_rounded(self.least)} to {_rounded(self.most)}{self.unit}")
        return ", ".join(found)

    def take(self, text: str) -> Values:
        """Return the controls for a value. Raises ValueError if it is not one of them."""
        words = {_plain(word): values for word, values in self.words.items()}
        if _plain(text) in words:
            return words[_plain(text)]
        if self.of_number is None:
            raise ValueError
        asked = float(text)
        value = min(max(asked, self.least), self.most)
        # What is listed is rounded.
        if not abs(value - asked) <= 0.001 * max(abs(value), 0.001):
            raise ValueError
        return self.of_number(value)


_settings_log = OnceLog(logger, MINUTE)
"""A camera that is lost every second is opened as often."""


def warn(text: str) -> None:
    """Log a warning, at most once a minute."""
    _settings_log.log(logging.WARNING, text)


def offer_of(camera: Any) -> Offer:
    """Return what an opened picamera2 has; the ranges are those of its configuration."""
    platform = getattr(getattr(camera, "platform", None), "name", "")
    return Offer(
        camera.camera_controls, camera.camera_properties, enumerations(), platform == "PISP"
    )


def enumerations() -> dict[str, Any]:
    """Return the enumerations of this version of libcamera; old ones have fewer."""
    controls = getattr(importlib.import_module("libcamera"), "controls", None)
    return {name: getattr(controls, f"{name}Enum", None) for name in _ENUMERATIONS}


def listed(offer: Offer) -> list[Control]:
    """Return what can be set, for the user."""
    return [
        Control(name, setting.describe(), setting.value)
        for name, setting in _settings(offer).items()
    ]


def values_for(offer: Offer, asked: Asked) -> tuple[Values, list[str]]:
    """Return the controls that set what is asked, and a sentence for each that is left out."""
    settings, values, warnings = _settings(offer), dict[str, Any](), list[str]()
    for name, text in asked.controls.items():
        try:
            values.update(settings[name].take(text))
        except KeyError:
            if (name, _plain(text)) != ("hdr", "off"):
                warnings.append(f"{name} = {text} is left out: {_missing(name, offer)}")
        except ValueError:
            takes = settings[name].describe()
            warnings.append(f"{name} = {text} is left out: this camera takes {takes}")
    if values.keys() & {"ExposureTime", "AnalogueGain"}:
        values.pop("AeEnable", None)  # It would make both automatic.
    if "ExposureTime" in values:
        values["FrameDurationLimits"] = _durations(offer, asked, values["ExposureTime"])
    if asked.zoom != WHOLE:
        crop = _crop(offer, asked)
        if crop is None:
            warnings.append("zoom is left out: this camera cannot show a part of its picture")
        else:
            values.update(crop)
    return values, warnings


def start(
    name: str,
    camera: Any,
    asked: Asked,
    configure: Callable[[], object],
    record: Callable[[], object],
) -> None:
    """Configure a camera, set what is asked, and start it; without the settings if they fail.

    ``configure`` and ``record`` do the rest of it. Raises what they raise.
    """
    configure()
    if not _set(name, camera, asked):
        record()
        return
    try:
        record()
    except Exception as error:  # noqa: BLE001  # whatever is wrong with a setting
        with suppress(Exception):
            # If libcamera cannot convert a setting, it stays connected to the camera. Started
            # again, it would get every frame twice, and abort the process.
            camera.camera.stop()
        camera.stop_recording()
        configure()
        record()
        warn(f"{name} does not start with its settings, and runs without: {describe(error)}")


def _set(name: str, camera: Any, asked: Asked) -> bool:
    """Set what is asked, as far as the camera can; return whether anything was set."""
    if not asked.controls and asked.zoom == WHOLE:
        return False
    try:
        values, warnings = values_for(offer_of(camera), asked)
    except Exception as error:  # noqa: BLE001  # a library that is not as we know it
        warn(f"{name}: its settings are left out: {describe(error)}")
        return False
    for control, value in values.items():
        try:
            camera.set_controls({control: value})
        except Exception as error:  # noqa: BLE001  # the others are still good
            warnings.append(f"{control} cannot be set: {describe(error)}")
    for warning in warnings:
        warn(f"{name}: {warning}")
    return bool(values)


def _missing(name: str, offer: Offer) -> str:
    found = "; ".join(f"{each.name} ({each.values})" for each in listed(offer))
    said = f"this camera has no {name}; it has {found or 'no settings'}"
    if name == "hdr" and str(offer.properties.get("Model", "")).startswith("imx708"):
        said += _SENSOR_HDR
    return said


def _rounded(number: float) -> str:
    return f"{number:.4g}" if abs(number) < 1000 else f"{number:.0f}"


def _plain(text: str) -> str:
    """Return a word without the differences that do not matter."""
    word = re.sub(r"[\s_-]", "", text.lower()).replace("center", "centre")
    return word.removesuffix("hz").removesuffix("weighted")


def _settings(offer: Offer) -> dict[str, _Setting]:
    """Return the settings that the camera has, by their keys."""
    makers = (_focus, _exposure, _gain, _numbers, _white_balance, _metering, _flicker, _hdr)
    return {
        name: setting
        for maker in makers
        for name, setting in maker(offer)
        if setting.words or setting.of_number is not None
    }


_Found = Iterator[tuple[str, _Setting]]


def _focus(offer: Offer) -> _Found:
    manual = offer.member("AfMode", "Manual")
    continuous = offer.member("AfMode", "Continuous")
    words: dict[str, Values] = {}
    if continuous is not None:
        words["auto"] = {"AfMode": continuous}
    limits = offer.limits("LensPosition")
    if manual is None or limits is None or limits[1] <= 0:
        yield "focus", _Setting(words, value="auto" if words else "")
        return
    farthest, nearest = limits  # in dioptres, which are 1 / metres
    if farthest <= 0:
        words["infinity"] = {"AfMode": manual, "LensPosition": 0.0}

    def at(metres: float) -> Values:
        return {"AfMode": manual, "LensPosition": 1 / metres}

    most = 1 / farthest if farthest > 0 else 1000.0
    yield "focus", _Setting(words, 1 / nearest, most, " (metres)", at, "auto" if continuous else "")


def _exposure(offer: Offer) -> _Found:
    limits = offer.limits("ExposureTime")
    if limits is None:
        return
    auto, manual = _modes(offer, "ExposureTimeMode")

    def of(microseconds: float) -> Values:
        return {"ExposureTime": round(microseconds), **manual}

    most = min(limits[1], _LONGEST_EXPOSURE)
    yield "exposure", _Setting({"auto": auto}, limits[0], most, " (microseconds)", of, "auto")


def _gain(offer: Offer) -> _Found:
    limits = offer.limits("AnalogueGain")
    if limits is None:
        return
    auto, manual = _modes(offer, "AnalogueGainMode")

    def of(gain: float) -> Values:
        return {"AnalogueGain": float(gain), **manual}

    yield "gain", _Setting({"auto": auto}, *limits, of_number=of, value="auto")


def _modes(offer: Offer, control: str) -> tuple[Values, Values]:
    """Return what makes exposure or gain automatic, and what besides its value makes it fixed.

    Before there were modes, the value alone did that, and AeEnable = False would also have frozen
    the other one.
    """
    auto: Values = {"AeEnable": True} if "AeEnable" in offer.controls else {}
    if control not in offer.controls:
        return auto, {}
    return {**auto, control: _AUTO}, {control: _MANUAL}


def _numbers(offer: Offer) -> _Found:
    for name, control in _NUMBERS.items():
        limits = offer.limits(control)
        if limits is None:
            continue
        default = offer.controls[control][2]
        value = _rounded(default) if isinstance(default, (int, float)) else ""

        def of(number: float, control: str = control) -> Values:
            return {control: float(number)}

        yield name, _Setting({}, *limits, of_number=of, value=value)


def _white_balance(offer: Offer) -> _Found:
    found = {light: offer.member("AwbMode", light.capitalize()) for light in _LIGHTS}
    can_stop = "AwbEnable" in offer.controls
    on: Values = {"AwbEnable": True} if can_stop else {}
    words = {light: {**on, "AwbMode": mode} for light, mode in found.items() if mode is not None}
    limits = offer.limits("ColourTemperature")  # It can be set since libcamera 0.4.
    if limits is None or not can_stop:
        yield "white_balance", _Setting(words, value="auto" if words else "")
        return

    def of(kelvins: float) -> Values:
        return {"AwbEnable": False, "ColourTemperature": round(kelvins)}

    yield "white_balance", _Setting(words, *limits, " (kelvins)", of, "auto")


def _metering(offer: Offer) -> _Found:
    yield "metering", _of_enumeration(offer, "AeMeteringMode", _METERING)


def _flicker(offer: Offer) -> _Found:
    found = _of_enumeration(offer, "AeFlickerMode", {"off": "Off", "auto": "Auto"})
    manual = offer.member("AeFlickerMode", "Manual")
    words = dict(found.words)
    if manual is not None and "AeFlickerPeriod" in offer.controls:
        for word, period in _PERIODS.items():
            words[word] = {"AeFlickerMode": manual, "AeFlickerPeriod": period}
    yield "power_line_frequency", _Setting(words, value=found.value)


def _hdr(offer: Offer) -> _Found:
    # Others than the Raspberry Pi 5 offer it too, but cannot do it.
    if offer.has_hdr:
        yield "hdr", _of_enumeration(offer, "HdrMode", _HDR)


def _of_enumeration(offer: Offer, control: str, names: Mapping[str, str]) -> _Setting:
    found = {word: offer.member(control, name) for word, name in names.items()}
    words = {word: {control: value} for word, value in found.items() if value is not None}
    default = offer.controls.get(control, (None, None, None))[2]
    return _Setting(words, value=next((word for word in words if found[word] == default), ""))


def _durations(offer: Offer, asked: Asked, exposure: int) -> tuple[int, int]:
    """Return the shortest and the longest time of a frame with this exposure."""
    slowest = min(asked.framerate, asked.framerate_dark)
    shortest, longest = int(1e6 / asked.framerate), max(int(1e6 / slowest), exposure + _ROOM)
    limits = offer.limits("FrameDurationLimits")
    if limits is None:
        return shortest, longest
    return tuple(min(max(each, limits[0]), limits[1]) for each in (shortest, longest))


def _crop(offer: Offer, asked: Asked) -> Values | None:
    """Return what shows a part of the picture, in pixels of the sensor; None if it cannot.

    The part gets the shape of the picture, so that nothing is distorted.
    """
    if "ScalerCrop" not in offer.controls:
        return None
    left, top, width, height = _full(offer)
    if not (width and height):
        return None
    # Without zoom, the library shows the largest part of this shape in the middle.
    shape = asked.width / asked.height
    shown_width = min(width, height * shape)
    shown_height = shown_width / shape
    zoom_left, zoom_top, zoom_width, zoom_height = asked.zoom
    size = min(max(zoom_width, zoom_height), 1.0)
    x, y = (
        min(max(start + length / 2 - size / 2, 0.0), 1 - size)
        for start, length in ((zoom_left, zoom_width), (zoom_top, zoom_height))
    )
    crop = (
        round(left + (width - shown_width) / 2 + x * shown_width),
        round(top + (height - shown_height) / 2 + y * shown_height),
        round(size * shown_width),
        round(size * shown_height),
    )
    if "ScalerCrops" in offer.controls:  # On a Raspberry Pi 5 the library sets it, too; it wins.
        return {"ScalerCrop": crop, "ScalerCrops": [crop]}
    return {"ScalerCrop": crop}


def _full(offer: Offer) -> tuple[int, int, int, int]:
    """Return the part of the sensor that its mode reads."""
    for found in (
        offer.properties.get("ScalerCropMaximum"),
        (0, 0, *offer.properties.get("PixelArraySize", (0, 0))),
    ):
        if found and found[2] and found[3]:
            left, top, width, height = found
            return left, top, width, height
    return 0, 0, 0, 0
