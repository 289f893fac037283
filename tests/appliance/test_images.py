"""Disk images with the package installed, booted with a root that keeps no changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.appliance.service import UNIT, wait_for_picture

if TYPE_CHECKING:
    from tests.appliance.container import Container


def test_it_runs_on_a_root_that_is_read_only_or_an_overlay_from_the_first_boot(
    spare_machine: Container,
) -> None:
    folder = spare_machine.prepare("stat", "--format=%U %a", "/var/lib/doorbelld")
    assert "doorbelld 755" in folder, "the installation makes it, even if systemd is not running"
    for option in ("--read-only", "--volatile=overlay"):
        spare_machine.boot(option)
        wait_for_picture(spare_machine)
        assert spare_machine.show(UNIT, "ActiveState") == "active"
        assert spare_machine.show(UNIT, "NRestarts") == "0"
        spare_machine.shut_down()
