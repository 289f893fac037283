from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from doorbelld.net import interfaces
from tests.support.daemon import ROOT


@pytest.mark.process
def test_finds_what_ip_finds() -> None:
    command = ["ip", "-json", "address"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    expected = {
        f"{address['local']}/{address['prefixlen']}"
        for interface in json.loads(answer)
        for address in interface.get("addr_info", [])
    }
    found = [str(interface) for interface in interfaces.addresses()]
    assert "127.0.0.1/8" in found
    assert set(found) == expected


def test_finds_nothing_without_netlink(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(socket, "socket", refuse)
    assert interfaces.addresses() == []


def test_the_outward_address_is_one_of_ours() -> None:
    outward = interfaces.outward_address()
    assert outward is None or outward in {str(each.ip) for each in interfaces.addresses()}


@pytest.mark.process
def test_without_a_network_there_is_no_outward_address() -> None:
    script = "from doorbelld.net import interfaces; print(interfaces.outward_address())"
    command = ["unshare", "--map-root-user", "--net", sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
