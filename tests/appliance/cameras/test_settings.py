"""The camera's own settings, on real V4L2 drivers: brightness, exposure, mains frequency ..."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from tests.appliance.cameras.watching import configure, parts, uses_opencv, wait_for
from tests.appliance.cameras.webcam import UsbWebcam
from tests.appliance.machine import VirtualMachine
from tests.support.daemon import eventually

TIMEOUT = 60.0


def value(vm: VirtualMachine, control: str) -> str:
    """Return what the driver says of one of its controls."""
    found = vm.run(f"v4l2-ctl --device=/dev/video0 --get-ctrl={control}")
    return re.sub(r" .*", "", found.partition(": ")[2].strip())


def wait_for_values(vm: VirtualMachine, **expected: int) -> None:
    def poll() -> bool:
        return {name: value(vm, name) for name in expected} == {
            name: str(number) for name, number in expected.items()
        }

    eventually(poll, f"{expected}", TIMEOUT)


def wait_for_log(vm: VirtualMachine, pattern: str) -> None:
    def poll() -> bool:
        return bool(re.search(pattern, vm.run("journalctl --no-pager --unit=doorbelld --lines=30")))

    eventually(poll, pattern, TIMEOUT)


def test_settings_reach_the_driver_at_every_opening(
    vm: VirtualMachine, usb_webcam: UsbWebcam
) -> None:
    configure(vm, brightness=-20, contrast=50, gain=33, power_line_frequency="60 Hz")
    vm.run("systemctl start doorbelld")
    for _ in range(2):  # A webcam that is plugged in again has forgotten everything.
        usb_webcam.plug_in()
        wait_for(vm, "streaming")
        wait_for_values(vm, brightness=-20, contrast=50, gain=33, power_line_frequency=2)
        usb_webcam.unplug()
        wait_for(vm, "offline")


def test_settings_that_turn_an_automatic_off_first(
    vm: VirtualMachine, usb_webcam: UsbWebcam
) -> None:
    configure(vm, exposure=300, focus=35, white_balance=5000)
    usb_webcam.plug_in()
    vm.run("systemctl start doorbelld")
    wait_for(vm, "streaming")
    wait_for_values(vm, auto_exposure=1, exposure_time_absolute=300)
    wait_for_values(vm, focus_automatic_continuous=0, focus_absolute=35)
    wait_for_values(vm, white_balance_automatic=0, white_balance_temperature=5000)
    configure(vm, exposure="auto", focus="auto", white_balance="auto")
    wait_for_values(vm, auto_exposure=3)
    wait_for_values(vm, focus_automatic_continuous=1, white_balance_automatic=1)
    wait_for(vm, "streaming")


def test_reload_with_another_value_sets_it(vm: VirtualMachine, usb_webcam: UsbWebcam) -> None:
    usb_webcam.plug_in()
    vm.run("systemctl start doorbelld")
    wait_for(vm, "streaming")
    for number in (7, 9):
        configure(vm, brightness=number)
        wait_for_values(vm, brightness=number)
        wait_for(vm, "streaming")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"brightness": 900}, r"brightness.*-64.*64"),
        ({"brightness": "much"}, r"brightness.*-64.*64"),
        ({"metering": "spot"}, r"metering.*brightness"),
        ({"power_line_frequency": "55 Hz"}, r"power_line_frequency.*50 Hz.*60 Hz"),
    ],
)
def test_value_that_it_does_not_have_gives_a_warning_and_pictures(
    vm: VirtualMachine, usb_webcam: UsbWebcam, setting: dict[str, object], said: str
) -> None:
    configure(vm, **setting, contrast=44)
    usb_webcam.plug_in()
    vm.run("systemctl start doorbelld")
    wait_for(vm, "streaming")
    parts(vm, 3)
    wait_for_log(vm, said)
    wait_for_values(vm, brightness=0, contrast=44)


def test_what_is_not_set_is_left_alone(vm: VirtualMachine, usb_webcam: UsbWebcam) -> None:
    usb_webcam.plug_in()
    vm.run("v4l2-ctl --device=/dev/video0 --set-ctrl=brightness=11,power_line_frequency=0")
    configure(vm, contrast=44)
    vm.run("systemctl start doorbelld")
    wait_for(vm, "streaming")
    wait_for_values(vm, brightness=11, contrast=44, power_line_frequency=0)


def test_command_lists_them_with_range_and_value(vm: VirtualMachine, usb_webcam: UsbWebcam) -> None:
    usb_webcam.plug_in()
    vm.run("v4l2-ctl --device=/dev/video0 --set-ctrl=brightness=-11")
    text = vm.run("doorbelld cameras")
    assert re.search(r"brightness.*-64.*64.*-11", text)
    assert re.search(r"focus.*auto.*0.*250", text)
    assert re.search(r"power_line_frequency.*50 Hz.*60 Hz", text)
    assert "brightness" in json.dumps(json.loads(vm.run("doorbelld cameras --json")))


def test_settings_of_a_camera_with_raw_pictures(
    vm: VirtualMachine, vivid: Callable[..., None]
) -> None:
    configure(vm, brightness=200)
    vivid()
    wait_for(vm, "streaming", "vivid")
    wait_for_values(vm, brightness=200)
    assert uses_opencv(vm)
    parts(vm, 3)
