from __future__ import annotations

from urllib.parse import urljoin

from hypothesis import example, given
from hypothesis import strategies as st

from doorbelld.server.replies import address_of
from doorbelld.server.request import Headers, Request

SEGMENTS = st.lists(st.text("ab.~-_%2F;=", min_size=1).filter(lambda each: each.strip(".")))
QUERIES = st.sampled_from(["", "?", "?a=/b/../c", "?a#/b", "#/b?/c"])


def asked(target: str) -> Request:
    return Request("GET", target, "HTTP/1.1", Headers())


@given(SEGMENTS.filter(lambda each: len(each) < 17), QUERIES, st.sampled_from(["", "login"]))
def test_address_leads_to_the_page_from_anywhere(
    segments: list[str], query: str, page: str
) -> None:
    target = "/" + "/".join(segments) + query
    for before, prefix in (("", ""), ("", "/doorbell"), ("http://door.local", "/a/b")):
        place = f"http://door.local{prefix}"
        url = urljoin(f"{place}{target}", address_of(page, asked(before + target)))
        assert url == f"{place}/{page}"


@given(st.text())
@example("*")
@example("")
@example("door.local:80")
@example("http://")
@example("/" * 20_000)
def test_address_is_short_and_has_nothing_of_the_request(target: str) -> None:
    steps = address_of("login", asked(target)).replace("../", "")
    assert steps == "login"
    assert len(address_of("", asked(target))) < 60
