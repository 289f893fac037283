"""What programs may ask of visits: any range and any path, decided without work."""

from __future__ import annotations

from http import HTTPStatus

from hypothesis import given
from hypothesis import strategies as st

from doorbelld.server.request import Headers, Request
from doorbelld.web import visits
from tests.support.cost import cpu_bound
from tests.support.fuzzing import examples

NUMBERS = st.one_of(st.integers(-3, 300).map(str), st.text("0123456789", max_size=25))
RANGES = st.one_of(
    st.builds("bytes={}-{}".format, NUMBERS, NUMBERS),
    st.builds("{}={}".format, st.sampled_from(["bytes", "Bytes", "x"]), st.text(max_size=20)),
    st.integers(1, 4000).map(lambda count: "bytes=" + "0-1," * count),
    st.integers(1, 16_000).map(lambda count: "bytes=" + "9" * count),
)


@given(RANGES, st.integers(1, 200))
@examples(500)
def test_any_range_is_inside_or_refused(asked: str, size: int) -> None:
    with cpu_bound(len(asked)):
        request = Request("GET", "/", "HTTP/1.1", Headers((("Range", asked),)))
        status, span = visits._span(request, size)
    if status == HTTPStatus.OK:
        assert span == (0, size)
    elif status == HTTPStatus.PARTIAL_CONTENT:
        assert 0 <= span.offset < span.offset + span.length <= size
    else:
        assert status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


@given(st.one_of(st.text(max_size=30), st.integers(1, 16_000).map(lambda count: "1" * count)))
@examples(500)
def test_only_a_number_is_an_id(text: str) -> None:
    with cpu_bound(len(text)):
        number, _ = visits._parts_of(f"/visits/{text}.json")
    is_id = text.isascii() and text.isdigit() and text[0] != "0" and len(text) <= 18
    assert number == (int(text) if is_id else 0)
