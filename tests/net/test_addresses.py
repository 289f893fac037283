from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from doorbelld.net import addresses
from tests.support.daemon import ROOT


@pytest.mark.parametrize(
    ("host", "written"),
    [("door.local", "door.local"), ("10.0.0.7", "10.0.0.7"), ("fd7a::7", "[fd7a::7]"), ("", "")],
)
def test_only_ipv6_has_brackets(host: str, written: str) -> None:
    assert addresses.bracketed(host) == written
    assert addresses.with_port(host, 5000) == f"{written}:5000"


@pytest.mark.parametrize(
    ("scheme", "port", "ending"),
    [
        ("http", 80, ""),
        ("https", 443, ""),
        ("http", None, ""),
        ("http", 443, ":443"),
        ("https", 80, ":80"),
        ("http", 5000, ":5000"),
    ],
)
def test_origin_leaves_out_the_default_port(scheme: str, port: int | None, ending: str) -> None:
    assert addresses.origin(scheme, "::1", port) == f"{scheme}://[::1]{ending}"


def test_all_addresses_have_three_spellings() -> None:
    assert all(map(addresses.is_all, ("", "::", "0.0.0.0")))
    assert not any(map(addresses.is_all, ("::1", "127.0.0.1", "localhost")))


@pytest.mark.parametrize(
    "host",
    ["localhost", "door.example.org.", "127.0.0.1", "::1", "fe80::1%eth0", "t\u00fcr.example"],
)
def test_name_is_encoded_as_python_does_it(host: str) -> None:
    assert addresses.encoded(host) == host.encode("idna")


@pytest.mark.parametrize("host", ["a..b", ".a", "x" * 64, f"{'x' * 64}.a", "t\u00fcr..example"])
def test_bad_name_is_refused_as_python_does_it(host: str) -> None:
    for encode in (addresses.encoded, lambda host: host.encode("idna")):
        with pytest.raises(ValueError):  # noqa: PT011  # nothing is said about the reason
            encode(host)


@pytest.mark.process
def test_finds_what_ip_finds() -> None:
    command = ["ip", "-json", "address"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    expected = {
        f"{address['local']}/{address['prefixlen']}"
        for interface in json.loads(answer)
        for address in interface.get("addr_info", [])
    }
    found = [str(interface) for interface in addresses.own()]
    assert "127.0.0.1/8" in found
    assert set(found) == expected


def test_finds_nothing_without_netlink(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(socket, "socket", refuse)
    assert addresses.own() == []


def test_the_outward_address_is_one_of_ours() -> None:
    outward = addresses.outward()
    assert outward is None or outward in {str(each.ip) for each in addresses.own()}


@pytest.mark.process
def test_without_a_network_there_is_no_outward_address() -> None:
    script = "from doorbelld.net import addresses; print(addresses.outward())"
    command = ["unshare", "--map-root-user", "--net", sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
