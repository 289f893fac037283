from __future__ import annotations

import pytest

from doorbelld.access.forwarded import (
    Fields,
    is_bare_nginx,
    is_like_nginx,
    named_clients,
    sign_of_proxy,
)

HOST = ("Host", "door.local")


@pytest.mark.parametrize(
    "name",
    [
        *("X-Forwarded-For", "x-forwarded-for", "X-FORWARDED-FOR", "X_Forwarded_For", "Forwarded"),
        *("Forwarded-For", "X-Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto", "Via"),
        *("X-Forwarded-Server", "X-Forwarded-Port", "X-Forwarded-By", "X-Original-Forwarded-For"),
        *("X-Original-URL", "X-Real-IP", "X-Real-Ip", "Real-IP", "X-Client-IP", "Client-IP"),
        *("X-Cluster-Client-IP", "True-Client-IP", "X-True-Client-IP", "X-Remote-IP", "X-Host"),
        *("X-Remote-Addr", "X-ProxyUser-Ip", "WL-Proxy-Client-IP", "Incap-Client-IP", "X-Varnish"),
        *("CF-Connecting-IP", "CF-Connecting-IPv6", "CF-Ray", "CF-IPCountry", "CF-Visitor"),
        *("CDN-Loop", "Cdn-Src-Ip", "Fastly-Client-IP", "Fastly-FF", "Fly-Client-IP"),
        *("X-Envoy-External-Address", "X-Envoy-Expected-Rq-Timeout-Ms", "X-Azure-ClientIP"),
        *("X-Azure-SocketIP", "X-ARR-LOG-ID", "X-Amzn-Trace-Id", "X-Amz-Cf-Id"),
        *("CloudFront-Viewer-Address", "Tailscale-User-Login", "Tailscale-User-Name"),
        *("Tailscale-Funnel-Request", "Ngrok-Trace-Id", "Proxy-Connection", "Akamai-Origin-Hop"),
        *("X-Cloud-Trace-Context", "X-Appengine-User-Ip", "X-Vercel-Forwarded-For"),
        *("X-NF-Client-Connection-Ip", "X-Sucuri-ClientIP", "X-Ingress-Path", "X-Hass-Source"),
    ],
)
@pytest.mark.parametrize("value", ["192.168.1.2", ""])
def test_headers_of_proxies_are_known(name: str, value: str) -> None:
    assert sign_of_proxy([HOST, ("Accept", "*/*"), (name, value)]) == f"the header {name}"


def test_long_name_is_cut() -> None:
    assert len(sign_of_proxy([HOST, (f"X-Forwarded-{'x' * 9000}", "")])) < 60


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [HOST, ("User-Agent", "curl/8"), ("Accept", "*/*")],
        [HOST, ("Connection", "keep-alive"), ("Cache-Control", "max-age=0"), ("DNT", "1")],
        [HOST, ("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket")],
        [HOST, ("X-Requested-With", "x"), ("X-Client-Data", "x"), ("X-Timestamp", "1")],
        [HOST, ("Sec-Fetch-Site", "same-origin"), ("X-Viable", "x"), ("Preview", "x")],
    ],
)
def test_headers_of_clients_are_no_sign(fields: Fields) -> None:
    assert sign_of_proxy(fields) == ""


def test_connection_with_an_upgrade_that_is_missing_is_a_sign() -> None:
    """It is in every recipe for nginx and web sockets."""
    assert sign_of_proxy([HOST, ("Connection", "upgrade")])
    assert sign_of_proxy([HOST, ("Connection", "Upgrade"), ("X", "y")])


def test_connection_that_asks_for_an_upgrade_alone_is_a_sign() -> None:
    """With such a recipe the client chooses the Upgrade, and no program needs one here."""
    assert sign_of_proxy([HOST, ("Upgrade", "x"), ("Connection", "upgrade")])
    assert sign_of_proxy([("Upgrade", "h2c"), ("Connection", "Upgrade"), HOST, AGENT])


@pytest.mark.parametrize(
    "fields",
    [
        # curl --http2, and Java's HttpClient
        [HOST, ("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c")],
        [
            HOST,
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
        ],
        # Apache's HttpClient 5.4
        [("Connection", "keep-alive"), ("Upgrade", "TLS/1.2"), ("Connection", "Upgrade")],
    ],
)
def test_clients_that_offer_another_protocol_are_no_proxies(fields: Fields) -> None:
    assert sign_of_proxy(fields) == ""


CLOSE, AGENT = ("Connection", "close"), ("User-Agent", "x")


