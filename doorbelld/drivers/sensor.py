"""Sensor: which of its modes a Raspberry Pi's camera should use, and how much of the view it has.

Most sensors have fast modes that read a part of the sensor only, so that the picture is a
close-up. Their mode with half of the width and height joins pixels, and has the full view.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Size = tuple[int, int]

_TOLERANCE = 1.02
"""Some modes leave out a few rows at the edges."""


def mode_for(properties: Mapping[str, Any], size: tuple[float, float]) -> Size | None:
    """Return the size of the mode that has the full view and at least ``size``, if possible.

    None if nothing is known about the sensor.
    """
    pixels = _numbers(properties.get("PixelArraySize"))
    if len(pixels) != 2:
        return None
    half = (pixels[0] // 2, pixels[1] // 2)
    return half if size[0] <= half[0] and size[1] <= half[1] else (pixels[0], pixels[1])


def describe(
    properties: Mapping[str, Any],
    configuration: Mapping[str, Any],
    controls: Mapping[str, Any],
    framerate: float,
) -> str:
    """Return the sensor's mode and how much of its view is in the picture, or an empty string.

    It also says if the mode does not allow ``framerate``.
    """
    mode = _mode(configuration)
    if len(mode) != 2:
        return ""
    picture = _numbers(configuration.get("main", {}).get("size"))
    text = f"sensor at {mode[0]}x{mode[1]}{_view(properties, picture)}"
    shortest = (*_numbers(controls.get("FrameDurationLimits")), 0)[0]
    if shortest * framerate > 1e6 * _TOLERANCE:
        text += f", at most {1e6 / shortest:.3g} frames a second"
    return text


def _view(properties: Mapping[str, Any], picture: tuple[int, ...]) -> str:
    pixels = _numbers(properties.get("PixelArraySize"))
    crop = _numbers(properties.get("ScalerCropMaximum"))
    if len(pixels) != 2 or len(crop) != 4 or not all(pixels) or not all(crop[2:]):
        return ""
    width, height = crop[2] / pixels[0], crop[3] / pixels[1]
    if min(width, height) * _TOLERANCE >= 1:
        text = ", full field of view"
    else:
        text = f", {width:.0%} x {height:.0%} of the field of view".replace("%", " %")
    return text + _trimmed(crop[2] / crop[3], picture)


def _trimmed(shape: float, picture: tuple[int, ...]) -> str:
    """Say what is cut off because the picture has another shape than the sensor."""
    if len(picture) != 2:
        return ""
    ratio = picture[0] / picture[1] / shape
    if ratio * _TOLERANCE < 1:
        return f", cut to {ratio:.0%} of the width".replace("%", " %")
    if ratio > _TOLERANCE:
        return f", cut to {1 / ratio:.0%} of the height".replace("%", " %")
    return ""


def _mode(configuration: Mapping[str, Any]) -> tuple[int, ...]:
    sensor, raw = configuration.get("sensor") or {}, configuration.get("raw") or {}
    return _numbers(sensor.get("output_size") or raw.get("size"))


def _numbers(value: Any) -> tuple[int, ...]:
    """Return the numbers of a size or a rectangle, which old versions give as an object."""
    if hasattr(value, "to_tuple"):
        value = value.to_tuple()
    return tuple(value) if isinstance(value, (tuple, list)) else ()
