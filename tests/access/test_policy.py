"""Access: addresses, names and origins, and what the configuration says about them."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

import pytest

from doorbelld.access.policy import Access
from doorbelld.net import names
from doorbelld.net.addresses import Interface
from doorbelld.net.names import is_same_place, origin

OURS = ["198.51.100.7/24", "2001:db8:1:2::7/64", "fe80::7/64", "203.0.113.9/32", "16.1.2.3/7"]


def own() -> list[Interface]:
    """Return the interfaces of a machine in a LAN with public addresses."""
    return [ipaddress.ip_interface(text) for text in OURS]


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "169.254.3.4", "fe80::1%eth0"),
        *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.255.1", "::ffff:192.168.1.2"),
        *("fc00::1", "fdab::1", "198.51.100.200", "2001:db8:1:2:ffff::1", "203.0.113.9"),
    ],
)
def test_the_lan_is_let_in(address: str) -> None:
    assert Access(own=own).admits(address)


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "172.15.255.255", "172.32.0.1", "192.167.0.1", "11.0.0.1", "100.64.0.1"),
        *("2001:db8:1:3::1", "2606::1", "::ffff:8.8.8.8", "::8.8.8.8", "ff02::1", "0.0.0.0", "::"),
        *("203.0.113.8", "198.51.101.1", "17.0.0.1", "fe00::1"),
    ],
)
def test_other_addresses_are_not(address: str) -> None:
    assert not Access(own=own).admits(address)


def test_only_the_networks_that_are_set_are_let_in() -> None:
    some = Access(networks=["203.0.113.0/24", "2001:db8::/48"], own=own)
    assert some.admits("203.0.113.200")
    assert some.admits("::ffff:203.0.113.200")
    assert some.admits("2001:db8::9")
    assert not some.admits("192.168.1.2")
    assert not some.admits("198.51.100.7"), "the own networks belong to lan"
    both = Access(networks=["203.0.113.0/24", "lan"], own=own)
    assert both.admits("203.0.113.200")
    assert both.admits("198.51.100.7")
    assert Access(networks=["any"], own=own).admits("8.8.8.8")
    assert Access(networks=["any"], own=own).admits("2606::1")


@pytest.mark.parametrize(
    ("network", "client", "admitted"),
    [
        ("16.1.2.3/8", "16.200.1.1", True),
        ("16.1.2.3/7", "17.1.1.1", False),
        ("2001:db8::1/32", "2001:db8:ffff::1", True),
        ("2001:db8::1/31", "2001:db9::1", False),
        ("1.2.3.4/0", "8.8.8.8", False),
        ("2001:db8::1/0", "2600::1", False),
    ],
)
def test_network_that_is_too_wide_for_a_lan_is_none(
    network: str, client: str, admitted: bool
) -> None:
    rules = Access(own=lambda: [ipaddress.ip_interface(network)])
    assert rules.admits(client) is admitted


def test_a_lost_network_counts_for_a_moment_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    now, networks = 1000.0, ["127.0.0.1/8", "198.51.100.7/24"]
    monkeypatch.setattr("doorbelld.access.policy.time.monotonic", lambda: now)
    rules = Access(own=lambda: [ipaddress.ip_interface(text) for text in networks])
    assert not rules.has_lost_a_network()
    for gone, seconds, admitted in ((True, 5, True), (False, 1, True), (True, 5, True)):
        networks[1:] = [] if gone else ["198.51.100.7/24"]
        now += seconds
        assert not rules.has_lost_a_network()
        assert rules.admits("198.51.100.8") is admitted
    now += 2
    assert rules.has_lost_a_network()
    assert not rules.has_lost_a_network(), "it is reported once"
    assert not rules.admits("198.51.100.8")


def test_a_loss_that_a_request_has_noticed_is_reported_too(monkeypatch: pytest.MonkeyPatch) -> None:
    now, networks = 1000.0, ["127.0.0.1/8", "198.51.100.7/24"]
    monkeypatch.setattr("doorbelld.access.policy.time.monotonic", lambda: now)
    rules = Access(own=lambda: [ipaddress.ip_interface(text) for text in networks])
    assert rules.admits("198.51.100.8")
    del networks[1]
    now += 10
    assert not rules.admits("198.51.100.8")
    assert rules.has_lost_a_network()


def test_networks_are_not_lost_while_the_kernel_cannot_be_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, networks = 1000.0, ["127.0.0.1/8", "198.51.100.7/24"]
    monkeypatch.setattr("doorbelld.access.policy.time.monotonic", lambda: now)
    rules = Access(own=lambda: [ipaddress.ip_interface(text) for text in networks])
    assert not rules.has_lost_a_network()
    before, networks[:] = list(networks), []
    now += 100
    assert not rules.has_lost_a_network()
    networks[:] = before[:1]
    now += 1
    assert not rules.has_lost_a_network(), "it may have gone only just now"


def test_a_new_network_of_the_machine_counts_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now, networks = 1000.0, ["198.51.100.7/24"]
    monkeypatch.setattr("doorbelld.access.policy.time.monotonic", lambda: now)
    rules = Access(own=lambda: [ipaddress.ip_interface(text) for text in networks])
    assert not rules.admits("203.0.113.5")
    networks[:] = ["203.0.113.7/24"]
    now += 10
    assert rules.admits("203.0.113.5")
    assert not rules.admits("198.51.100.8")
    networks[:] = []
    now += 10
    assert rules.admits("203.0.113.5"), "the kernel could not be asked, for want of a descriptor"


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.168.1.9", "8.8.8.8", "192.168.1.9"),  # what a client says about itself does not count
        ("192.168.1.9", "nonsense", "192.168.1.9"),
        ("10.0.0.1", "8.8.8.8", "8.8.8.8"),
        ("10.0.0.1", "192.168.1.2, 8.8.8.8", "8.8.8.8"),  # the proxy saw the last one
        ("10.0.0.1", "192.168.1.2,8.8.8.8 , 10.0.0.2", "8.8.8.8"),
        ("10.0.0.1", "10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "8.8.8.8:1234", "8.8.8.8"),
        ("10.0.0.1", "::ffff:8.8.8.8", "8.8.8.8"),
        ("fe80::1%eth0", "8.8.8.8", "fe80::1%eth0"),
    ],
)
def test_only_a_trusted_proxy_is_believed(peer: str, forwarded: str, client: str) -> None:
    rules = Access(trusted_proxies=["10.0.0.1", "10.0.0.2"], own=own)
    assert rules.client(peer, forwarded) == client


@pytest.mark.parametrize(
    "text", ["", "unknown", "8.8.8.8,", "_hidden", "1.2.3", "[::1", "a b", "::g"]
)
def test_a_proxy_that_names_no_address_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Access(trusted_proxies=["10.0.0.1"], own=own).client("10.0.0.1", text)


@pytest.fixture
def _doorbell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Call this machine Doorbell, in a LAN whose router calls it fritz.box."""
    monkeypatch.setattr(socket, "gethostname", lambda: "Doorbell")
    resolver = tmp_path / "resolv.conf"
    resolver.write_text(
        "# router\n\nnameserver 192.168.1.1\nsearch Fritz.box. home.arpa\ndomain x\n"
    )
    monkeypatch.setattr(names, "_RESOLVER", resolver)


