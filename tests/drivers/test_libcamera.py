from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorbelld.camera.base import CameraSettings
from doorbelld.drivers import libcamera
from doorbelld.drivers.controls import Control
from doorbelld.drivers.libcamera import Offer
from doorbelld.system.limited_log import MINUTE, OnceLog
from tests.support.libcamera_offers import (
    ENUMERATIONS,
    V2_OLD,
    V2_PROPERTIES,
    V3_NEW,
    V3_PROPERTIES,
    VIRTUAL,
)

V2 = Offer(V2_OLD, V2_PROPERTIES, ENUMERATIONS)
V3 = Offer(V3_NEW, V3_PROPERTIES, ENUMERATIONS, has_hdr=True)
V3_ON_PI_4 = Offer(
    {name: limits for name, limits in V3_NEW.items() if name != "ScalerCrops"},
    V3_PROPERTIES,
    ENUMERATIONS,
)
BARE = Offer(VIRTUAL, {}, ENUMERATIONS)
OFFERS = (V2, V3, V3_ON_PI_4, BARE)

GIVEN = st.text(max_size=20) | st.floats(allow_infinity=True).map(str)


def asked(**controls: str) -> CameraSettings:
    return CameraSettings(controls=controls)


@pytest.fixture(autouse=True)
def nothing_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no warning be one that was logged in the last minute."""
    monkeypatch.setattr(libcamera, "_settings_log", OnceLog(libcamera.logger, MINUTE))


@pytest.mark.parametrize(
    ("offer", "controls", "values"),
    [
        (V3, {"focus": "auto"}, {"AfMode": 2}),
        (V3, {"focus": "0.5"}, {"AfMode": 0, "LensPosition": 2.0}),
        (V3, {"focus": "0.0667"}, {"AfMode": 0, "LensPosition": pytest.approx(15, rel=0.001)}),
        (V3, {"focus": "Infinity"}, {"AfMode": 0, "LensPosition": 0.0}),
        (V3, {"brightness": "-0.25"}, {"Brightness": -0.25}),
        (V3, {"contrast": "2"}, {"Contrast": 2.0}),
        (V3, {"saturation": "0"}, {"Saturation": 0.0}),
        (V3, {"sharpness": "16"}, {"Sharpness": 16.0}),
        (V3, {"white_balance": "auto"}, {"AwbEnable": True, "AwbMode": 0}),
        (V3, {"white_balance": "daylight"}, {"AwbEnable": True, "AwbMode": 5}),
        (V3, {"white_balance": "4500"}, {"AwbEnable": False, "ColourTemperature": 4500}),
        (V3, {"metering": "centre"}, {"AeMeteringMode": 0}),
        (V3, {"metering": "center"}, {"AeMeteringMode": 0}),
        (V3, {"metering": "centre-weighted"}, {"AeMeteringMode": 0}),
        (V3, {"metering": "SPOT"}, {"AeMeteringMode": 1}),
        (V3, {"metering": "matrix"}, {"AeMeteringMode": 2}),
        (
            V3,
            {"power_line_frequency": "50 Hz"},
            {"AeFlickerMode": 1, "AeFlickerPeriod": 10000},
        ),
        (V3, {"power_line_frequency": "60Hz"}, {"AeFlickerMode": 1, "AeFlickerPeriod": 8333}),
        (V3, {"power_line_frequency": "50"}, {"AeFlickerMode": 1, "AeFlickerPeriod": 10000}),
        (V3, {"power_line_frequency": "off"}, {"AeFlickerMode": 0}),
        (V3, {"hdr": "on"}, {"HdrMode": 3}),
        (V3, {"hdr": "night"}, {"HdrMode": 4}),
        (V3, {"hdr": "off"}, {"HdrMode": 0}),
        (V2, {"hdr": "off"}, {}),
        (V2, {"white_balance": "cloudy"}, {"AwbEnable": True, "AwbMode": 6}),
    ],
)
def test_what_is_asked_becomes_controls(
    offer: Offer, controls: Mapping[str, str], values: dict[str, Any]
) -> None:
    assert libcamera.values_for(offer, CameraSettings(controls=controls)) == (values, [])


class TestExposure:
    def test_is_automatic(self) -> None:
        assert libcamera.values_for(V2, asked(exposure="auto", gain="auto")) == (
            {"AeEnable": True},
            [],
        )
        assert libcamera.values_for(V3, asked(exposure="auto"))[0] == {
            "AeEnable": True,
            "ExposureTimeMode": 0,
        }

    def test_is_fixed_and_the_frames_are_long_enough_for_it(self) -> None:
        values, _ = libcamera.values_for(V3, asked(exposure="5000"))
        assert values == {
            "ExposureTime": 5000,
            "ExposureTimeMode": 1,
            "FrameDurationLimits": (33333, 100000),
        }
        values, _ = libcamera.values_for(V3, asked(exposure="250000"))
        assert values["FrameDurationLimits"] == (33333, 260000)
        values, _ = libcamera.values_for(BARE, asked(exposure="250000"))
        assert values == {}

    def test_of_a_fixed_frame_rate_stays_within_it(self) -> None:
        offer = Offer({**V2_OLD, "FrameDurationLimits": (40000, 90000, None)}, {}, ENUMERATIONS)
        values, _ = libcamera.values_for(offer, asked(exposure="250000"))
        assert values["FrameDurationLimits"] == (40000, 90000)

    @pytest.mark.parametrize("exposure", ["5000", "auto"])
    def test_leaves_the_gain_alone(self, exposure: str) -> None:
        """AeEnable = False would freeze it, and True would undo what is fixed."""
        values, _ = libcamera.values_for(V2, asked(exposure=exposure, gain="4"))
        assert values["AnalogueGain"] == 4.0
        assert "AeEnable" not in values
        values, _ = libcamera.values_for(V2, asked(exposure="5000", gain="auto"))
        assert values["ExposureTime"] == 5000
        assert "AeEnable" not in values

    def test_has_a_mode_of_its_own_in_new_versions(self) -> None:
        values, _ = libcamera.values_for(V3, asked(exposure="5000", gain="auto"))
        assert (values["ExposureTimeMode"], values["AnalogueGainMode"]) == (1, 0)
        values, _ = libcamera.values_for(V3, asked(exposure="auto", gain="2"))
        assert (values["ExposureTimeMode"], values["AnalogueGainMode"]) == (0, 1)


class TestWarning:
    @pytest.mark.parametrize(
        ("offer", "controls", "said"),
        [
            (V3, {"focus": "0.01"}, "auto, infinity, 0.06667 to 1000 (metres)"),
            (V3, {"focus": "0"}, "auto, infinity, 0.06667 to 1000 (metres)"),
            (V3, {"focus": "near"}, "auto, infinity, 0.06667 to 1000 (metres)"),
            (V3, {"exposure": "5"}, "auto, 13 to 1000000 (microseconds)"),
            (V3, {"exposure": "2000000"}, "auto, 13 to 1000000 (microseconds)"),
            (V3, {"gain": "1"}, "auto, 1.123 to 16"),
            (V2, {"gain": "16"}, "auto, 1 to 10.67"),
            (V3, {"brightness": "128"}, "-1 to 1"),
            (V3, {"brightness": "auto"}, "-1 to 1"),
            (V3, {"metering": "average"}, "centre, spot, matrix"),
            (V3, {"power_line_frequency": "auto"}, "off, 50 Hz, 60 Hz"),
            (V3, {"hdr": "yes"}, "off, on, single-exposure, multi-exposure, night"),
            (
                V2,  # libcamera cannot set it in this version.
                {"white_balance": "4500"},
                "auto, incandescent, tungsten, fluorescent, indoor, daylight, cloudy",
            ),
        ],
    )
    def test_for_a_value_names_those_there_are(
        self, offer: Offer, controls: Mapping[str, str], said: str
    ) -> None:
        [(name, text)] = controls.items()
        values, warnings = libcamera.values_for(offer, CameraSettings(controls=controls))
        assert values == {}
        assert warnings == [f"{name} = {text} is left out: this camera takes {said}"]

    def test_for_a_control_names_those_there_are_with_their_ranges(self) -> None:
        values, [warning] = libcamera.values_for(V2, asked(focus="auto", contrast="1.5"))
        assert values == {"Contrast": 1.5}
        assert warning.startswith("focus = auto is left out: this camera has no focus; it has ")
        assert "exposure (auto, 75 to 1000000 (microseconds)); gain (auto, 1 to 10.67);" in warning
        assert libcamera.values_for(BARE, asked(gain="2"))[1] == [
            "gain = 2 is left out: this camera has no gain; it has no settings"
        ]

    def test_for_hdr_says_how_a_sensor_does_it_itself(self) -> None:
        _, [warning] = libcamera.values_for(V3_ON_PI_4, asked(hdr="on"))
        assert "wide_dynamic_range=1" in warning
        _, [warning] = libcamera.values_for(V2, asked(hdr="on"))
        assert "wide_dynamic_range" not in warning

    def test_for_zoom(self) -> None:
        settings = CameraSettings(zoom=(0.25, 0.25, 0.5, 0.5))
        assert libcamera.values_for(BARE, settings) == (
            {},
            ["zoom is left out: this camera cannot show a part of its picture"],
        )

    def test_for_what_an_old_library_has_no_names_for(self) -> None:
        old = Offer(V3_NEW, V3_PROPERTIES, {})
        names = ("focus", "metering", "power_line_frequency", "hdr")
        values, warnings = libcamera.values_for(old, asked(**dict.fromkeys(names, "off")))
        assert values == {}
        assert len(warnings) == 3  # HDR is off.
        assert libcamera.values_for(old, asked(white_balance="4500"))[1] == []

    @given(
        offer=st.sampled_from(OFFERS),
        name=st.sampled_from([*(each.name for each in libcamera.listed(V3)), "colour"]),
        text=GIVEN,
    )
    def test_or_a_value_within_the_range_is_all_that_comes_of_any_text(
        self, offer: Offer, name: str, text: str
    ) -> None:
        values, warnings = libcamera.values_for(offer, CameraSettings(controls={name: text}))
        assert len(warnings) == (0 if values or (name, text.lower()) == ("hdr", "off") else 1)
        for control, value in values.items():
            if control != "FrameDurationLimits":
                least, most, _ = offer.controls[control]
                assert least <= value <= most
                assert isinstance(value, type(least))


class TestZoom:
    @pytest.mark.parametrize(
        ("offer", "size", "zoom", "crop"),
        [
            (V2, (640, 480), (0.25, 0.25, 0.5, 0.5), (820, 617, 1636, 1227)),
            (V3, (1920, 1080), (0.25, 0.25, 0.5, 0.5), (1152, 648, 2304, 1296)),
            # A picture of another shape than the sensor's: fractions are those of the picture.
            (V3, (640, 480), (0, 0, 0.5, 0.5), (576, 0, 1728, 1296)),
            (V3, (640, 480), (0.5, 0.5, 0.5, 0.5), (2304, 1296, 1728, 1296)),
            # A part of another shape than the picture: more is shown, and nothing is distorted.
            (V3, (1920, 1080), (0.25, 0.4, 0.5, 0.2), (1152, 648, 2304, 1296)),
            (V3, (1920, 1080), (0, 0, 0.2, 0.5), (0, 0, 2304, 1296)),
            (V3, (1920, 1080), (0.8, 0.5, 0.2, 0.5), (2304, 1296, 2304, 1296)),
        ],
    )
    def test_is_in_pixels_of_the_sensor(
        self,
        offer: Offer,
        size: tuple[int, int],
        zoom: tuple[float, float, float, float],
        crop: tuple[int, int, int, int],
    ) -> None:
        values, warnings = libcamera.values_for(offer, CameraSettings(*size, zoom=zoom))
        assert warnings == []
        for found, wanted in zip(values["ScalerCrop"], crop):
            assert abs(found - wanted) <= 4

    def test_starts_where_the_sensor_is_read(self) -> None:
        """A mode that reads only the middle of the sensor."""
        properties = {**V2_PROPERTIES, "ScalerCropMaximum": (1000, 752, 1280, 960)}
        offer = Offer(V2_OLD, properties, ENUMERATIONS)
        values, _ = libcamera.values_for(offer, CameraSettings(zoom=(0, 0, 0.5, 0.5)))
        assert values == {"ScalerCrop": (1000, 752, 640, 480)}

    def test_is_also_that_of_each_picture_on_a_raspberry_pi_5(self) -> None:
        settings = CameraSettings(1920, 1080, zoom=(0, 0, 0.5, 0.5))
        values, _ = libcamera.values_for(V3, settings)
        assert values == {"ScalerCrop": (0, 0, 2304, 1296), "ScalerCrops": [(0, 0, 2304, 1296)]}
        values, _ = libcamera.values_for(V3_ON_PI_4, settings)
        assert values == {"ScalerCrop": (0, 0, 2304, 1296)}

    @given(
        left=st.floats(0, 0.9),
        top=st.floats(0, 0.9),
        part=st.floats(0.05, 1),
        shape=st.floats(0, 1),
    )
    def test_stays_on_the_sensor_and_in_shape(
        self, left: float, top: float, part: float, shape: float
    ) -> None:
        width, height = min(part, 1 - left), min(part * shape, 1 - top)
        settings = CameraSettings(800, 600, zoom=(left, top, width, height))
        values, _ = libcamera.values_for(V3, settings)
        x, y, wide, high = values.get("ScalerCrop", (576, 0, 3456, 2592))
        assert x >= 576
        assert y >= 0
        assert x + wide <= 576 + 3456 + 1
        assert y + high <= 2592 + 1
        assert abs(wide * 3 - high * 4) <= 4


def test_lists_what_a_camera_offers() -> None:
    assert libcamera.listed(BARE) == []
    assert libcamera.listed(V3) == [
        Control("focus", "auto, infinity, 0.06667 to 1000 (metres)", "auto"),
        Control("exposure", "auto, 13 to 1000000 (microseconds)", "auto"),
        Control("gain", "auto, 1.123 to 16", "auto"),
        Control("brightness", "-1 to 1", "0"),
        Control("contrast", "0 to 32", "1"),
        Control("saturation", "0 to 32", "1"),
        Control("sharpness", "0 to 16", "1"),
        Control(
            "white_balance",
            "auto, incandescent, tungsten, fluorescent, indoor, daylight, cloudy,"
            " 100 to 100000 (kelvins)",
            "auto",
        ),
        Control("metering", "centre, spot, matrix", "centre"),
        Control("power_line_frequency", "off, 50 Hz, 60 Hz", "off"),
        Control("hdr", "off, on, single-exposure, multi-exposure, night", "off"),
    ]
    names = [each.name for each in libcamera.listed(V2)]
    assert {"focus", "power_line_frequency", "hdr"}.isdisjoint(names)


class AfModeEnum(IntEnum):
    Manual = 0
    Continuous = 2


def test_reads_the_enumerations_that_the_library_has(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("libcamera")
    monkeypatch.setitem(sys.modules, "libcamera", module)
    assert not any(libcamera.enumerations().values())
    vars(module)["controls"] = types.SimpleNamespace(AfModeEnum=AfModeEnum)
    found = libcamera.enumerations()
    assert found["AfMode"] is AfModeEnum
    assert found["HdrMode"] is None


class FakeCamera:
    """A picamera2 that may refuse a control, when it is set or when it is to start."""

    camera_controls = V2_OLD
    camera_properties = V2_PROPERTIES

    def __init__(self, refuses: str = "", fails_with: str = "") -> None:
        self.refuses = refuses
        self.fails_with = fails_with
        self.values: dict[str, Any] = {}
        self.calls: list[str] = []
        self.camera = types.SimpleNamespace(stop=lambda: self.calls.append("disconnect"))

    def configure(self) -> None:
        self.calls.append("configure")
        self.values = {}

    def set_controls(self, values: dict[str, Any]) -> None:
        if self.refuses in values:
            raise RuntimeError(f"Control {self.refuses} is not advertised by libcamera")
        self.values.update(values)

    def record(self) -> None:
        self.calls.append("record")
        if self.fails_with in self.values or self.fails_with == "everything":
            raise RuntimeError("Unable to cast")

    def stop_recording(self) -> None:
        self.calls.append("stop_recording")

    def start(self, settings: CameraSettings) -> None:
        libcamera.start("Pi", self, settings, self.configure, self.record)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library have its enumerations."""
    monkeypatch.setattr(libcamera, "enumerations", lambda: ENUMERATIONS)


