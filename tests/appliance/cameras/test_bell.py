"""A button on the kernel of the newest Debian; tests/appliance/test_bell.py has the older ones."""

from __future__ import annotations

from tests.appliance import bell
from tests.appliance.machine import VirtualMachine

RULES = "/etc/udev/rules.d/99-doorbelld.rules"
OTHER_DRIVER = f"sed 's/gpio-keys|/atkbd|/' /lib/udev/rules.d/99-doorbelld.rules > {RULES}"
"""No machine here has the driver gpio-keys, but this one has a keyboard with another."""

APPLY = "udevadm control --reload; udevadm trigger --subsystem-match=input --action={} --settle"
OWNERS = "stat --format='%G %a' $(grep -l 'AT.*keyboard' /sys/class/input/event*/device/name"
OWNERS += " | sed 's|/sys/class|/dev|; s|/device/name||')"


def test_button_rings_and_a_keyboard_cannot_be_read(vm: VirtualMachine) -> None:
    bell.check_that_a_button_rings_and_a_keyboard_cannot_be_read(vm)
    vm.run("systemctl stop doorbelld")


def test_devices_belong_to_the_service_by_their_driver(vm: VirtualMachine) -> None:
    # As the package does when it is installed, and when it is removed.
    given, taken = APPLY.format("change"), APPLY.format("add")
    owners = vm.run(f"{OTHER_DRIVER}; {given}; {OWNERS}; rm {RULES}; {taken}; {OWNERS}")
    assert owners == "doorbelld 640\ninput 660\n"