@pytest.mark.usefixtures("_doorbell")
@pytest.mark.parametrize(
    "host",
    [
        *("192.168.1.2", "192.168.1.2:5000", "[::1]", "[fe80::1%25eth0]:80", "8.8.8.8:1"),
        *("localhost", "LOCALHOST:5000", "localhost.", "doorbell", "DoorBell:5000", "doorbell."),
        *("doorbell.local", "anything.local:5000", "a.b.local", "doorbell.fritz.box"),
        *("doorbell.home.arpa:80", "doorbell.x", "door.example.org", "Door.Example.Org.:443"),
    ],
)
def test_answers_to_addresses_and_its_own_names(host: str) -> None:
    assert Access(hosts=["door.example.org"]).answers_to(host)


@pytest.mark.usefixtures("_doorbell")
@pytest.mark.parametrize(
    "host",
    [
        *("nas", "NAS:5000", "nas.", "door-2", "nas.lan", "a.b.lan:80", "x.home", "x.home.arpa"),
        *("x.internal", "x.intranet", "x.localdomain", "app.localhost", "x.local", "X.LAN."),
    ],
)
def test_answers_to_names_that_only_a_local_network_can_have(host: str) -> None:
    assert Access().answers_to(host)


@pytest.mark.usefixtures("_doorbell")
@pytest.mark.parametrize(
    "host",
    [
        *("nas.box", "nas.fritz.box", "x.ts.net", "x.arpa", "lan.example", "x.lan.example", "a.b"),
        *("x.xlan", "x.home.example", "home.arpa.example", "a,b", "a;b", "x.zip", "x.dev"),
    ],
)
def test_answers_to_no_name_that_can_be_registered(host: str) -> None:
    assert not Access().answers_to(host)


