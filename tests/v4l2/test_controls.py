"""What a webcam is set to at every open, and what it says it has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import ROOT
from tests.support.v4l2 import DEVICE, V4l2Device, Watcher

if TYPE_CHECKING:
    from pathlib import Path

INTEGER, BOOLEAN, MENU, INTEGER_MENU = 1, 2, 3, 9
DISABLED, READ_ONLY = 1, 4
FAILS, NOT_YET = 0x10000, 0x20000

CONTROLS = f"""
0x980900 {INTEGER} -64 64 1 0 0 0 0 0 Brightness
0x980901 {INTEGER} 0 95 5 0 0 30 0 0 Contrast
0x980902 {INTEGER} 0 100 1 64 {FAILS:#x} 64 0 0 Saturation
0x98090c {BOOLEAN} 0 1 1 1 0 1 0 0 White Balance, Automatic
0x980912 {BOOLEAN} 0 1 1 1 0 1 0 0 Gain, Automatic
0x980913 {INTEGER} 0 100 1 0 {NOT_YET:#x} 10 0 0 Gain
0x980918 {MENU} 0 3 1 1 0 1 0 0 Power Line Frequency
menu 0x980918 0 Disabled
menu 0x980918 1 50 Hz
menu 0x980918 2 60 Hz
menu 0x980918 3 Auto
0x98091a {INTEGER} 2800 6500 1 4600 0 4600 98090c 0 White Balance Temperature
0x98091b {INTEGER} 0 6 1 3 {READ_ONLY} 3 0 0 Sharpness
0x9a0901 {MENU} 0 3 1 3 0 3 0 0 Auto Exposure
menu 0x9a0901 1 Manual Mode
menu 0x9a0901 3 Aperture Priority Mode
0x9a0902 {INTEGER} 3 2047 1 250 0 250 9a0901 1 Exposure Time, Absolute
0x9a090a {INTEGER} 0 250 5 0 0 0 9a090c 0 Focus, Absolute
0x9a090c {BOOLEAN} 0 1 1 1 0 1 0 0 Focus, Automatic Continuous
0x9a0919 {MENU} 0 3 1 0 0 0 0 0 Exposure, Metering Mode
menu 0x9a0919 0 Average
menu 0x9a0919 1 Center Weighted
menu 0x9a0919 2 Spot
menu 0x9a0919 3 Matrix
"""
"""As a Logitech C920 has them, and some that others have."""

LISTED = {
    "exposure": ("auto, 3 to 2047", "auto"),
    "gain": ("auto, 0 to 100", "auto"),
    "focus": ("auto, 0 to 250 in steps of 5", "auto"),
    "brightness": ("-64 to 64", "0"),
    "contrast": ("0 to 95 in steps of 5", "30"),
    "saturation": ("0 to 100", "64"),
    "sharpness": ("0 to 6", "3"),
    "white_balance": ("auto, 2800 to 6500", "auto"),
    "metering": ("Average, Center Weighted, Spot, Matrix", "Average"),
    "power_line_frequency": ("off, 50 Hz, 60 Hz, auto", "50 Hz"),
}

NAME = "Preloaded Camera (/dev/video9)"


class Webcam:
    """A webcam that has controls."""

    def __init__(self, device: V4l2Device, folder: Path, controls: str) -> None:
        self._device = device
        path = folder / "controls"
        path.write_text(controls)
        self.environ = {**device.environ, "FAKE_V4L2_CONTROLS": str(path)}

    def open(self, **asked: str) -> tuple[list[str], list[str]]:
        """Open it and see a picture; return what was set, and the warnings."""
        with Watcher(f"v4l2:{DEVICE}", self.environ, controls=json.dumps(asked)) as watcher:
            watcher.next("data")
        warnings = watcher.errors.splitlines()
        assert all(line.startswith(f"WARNING: {NAME}: ") for line in warnings)
        return self._device.log, [line.partition(f"{NAME}: ")[2] for line in warnings]


@pytest.fixture
def webcam(device: V4l2Device, tmp_path: Path) -> Webcam:
    return Webcam(device, tmp_path, CONTROLS)


@pytest.mark.parametrize(
    ("asked", "done"),
    [
        ({"brightness": "-12"}, ["Brightness -12"]),
        ({"brightness": "5.0"}, ["Brightness 5"]),
        ({"focus": "30"}, ["Focus, Automatic Continuous 0", "Focus, Absolute 30"]),
        ({"focus": "auto"}, ["Focus, Automatic Continuous 1"]),
        ({"exposure": "100"}, ["Auto Exposure 1", "Exposure Time, Absolute 100"]),
        ({"exposure": "auto"}, ["Auto Exposure 3"]),
        (
            {"white_balance": "4000"},
            ["White Balance, Automatic 0", "White Balance Temperature 4000"],
        ),
        ({"white_balance": "Auto"}, ["White Balance, Automatic 1"]),
        ({"power_line_frequency": "50"}, ["Power Line Frequency 1"]),
        ({"power_line_frequency": "60Hz"}, ["Power Line Frequency 2"]),
        ({"power_line_frequency": "60 hz"}, ["Power Line Frequency 2"]),
        ({"power_line_frequency": "off"}, ["Power Line Frequency 0"]),
        ({"power_line_frequency": "disabled"}, ["Power Line Frequency 0"]),
        ({"power_line_frequency": "auto"}, ["Power Line Frequency 3"]),
        ({"metering": "centre"}, ["Exposure, Metering Mode 1"]),
        ({"metering": "matrix"}, ["Exposure, Metering Mode 3"]),
        (
            {"contrast": "10", "exposure": "auto"},  # exposure first: it may hold others
            ["Auto Exposure 3", "Contrast 10"],
        ),
    ],
)
def test_controls_are_set_before_the_stream_starts(
    webcam: Webcam, asked: dict[str, str], done: list[str]
) -> None:
    log, warnings = webcam.open(**asked)
    assert log == ["S_FMT MJPG 640x480", *(f"S_CTRL {each}" for each in done), "STREAMON"]
    assert warnings == []


def test_a_driver_that_sets_nothing_before_it_streams_is_asked_again(webcam: Webcam) -> None:
    log, warnings = webcam.open(gain="7", brightness="1")
    assert log[-2:] == ["S_CTRL Gain, Automatic 0", "S_CTRL Gain 7"]
    assert log.count("S_CTRL Brightness 1") == 1
    assert warnings == []


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (
            {"focus": "300"},
            (
                "focus = 300 cannot be set: there is no such value;"
                " the camera has auto, 0 to 250 in steps of 5"
            ),
        ),
        (
            {"brightness": "auto"},
            "brightness = auto cannot be set: there is no such value; the camera has -64 to 64",
        ),
        (
            {"brightness": "1.5"},
            "brightness = 1.5 cannot be set: there is no such value; the camera has -64 to 64",
        ),
        (
            {"power_line_frequency": "5"},
            (
                "power_line_frequency = 5 cannot be set: there is no such value;"
                " the camera has off, 50 Hz, 60 Hz, auto"
            ),
        ),
        (
            {"saturation": "5"},
            "saturation = 5 cannot be set: Input/output error; the camera has 0 to 100",
        ),
        (
            {"sharpness": "5"},
            "sharpness = 5 cannot be set: it can only be read; the camera has 0 to 6",
        ),
        (
            {"hdr": "on"},
            (
                "hdr = on cannot be set: the camera has no such control; it has exposure, gain,"
                " focus, brightness, contrast, saturation, sharpness, white_balance, metering,"
                " power_line_frequency"
            ),
        ),
    ],
)
def test_what_cannot_be_set_is_one_warning_and_a_picture(
    webcam: Webcam, asked: dict[str, str], why: str
) -> None:
    assert webcam.open(**asked)[1] == [why]


def test_a_control_without_effect_is_a_warning(device: V4l2Device, tmp_path: Path) -> None:
    ruled = CONTROLS.replace("9a090c 0 Focus, Absolute", "9a090c 7 Focus, Absolute")
    _, warnings = Webcam(device, tmp_path, ruled).open(focus="5")
    assert warnings == [
        (
            "focus = 5 cannot be set: it has no effect at the moment;"
            " the camera has auto, 0 to 250 in steps of 5"
        )
    ]


def test_a_camera_without_controls_is_a_warning(device: V4l2Device, tmp_path: Path) -> None:
    _, warnings = Webcam(device, tmp_path, "").open(gain="5")
    assert warnings == [
        "gain = 5 cannot be set: the camera has no such control; it has no controls"
    ]


OTHERS = f"""
0x980911 {INTEGER} 0 9 1 1 0 1 0 0 Exposure
0x980912 {BOOLEAN} 0 1 1 1 {DISABLED} 1 0 0 Gain, Automatic
0x980913 {INTEGER_MENU} 0 2 1 1 0 1 0 0 Gain
menu 0x980913 0 \1
menu 0x980913 1 \2
menu 0x980913 2 \4
0x98091b {BOOLEAN} 0 1 1 0 0 0 0 0 Sharpness
0x9a0901 {MENU} 0 3 1 0 0 2 0 0 Auto Exposure
menu 0x9a0901 0 Auto Mode
menu 0x9a0901 2 Shutter Priority Mode
menu 0x9a0901 3 Aperture Priority Mode
0x9a090c {BOOLEAN} 0 1 1 1 0 0 0 0 Focus, Automatic Continuous
0x9a0914 {MENU} 0 2 1 1 0 1 0 0 White Balance, Auto & Preset
menu 0x9a0914 0 Manual
menu 0x9a0914 1 Auto
menu 0x9a0914 2 Daylight
0x9a0915 {BOOLEAN} 0 1 1 1 0 1 0 0 Wide Dynamic Range
"""


@pytest.mark.parametrize(
    ("asked", "done"),
    [
        ({"exposure": "auto"}, ["Auto Exposure 0"]),
        ({"exposure": "4"}, ["Auto Exposure 2", "Exposure 4"]),
        ({"gain": "4"}, ["Gain 2"]),
        ({"focus": "off"}, ["Focus, Automatic Continuous 0"]),
        ({"focus": "auto"}, ["Focus, Automatic Continuous 1"]),
        ({"white_balance": "daylight"}, ["White Balance, Auto & Preset 2"]),
        ({"white_balance": "auto"}, ["White Balance, Auto & Preset 1"]),
        ({"hdr": "off"}, ["Wide Dynamic Range 0"]),
        ({"hdr": "yes"}, ["Wide Dynamic Range 1"]),
        ({"sharpness": "1"}, ["Sharpness 1"]),
    ],
)
def test_controls_of_other_kinds_are_set_too(
    device: V4l2Device, tmp_path: Path, asked: dict[str, str], done: list[str]
) -> None:
    log, warnings = Webcam(device, tmp_path, OTHERS).open(**asked)
    assert log[1:-1] == [f"S_CTRL {each}" for each in done]
    assert warnings == []


LIST = f"""
import json, sys
from doorbelld.commands import cameras
from doorbelld.camera import picamera, picamera2
from doorbelld.v4l2 import devices
picamera.connected = picamera2.connected = dict
devices.find = lambda: [devices.query({DEVICE!r})]
cameras.run(type("options", (), {{"json": "--json" in sys.argv}}), None)
"""


def listed(webcam: Webcam, *options: str) -> str:
    """Return what the command lists."""
    command = [sys.executable, "-c", LIST, *options]
    environ = {**os.environ, **webcam.environ}
    return subprocess.check_output(command, cwd=ROOT, env=environ, text=True)


def test_the_command_lists_what_a_webcam_offers(webcam: Webcam) -> None:
    rows = json.loads(listed(webcam, "--json"))["cameras"]
    assert rows[0]["controls"] == [
        {"name": name, "values": values, "value": value} for name, (values, value) in LISTED.items()
    ]
    text = listed(webcam)
    for name, (values, value) in LISTED.items():
        assert f"    {name}: {values} (now {value})\n" in text + "\n"


def test_the_command_lists_controls_of_other_kinds(device: V4l2Device, tmp_path: Path) -> None:
    text = listed(Webcam(device, tmp_path, OTHERS))
    assert text.splitlines()[2:] == [
        "    exposure: auto, 0 to 9 (now 1)",
        "    gain: 1, 2, 4 (now 2)",
        "    focus: auto, off (now off)",
        "    sharpness: off, on (now off)",
        "    white_balance: Manual, auto, Daylight (now auto)",
        "    hdr: off, on (now on)",
    ]


def test_the_command_lists_no_controls_where_there_are_none(
    device: V4l2Device, tmp_path: Path
) -> None:
    rows = json.loads(listed(Webcam(device, tmp_path, ""), "--json"))["cameras"]
    assert "controls" not in rows[0]
