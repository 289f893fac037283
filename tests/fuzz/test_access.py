"""Addresses, names and origins, as strangers write them."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from urllib.parse import urlsplit

from hypothesis import example, given
from hypothesis import strategies as st

from doorbelld.access import policy as access
from doorbelld.access.cookies import Cookies
from doorbelld.access.policy import Access
from doorbelld.net import names
from doorbelld.server.request import Headers, Request, RequestError
from doorbelld.web import guard
from doorbelld.web.guard import RefusedError
from tests.support.cost import assert_cheap
from tests.support.fuzzing import examples

LAN = [ipaddress.ip_network(each) for each in access.LAN]
V4, V6 = st.ip_addresses(v=4), st.ip_addresses(v=6)
HOSTS = st.one_of(
    st.text(max_size=20),
    st.text("abc.[]:%0123@/ ", max_size=20),
    st.builds(
        "{}.evil.example{}".format, st.text("ab.-_", max_size=9), st.sampled_from(["", ":1"])
    ),
    st.ip_addresses(v=6).map("[{}]".format),
)
URLS = st.builds("{}://{}{}".format, st.sampled_from(["http", "https", "file", ""]), HOSTS, HOSTS)


def lan(**options: list[str]) -> Access:
    """Return the access rules of a machine that has no address of its own."""
    return Access(own=list, **options)


@given(st.one_of(V4, V6))
@examples(150)
def test_the_lan_is_the_lan_in_each_form_of_an_address(address: ipaddress.IPv4Address) -> None:
    expected = any(address in network for network in LAN if network.version == address.version)
    mapped = getattr(address, "ipv4_mapped", None)
    expected = expected or bool(mapped and any(mapped in each for each in LAN if each.version == 4))
    assert lan().admits(str(address)) is expected
    if address.version == 4:
        assert lan().admits(f"::ffff:{address}") is expected


@given(V4, st.text())
@examples(100)
def test_client_that_is_no_proxy_is_not_believed(
    peer: ipaddress.IPv4Address, forwarded: str
) -> None:
    proxies = lan(trusted_proxies=["127.0.0.1"])
    if str(peer) != "127.0.0.1":
        assert proxies.client(str(peer), forwarded) == str(peer)


@given(st.text(), st.one_of(V4, V6.map("[{}]".format), V6.map("[{}]:4711".format)))
@examples(200)
def test_what_a_proxy_has_added_counts_whatever_stands_before(before: str, client: object) -> None:
    forwarded = f"{before},{client}"
    address = ipaddress.ip_address(str(client).partition("]")[0].lstrip("["))
    plain = getattr(address, "ipv4_mapped", None) or address
    if str(plain) != "127.0.0.1":
        assert lan(trusted_proxies=["127.0.0.1"]).client("127.0.0.1", forwarded) == str(plain)


@given(HOSTS)
@examples(150)
def test_a_foreign_name_is_never_ours(host: str) -> None:
    answers = lan().answers_to(host)
    assert lan().answers_to(host.upper()) is answers or not host.isascii()
    if ".evil.example" in host:
        assert not answers


@given(st.one_of(URLS, st.text()))
@example("http://[::]@]")
@example("http://a :#%")
@examples(150)
def test_the_origin_of_an_origin_is_itself(url: str) -> None:
    found = names.origin(url)
    assert names.origin(found) == found
    if found != "null":
        assert urlsplit(found).hostname
        assert names.is_same_place(found, found.partition("://")[2])


NAMES = ["Host", "Origin", "Referer", "Accept", "X-Forwarded-For", "Sec-Fetch-Site"]


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.one_of(URLS, HOSTS)), max_size=4),
    st.one_of(URLS, st.text(max_size=9).map("/{}".format)),
)
@examples(150)
def test_any_headers_are_let_in_or_refused(headers: list[tuple[str, str]], target: str) -> None:
    request = Request("GET", target, "HTTP/1.1", Headers(tuple(headers)))
    proxies = lan(trusted_proxies=["127.0.0.1"])
    with suppress(RefusedError, RequestError):
        client = guard.client(proxies, headers, "HTTP/1.1", "127.0.0.1")
        assert guard.let_in(proxies, request, client) == ""
        assert proxies.admits(client)


RUNS = st.builds(
    lambda start, run, end: start + run * (16_000 // len(run)) + end,
    st.sampled_from(["", "a", "http://", "[", "doorbelld=", ";", "[::1%", "doorbelld=1."]),
    st.sampled_from([*" \t,;:=.%[]/@1aé", "::1,", "127.0.0.1, ", ";doorbelld=", "a.", "1:"]),
    st.sampled_from(["", "x", "]", ":", "\0"]),
)


@given(RUNS)
@examples(60)
def test_no_header_takes_long_to_judge(text: str) -> None:
    names = ("Host", "Origin", "Referer", "Accept", "X-Forwarded-For")
    headers = Headers(tuple((name, text) for name in names))
    proxies = lan(trusted_proxies=["127.0.0.1", "::1"])

    def judge() -> None:
        for peer in ("127.0.0.1", "192.168.1.2"):
            request = Request("GET", text, "HTTP/1.1", headers, peer=peer)
            with suppress(RefusedError, RequestError):
                guard.client(proxies, headers.fields, "HTTP/1.1", peer)
            with suppress(RefusedError, RequestError):
                guard.let_in(proxies, request, "127.0.0.1")
        Cookies(b"key").seconds_left(text)

    assert_cheap(judge)


@given(st.text(), st.integers(0, 200), st.text(max_size=3))
@examples(150)
def test_no_cookie_counts_but_our_own(junk: str, at: int, put_in: str) -> None:
    cookies = Cookies(b"key")
    assert cookies.seconds_left(junk) == 0
    good = cookies.new()
    assert cookies.seconds_left(f"a={junk.replace(';', '')}; {good}") > 0
    changed = good[:at] + put_in + good[at + 1 :]
    if good not in changed:
        assert cookies.seconds_left(changed) == 0 or changed.strip(" \t;") == good