def test_a_domain_in_hosts_stands_for_all_names_in_it() -> None:
    rules = Access(hosts=["*.tail1234.ts.net", "*.Fritz.Box", "door.example.org"])
    for host in ("pi.tail1234.ts.net", "a.b.fritz.box:5000", "Pi.Fritz.Box.", "door.example.org"):
        assert rules.answers_to(host), host
    for host in (
        *("tail1234.ts.net", "pi.tail9.ts.net", "fritz.box", "xfritz.box", "a.fritz.box.evil.com"),
        *("a.door.example.org", "*.evil.com"),
    ):
        assert not rules.answers_to(host), host


@pytest.mark.usefixtures("_doorbell")
@pytest.mark.parametrize(
    ("peer", "host", "direct"),
    [
        *(("127.0.0.1", host, True) for host in ("localhost:5000", "127.0.0.1", "127.9.9.9")),
        *(("127.0.0.1", host, True) for host in ("doorbell", "doorbell.fritz.box", "x.local")),
        *(("::1", host, True) for host in ("[::1]:5000", "localhost", "127.0.0.1")),
        *(("127.0.0.1", host, False) for host in ("198.51.100.7", "192.168.1.7", "8.8.8.8")),
        *(("127.0.0.1", host, False) for host in ("door.example.org", "nas", "nas.lan", "[2::1]")),
        *(("::ffff:127.0.0.1", host, False) for host in ("door.example.org", "8.8.8.8")),
        ("198.51.100.7", "198.51.100.7:5000", True),
        ("198.51.100.7", "[::ffff:198.51.100.7]", True),
        ("198.51.100.7", "localhost", True),
        ("198.51.100.7", "203.0.113.9", False),  # its own as well, but not this connection's
        ("198.51.100.7", "127.0.0.1", False),
        ("198.51.100.7", "door.example.org", False),
        ("2001:db8:1:2::7", "[2001:DB8:1:2:0::7]:5000", True),
        ("192.168.1.2", "door.example.org", True),
        ("192.168.1.2", "192.168.1.7", True),
        ("192.168.1.2", "10.0.0.7", True),
        ("192.168.1.2", "203.0.113.9", True),
        ("192.168.1.2", "198.51.100.99", True),
        ("192.168.1.2", "9.9.9.9", True),  # it is in hosts
        ("192.168.1.2", "[2001:db8:9::9]:80", True),
        ("192.168.1.2", "8.8.8.8", False),
        ("192.168.1.2", "[2600::1]", False),
        ("192.168.1.2", "100.64.0.1", False),
        ("8.8.4.4", "8.8.8.8", True),  # it is not hidden
    ],
)
def test_is_direct(peer: str, host: str, direct: bool) -> None:
    hosts = ["door.example.org", "9.9.9.9", "2001:db8:9::9"]
    assert Access(hosts=hosts, own=own).is_direct(host, peer) is direct


