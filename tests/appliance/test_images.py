"""Images that the package was installed into, and whose root is never written to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.appliance.test_service import UNIT, wait_for_picture

if TYPE_CHECKING:
    from tests.appliance.container import Container


def test_root_that_is_read_only_or_an_overlay_from_the_first_boot_on(
    spare_machine: Container,
) -> None:
    made = spare_machine.prepare("stat", "--format=%U %a", "/var/lib/doorbelld")
    assert "doorbelld 755" in made, "made by the installation, where no systemd runs"
    for option in ("--read-only", "--volatile=overlay"):
        spare_machine.boot(option)
        wait_for_picture(spare_machine)
        assert spare_machine.show(UNIT, "ActiveState") == "active"
        assert spare_machine.show(UNIT, "NRestarts") == "0"
        spare_machine.shut_down()
