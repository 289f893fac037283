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
