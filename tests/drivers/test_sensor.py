from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from doorbelld.drivers import sensor

V2 = (3280, 2464)


def configured(mode: tuple[int, int], picture: tuple[int, int] = (640, 480)) -> dict[str, Any]:
    return {"sensor": {"output_size": mode}, "main": {"size": picture}, "raw": None}


@pytest.mark.parametrize(
    ("size", "mode"),
    [((640, 480), (1640, 1232)), ((1640, 1232), (1640, 1232)), ((1920, 1080), V2), (V2, V2)],
)
def test_takes_half_of_the_sensor_if_that_is_enough(
    size: tuple[int, int], mode: tuple[int, int]
) -> None:
    assert sensor.mode_for({"PixelArraySize": V2}, size) == mode


@pytest.mark.parametrize("value", [None, (), (1,), "no size"])
def test_knows_no_mode_of_an_unknown_sensor(value: object) -> None:
    assert sensor.mode_for({"PixelArraySize": value}, (640, 480)) is None
    assert sensor.mode_for({}, (640, 480)) is None


def test_takes_the_sizes_of_old_versions() -> None:
    size = SimpleNamespace(to_tuple=lambda: V2)
    assert sensor.mode_for({"PixelArraySize": size}, (640, 480)) == (1640, 1232)


@pytest.mark.parametrize(
    ("pixels", "crop", "configuration", "text"),
    [
        (V2, (0, 0, *V2), configured((1640, 1232)), "sensor at 1640x1232, full field of view"),
        (
            V2,
            (1000, 752, 1280, 960),
            configured((640, 480)),
            "sensor at 640x480, 39 % x 39 % of the field of view",
        ),
        (
            (4608, 2592),
            (768, 432, 3072, 1728),
            configured((1536, 864)),
            "sensor at 1536x864, 67 % x 67 % of the field of view, cut to 75 % of the width",
        ),
        (
            V2,
            (0, 0, *V2),
            configured((1640, 1232), (1280, 720)),
            "sensor at 1640x1232, full field of view, cut to 75 % of the height",
        ),
        (
            V2,
            (0, 0, *V2),
            {"raw": {"size": (1640, 1232)}, "sensor": None},
            "sensor at 1640x1232, full field of view",
        ),
    ],
)
def test_says_how_much_of_its_view_is_in_the_picture(
    pixels: tuple[int, int], crop: tuple[int, ...], configuration: dict[str, Any], text: str
) -> None:
    properties = {"PixelArraySize": pixels, "ScalerCropMaximum": crop}
    assert sensor.describe(properties, configuration, {}, 30) == text


@pytest.mark.parametrize("properties", [{}, {"PixelArraySize": V2, "ScalerCropMaximum": None}])
def test_says_no_more_than_it_knows(properties: dict[str, Any]) -> None:
    assert sensor.describe(properties, configured((1640, 1232)), {}, 30) == "sensor at 1640x1232"
    assert sensor.describe(properties, {"main": {"size": (640, 480)}}, {}, 30) == ""
    assert sensor.describe(properties, {}, {}, 30) == ""


def test_a_crop_of_nothing_does_no_harm() -> None:
    properties = {"PixelArraySize": V2, "ScalerCropMaximum": (0, 0, 0, 0)}
    assert sensor.describe(properties, configured((1640, 1232)), {}, 30) == "sensor at 1640x1232"


@pytest.mark.parametrize(
    ("shortest", "more"),
    [(33333, ""), (33334, ""), (47183, ", at most 21.2 frames a second"), (None, "")],
)
def test_says_that_the_mode_is_slower_than_what_is_asked(shortest: int | None, more: str) -> None:
    controls = {"FrameDurationLimits": (shortest, 10**9, None)} if shortest else {}
    text = sensor.describe({}, configured(V2), controls, 30)
    assert text == f"sensor at 3280x2464{more}"
