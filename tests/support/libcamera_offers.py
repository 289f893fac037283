"""What real cameras offer, as picamera2's ``camera_controls`` and ``camera_properties`` show it.

The shapes are those that libcamera 0.4 gave in Debian 13 with its virtual camera; the values are
those in the sources of the Raspberry Pi's algorithms, for a camera that is configured.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

_NAMES = {
    "AfMode": {"Manual": 0, "Auto": 1, "Continuous": 2},
    "AwbMode": {
        "Auto": 0,
        "Incandescent": 1,
        "Tungsten": 2,
        "Fluorescent": 3,
        "Indoor": 4,
        "Daylight": 5,
        "Cloudy": 6,
        "Custom": 7,
    },
    "AeMeteringMode": {"CentreWeighted": 0, "Spot": 1, "Matrix": 2, "Custom": 3},
    "AeFlickerMode": {"Off": 0, "Manual": 1, "Auto": 2},
    "HdrMode": {
        "Off": 0,
        "MultiExposureUnmerged": 1,
        "MultiExposure": 2,
        "SingleExposure": 3,
        "Night": 4,
    },
}

ENUMERATIONS: dict[str, Any] = {
    control: IntEnum(f"{control}Enum", names) for control, names in _NAMES.items()
}

VIRTUAL: dict[str, Any] = {
    "FrameDurationLimits": (33333, 33333, None),
    "FaceDetectMode": (0, 0, 0),
}
"""libcamera 0.4's virtual camera."""

V2_OLD: dict[str, Any] = {
    "AeEnable": (False, True, None),
    "ExposureTime": (75, 11766829, None),
    "AnalogueGain": (1.0, 10.666666984558105, None),
    "AeMeteringMode": (0, 3, 0),
    "AeConstraintMode": (0, 3, 0),
    "AeExposureMode": (0, 3, 0),
    "ExposureValue": (-8.0, 8.0, 0.0),
    "AwbEnable": (False, True, None),
    "AwbMode": (0, 7, 0),
    "ColourGains": (0.0, 32.0, None),
    "Brightness": (-1.0, 1.0, 0.0),
    "Contrast": (0.0, 32.0, 1.0),
    "Saturation": (0.0, 32.0, 1.0),
    "Sharpness": (0.0, 16.0, 1.0),
    "ColourCorrectionMatrix": (-16.0, 16.0, None),
    "ScalerCrop": ((0, 0, 64, 64), (0, 0, 3280, 2464), None),
    "FrameDurationLimits": (16971, 11767556, None),
    "NoiseReductionMode": (0, 4, 0),
}
"""Camera module 2 (fixed focus) with libcamera 0.0.5, on a Raspberry Pi 4 or older."""

V2_PROPERTIES: dict[str, Any] = {
    "Model": "imx219",
    "PixelArraySize": (3280, 2464),
    "ScalerCropMaximum": (0, 0, 3280, 2464),
}

V3_NEW: dict[str, Any] = {
    **V2_OLD,
    "AeEnable": (False, True, True),
    "ExposureTimeMode": (0, 1, 0),
    "ExposureTime": (13, 112015443, 20000),
    "AnalogueGainMode": (0, 1, 0),
    "AnalogueGain": (1.1228070259094238, 16.0, 1.0),
    "AeFlickerMode": (0, 1, 0),
    "AeFlickerPeriod": (100, 1000000, None),
    "HdrMode": (0, 4, 0),
    "ColourTemperature": (100, 100000, None),
    "ScalerCrop": ((0, 0, 128, 128), (0, 0, 4608, 2592), (576, 0, 3456, 2592)),
    "ScalerCrops": ((0, 0, 128, 128), (0, 0, 4608, 2592), (576, 0, 3456, 2592)),
    "FrameDurationLimits": (17849, 220417486, (33333, 33333)),
    "AfMode": (0, 2, 0),
    "AfRange": (0, 2, 0),
    "AfSpeed": (0, 1, 0),
    "LensPosition": (0.0, 15.0, 1.0),
}
"""Camera module 3 with libcamera 0.5 on a Raspberry Pi 5."""

V3_PROPERTIES: dict[str, Any] = {
    "Model": "imx708",
    "PixelArraySize": (4608, 2592),
    "ScalerCropMaximum": (0, 0, 4608, 2592),
}