@pytest.mark.parametrize(
    ("version", "fields", "expected"),
    [
        ("HTTP/1.0", [HOST, CLOSE], True),
        ("HTTP/1.0", [HOST, CLOSE, AGENT], True),
        ("HTTP/1.1", [HOST, CLOSE, AGENT], False),  # as small programs write it
        ("HTTP/1.1", [("Host", "127.0.0.1:5000"), CLOSE, AGENT], True),
        ("HTTP/1.1", [("Host", "127.0.0.1:5000"), CLOSE], False),
        ("HTTP/1.1", [("Host", "[::1]:5000"), CLOSE, AGENT], True),
        ("HTTP/1.1", [("Host", "[::1]"), CLOSE, AGENT], False),
        ("HTTP/1.0", [HOST, AGENT, CLOSE], False),
        ("HTTP/1.0", [CLOSE, HOST, AGENT], False),
        ("HTTP/1.0", [HOST, ("Connection", "keep-alive"), AGENT], False),
        ("HTTP/1.0", [HOST, ("X-Forwarded-For", "8.8.8.8"), CLOSE, AGENT], False),
        ("HTTP/1.0", [("X-Scheme", "https"), HOST, CLOSE], True),
        ("HTTP/1.0", [HOST, ("Authorization", "Basic eDp5"), CLOSE, AGENT], True),
        ("HTTP/1.0", [HOST, ("X-Real-IP", "8.8.8.8"), CLOSE, ("X-Forwarded-For", "")], True),
        ("HTTP/1.0", [HOST, ("Accept", "*/*"), CLOSE], False),
        ("HTTP/1.0", [("forwarded", "for=8.8.8.8"), HOST, CLOSE, AGENT], False),
        ("HTTP/1.0", [HOST], False),
        ("HTTP/1.0", [], False),
    ],
)
def test_bare_nginx_is_known_by_the_head(version: str, fields: Fields, expected: bool) -> None:
    assert is_bare_nginx(fields, version) is expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([CLOSE, ("Host", "127.0.0.1:5000")], {True, False}),
        ([CLOSE, ("Host", "127.0.0.1:5000"), AGENT], {True, False}),
        ([CLOSE, HOST, AGENT], set()),
        ([("Host", "127.0.0.1:5000"), CLOSE], {True}),
        ([HOST, CLOSE], set()),
        ([("Host", "127.0.0.1:5000"), CLOSE, AGENT], set()),
        ([("Connection", "keep-alive"), HOST], set()),
        ([("Connection", "TE, close"), HOST, AGENT], set()),
        ([HOST], set()),
        ([], set()),
    ],
)
def test_heads_that_nginx_sends_are_known(fields: Fields, expected: set[bool]) -> None:
    """``expected`` says whether that goes for what comes from this machine, and for the rest."""
    assert {here for here in (True, False) if is_like_nginx(fields, here=here)} == expected


def xff(*values: str) -> Fields:
    return [("X-Forwarded-For", value) for value in values]


def rfc7239(*values: str) -> Fields:
    return [("forwarded", value) for value in values]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([HOST], []),
        (xff(""), []),
        (xff(" , "), []),
        (xff("8.8.8.8"), ["8.8.8.8"]),
        (xff("1.1.1.1, 8.8.8.8"), ["1.1.1.1, 8.8.8.8"]),
        (xff("1.1.1.1", "8.8.8.8"), ["1.1.1.1,8.8.8.8"]),
        ([("X_Forwarded_For", "8.8.8.8"), ("X-Real-IP", "8.8.8.8")], []),
        (rfc7239("for=8.8.8.8"), ["8.8.8.8"]),
        (rfc7239("proto=http; For=8.8.8.8 ;by=1.1.1.1"), ["8.8.8.8"]),
        (rfc7239("for=1.1.1.1, for=8.8.8.8"), ["1.1.1.1,8.8.8.8"]),
        (rfc7239('for="[2001:db8::1]:4711"'), ["[2001:db8::1]:4711"]),
        (rfc7239("for=unknown"), ["unknown"]),
        (rfc7239("proto=http"), []),
        (rfc7239('for="192.168.1.2', "for=8.8.8.8"), ['"192.168.1.2,8.8.8.8']),
        (rfc7239("for=1.1.1.1;for=8.8.8.8"), ["1.1.1.1,8.8.8.8"]),
        ([*xff("8.8.8.8"), *rfc7239("for=1.1.1.1")], ["8.8.8.8", "1.1.1.1"]),
    ],
)
def test_finds_the_clients_that_are_named(fields: Fields, expected: list[str]) -> None:
    assert named_clients(fields) == expected