@pytest.mark.parametrize(
    ("networks", "address", "reached"),
    [
        (["lan"], "192.168.1.7/24", True),
        (["lan"], "10.8.0.2/32", True),
        (["lan"], "198.51.100.7/24", True),
        (["lan"], "100.101.102.103/32", False),
        (["lan"], "100.101.102.103/10", True),  # a network of its own, and a LAN's
        (["lan"], "203.0.113.9/32", False),
        (["lan"], "2001:db8::7/128", False),
        (["lan"], "fd7a::7/128", True),
        (["lan"], "16.1.2.3/7", False),
        (["lan", "100.64.0.0/10"], "100.101.102.103/32", True),
        (["any"], "203.0.113.9/32", True),
        (["192.168.1.64/28"], "192.168.1.7/24", True),
        (["192.168.2.0/24"], "192.168.1.7/24", False),
        (["192.168.2.0/24"], "198.51.100.7/24", False),
        (["192.168.2.0/24"], "fd00::1/64", False),
    ],
)
def test_reaches(networks: list[str], address: str, reached: bool) -> None:
    assert Access(networks=networks).reaches(ipaddress.ip_interface(address)) is reached


@pytest.mark.usefixtures("_doorbell")
@pytest.mark.parametrize(
    "host",
    [
        *("", ":80", "evil.example", "doorbell.evil.example", "localhost.evil", "door.xlan"),
        *("evil.example:5000", "evil.example.fritz.box", "fritz.box", "1.2.3", "256.1.1.1", "."),
        *("user@localhost", "localhost/x", "local host", "[::1", "::1", "localhost:x", "a:80:80"),
        *("example.org", "x.door.example.org", "127.0.0.1.evil.example", "[evil]", "localhost.."),
    ],
)
def test_answers_to_no_other_name(host: str) -> None:
    assert not Access(hosts=["door.example.org"]).answers_to(host)


def test_a_full_host_name_is_also_known_by_its_first_part(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "door.example.org")
    monkeypatch.setattr(names, "_RESOLVER", tmp_path / "missing")
    assert names.own_names() == {"door.example.org", "door"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://door:5000/page?x", "http://door:5000"),
        ("HTTPS://Door.Example:443/", "https://door.example"),
        ("http://door:80", "http://door"),
        ("https://door:80", "https://door:80"),
        ("http://[::1]:5000/", "http://[::1]:5000"),
        ("http://user@door/", "http://door"),
        *((text, "null") for text in ("null", "", "door", "file:///x", "http://", "http://a:b/")),
        *((text, "null") for text in ("http://[::1", "javascript:alert(1)", "about:blank")),
    ],
)
def test_origin(url: str, expected: str) -> None:
    assert origin(url) == expected


@pytest.mark.parametrize(
    ("page", "host", "same"),
    [
        ("http://door:5000", "door:5000", True),
        ("http://door:5000", "Door:5000", True),
        ("https://door", "door", True),  # a proxy in front speaks https
        ("https://door", "door:443", True),
        ("http://[::1]:5000", "[::1]:5000", True),
        ("http://door:5000", "door:5001", False),
        ("http://door", "door:5000", False),
        ("http://evil", "door", False),
        ("null", "door", False),
        ("null", "", False),
        ("http://door", "", False),
    ],
)
def test_is_same_place(page: str, host: str, same: bool) -> None:
    assert is_same_place(page, host) is same


def test_embeds_the_sites_that_are_named() -> None:
    rules = Access(embed=["https://dashboard.example"])
    assert rules.embeds("https://dashboard.example")
    assert not rules.embeds("http://dashboard.example")
    assert not rules.embeds("https://dashboard.example:8123")
    assert not rules.embeds("null")
    assert not Access().embeds("https://dashboard.example")
