"""With the socket unit: port 80, and restarts that refuse no connection."""

from __future__ import annotations

import re
import urllib.request
from typing import TYPE_CHECKING

from tests.appliance.service import Client, wait_for_picture
from tests.support.daemon import ROOT

if TYPE_CHECKING:
    from tests.appliance.container import Container

RESTARTS = 50
COMMANDS = [
    "systemctl stop doorbelld",
    "systemctl enable --now doorbelld.socket",
    "systemctl start doorbelld",
]


def test_no_connection_is_refused_while_it_restarts(spare_machine: Container) -> None:
    spare_machine.boot()
    wait_for_picture(spare_machine)
    for command in COMMANDS:
        spare_machine.run(*command.split())
    clients = [Client(spare_machine.url("/", port)) for port in (80, 5000)]
    for client in clients:
        client.start()
    for _ in range(RESTARTS):
        spare_machine.run("systemctl", "restart", "doorbelld")
    for client in clients:
        client.done.set()
        client.join()
        assert client.errors == []
        assert client.answers > RESTARTS
    assert spare_machine.show("doorbelld.service", "ActiveState") == "active"
    spare_machine.reboot()
    wait_for_picture(spare_machine)
    with urllib.request.urlopen(spare_machine.url("/", 80), timeout=30) as answer:
        assert answer.status == 200


def test_the_unit_explains_how_to_enable_it() -> None:
    unit = (ROOT / "systemd" / "doorbelld.socket").read_text()
    assert re.findall(r"^#     sudo (.*)$", unit, re.MULTILINE) == COMMANDS