@pytest.mark.usefixtures("names")
class TestStart:
    def test_sets_what_is_asked(self, caplog: pytest.LogCaptureFixture) -> None:
        camera = FakeCamera()
        camera.start(asked(contrast="2", gain="3", focus="1"))
        assert camera.calls == ["configure", "record"]
        assert camera.values == {"Contrast": 2.0, "AnalogueGain": 3.0}
        [said] = caplog.messages
        assert said.startswith("Pi: focus = 1 is left out: this camera has no focus; it has ")

    def test_asks_the_camera_nothing_if_nothing_is_asked_of_it(self) -> None:
        camera = FakeCamera()
        vars(camera)["camera_controls"] = None
        camera.start(CameraSettings())
        assert camera.calls == ["configure", "record"]

    def test_leaves_out_a_control_that_the_library_refuses(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        camera = FakeCamera(refuses="Contrast")
        camera.start(asked(contrast="2", gain="3"))
        assert camera.values == {"AnalogueGain": 3.0}
        [said] = caplog.messages
        assert said.startswith("Pi: Contrast cannot be set: RuntimeError: Control Contrast is not")

    def test_starts_without_settings_if_it_fails_with_them(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        camera = FakeCamera(fails_with="Contrast")
        camera.start(asked(contrast="2", gain="3"))
        assert camera.calls == [
            *("configure", "record"),
            *("disconnect", "stop_recording", "configure", "record"),
        ]
        assert camera.values == {}
        [said] = caplog.messages
        assert said.startswith("Pi does not start with its settings, and runs without: ")

    def test_starts_whatever_the_library_is_like(self, caplog: pytest.LogCaptureFixture) -> None:
        camera = FakeCamera()
        vars(camera)["camera_controls"] = None
        camera.start(asked(contrast="2"))
        assert camera.calls == ["configure", "record"]
        [said] = caplog.messages
        assert said.startswith("Pi: its settings are left out: AttributeError: ")

    @pytest.mark.parametrize("settings", [asked(gain="3"), asked(focus="1"), CameraSettings()])
    def test_fails_if_the_camera_fails_without_them(self, settings: CameraSettings) -> None:
        with pytest.raises(RuntimeError, match="Unable to cast"):
            FakeCamera(fails_with="everything").start(settings)

    def test_warns_once_a_minute(self, caplog: pytest.LogCaptureFixture) -> None:
        for focus in ("1", "1", "2", "1"):
            FakeCamera().start(asked(focus=focus))
        assert [said[:14] for said in caplog.messages] == ["Pi: focus = 1 ", "Pi: focus = 2 "]
