from __future__ import annotations

import pytest

from doorbelld.net import addresses


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
