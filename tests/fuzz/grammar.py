"""Grammar: HTTP requests, and what looks almost like one."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.fuzz.corpus import CORPUS

_PATHS = [
    *(b"/", b"/video_feed", b"/stream.mjpg", b"/?action=stream", b"/?action=snapshot"),
    *(b"/snapshot.jpg", b"/snapshot", b"/status", b"/healthz", b"/app.js", b"/login", b"/logout"),
    *(b"/live", b"/live?pictures=no", b"/live/report", b"/live/report?key=me&age=1&rate=2"),
    *(b"/visits.json", b"/visits/1.json", b"/visits/1.jpg", b"/visits/1/0.jpg", b"/visits/1/9.jpg"),
    *(b"/visits/1.mjpeg", b"/visits/1/video", b"/visits/2.json", b"/visits/2/delete", b"/ring"),
    *(b"/visits/1/answered", b"/visits/../1.jpg", b"/visits/%31.json", b"/shutter", b"/visits/"),
    b"/visits/" + b"9" * 5000 + b".json",
    *(
        b"/nothing",
        b"*",
        b"//",
        b"http://127.0.0.1/status",
        b"https://u:p@[::1]:1/",
        b"http://[bad",
    ),
    *(b"/../../etc/passwd", b"/%2e%2e/%2e%2e/etc/passwd", b"/%00", b"/%", b"/%zz", b"/\\..\\x"),
]
_QUERIES = [
    *(b"fps=5", b"fps=nan", b"fps=1e999", b"fps=-0", b"key=me", b"key=%00", b"key=\xff", b"a&b&c"),
    *(b"action=stream", b"action=x", b"advance_headers=1", b"&" * 30, b"key=" + b"k" * 70, b"#x"),
    *(b"v=1", b"v=2", b"quality=auto", b"pictures=no", b"pictures=x", b"width=1e9", b"rate=_"),
    *(
        b"limit=200",
        b"limit=1e9",
        b"limit=%D9%A3",
        b"before=2",
        b"before=-1",
        b"kind=ring",
        b"kind",
    ),
    *(b"before=" + b"9" * 5000, b"token=x", b"token=%ff", b"closed=maybe"),
]
_NAMES = [
    *(b"Host", b"Origin", b"Referer", b"Accept", b"Content-Length", b"Transfer-Encoding"),
    *(
        b"Connection",
        b"Expect",
        b"Range",
        b"If-Range",
        b"If-None-Match",
        b"Cookie",
        b"Authorization",
    ),
    *(b"X-Forwarded-For", b"Upgrade", b"Content-Type", b"TE", b"Trailer", b"Keep-Alive"),
]
_VALUES = [
    *(b"", b"127.0.0.1", b"localhost:5000", b"evil.example", b"[::1]", b"[::1%lo]:0", b"[", b"*"),
    *(b"http://127.0.0.1", b"https://evil.example", b"null", b"http://[", b"file:///x", b"://"),
    *(b"0", b"5", b"-1", b"+5", b"0x10", b"5, 5", b"99999999999999999999", b"\xb2", b"5 ", b"1_0"),
    *(b"chunked", b"identity", b"gzip, chunked", b"close", b"keep-alive", b"upgrade", b"h2c"),
    *(
        b"100-continue",
        b"bytes=0-",
        b"bytes=9-1",
        b"bytes=-9",
        b"bytes=5-9",
        b"bytes=99999-",
        b'"x"',
        b"W/",
        b"image/*",
        b"text/html",
    ),
    *(b"Basic dTpw", b"Basic !!!", b"Basic", b"Bearer x", b"doorbelld=x", b"a=b; a=c; =", b";"),
    *(b"10.0.0.1", b"1.2.3.4, unknown", b"::ffff:1.2.3.4", b"fe80::1%eth0", b",", b"1.2.3.4:5"),
    *(b"websocket", b"multipart/form-data", b"application/x-www-form-urlencoded", b"x" * 9000),
]
_RUNS = [b" ", b"\t", b",", b";", b":", b"=", b"&", b"%", b"/", b'"', b"\\", b"1", b"a ", b'";']
_BEFORE = [b"", b"multipart/x; a=", b"doorbelld=", b"Basic ", b"http://", b"[::1%"]

_VERSIONS = [
    *(b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1", b"HTTP/1.1.1"),
    *(b"http/1.1", b"HTTP/\xb2.1", b"HTTP/1.1 ", b"HTTP/-1.1", b"HTTP/9999999999.1", b"RTSP/1.0"),
]
_METHODS = [
    *(b"HEAD", b"POST", b"OPTIONS", b"PUT", b"TRACE", b"CONNECT", b"get", b"GET\0", b"__init__"),
    *(b"PRI", b"G", b"\x16\x03\x01", b"_GET", b"GET,"),
]
_BODIES = [
    *(b"", b"password=x", b"x" * 10, b"5\r\nhello\r\n0\r\n\r\n", b"\0" * 5000),
    b"GET /poison HTTP/1.1\r\n\r\n",
]


def _mostly(usual: bytes, others: list[bytes], junk: int = 20) -> SearchStrategy[bytes]:
    """Draw the usual value half of the time, else another one, sometimes anything."""
    return st.one_of(
        st.just(usual), st.just(usual), st.sampled_from(others), st.binary(max_size=junk)
    )


@st.composite
def _runs(draw: DrawFn) -> bytes:
    """A value of many separators, with an end that makes a pattern fail to match."""
    run = draw(st.sampled_from(_RUNS))
    length = draw(st.sampled_from([100, 3_000, 15_000]))
    start, end = draw(st.sampled_from(_BEFORE)), draw(st.sampled_from([b"", b"\0", b"x", b'"']))
    return start + draw(st.sampled_from([b"", b'"'])) + run * (length // len(run)) + end


_END = st.sampled_from([b"\r\n"] * 8 + [b"\n", b"\r", b"\r\r\n", b"\n\r"])
_GAP = st.sampled_from([b" "] * 8 + [b"", b"  ", b"\t", b"\x0b", b"\xa0"])
_COLON = st.sampled_from([b": "] * 6 + [b":", b" : ", b":\t", b"", b": \r\n ", b":\r\n\t"])


@st.composite
def _targets(draw: DrawFn) -> bytes:
    path = draw(_mostly(b"/healthz", _PATHS))
    queries = draw(st.lists(_mostly(b"fps=30", _QUERIES), max_size=2))
    return b"?".join([path, *([b"&".join(queries)] if queries else [])])


@st.composite
def _fields(draw: DrawFn) -> bytes:
    name = draw(_mostly(b"Accept", _NAMES))
    value = draw(st.one_of(st.sampled_from(_VALUES), st.binary(max_size=30), _runs()))
    return name + draw(_COLON) + value + draw(_END)


@st.composite
def _written(draw: DrawFn) -> bytes:
    first = [
        draw(_mostly(b"GET", _METHODS)),
        draw(_GAP),
        draw(_targets()),
        draw(_GAP),
        draw(_mostly(b"HTTP/1.1", _VERSIONS)),
        draw(_END),
    ]
    fields = draw(st.lists(_fields(), max_size=5))
    repeated = draw(st.sampled_from([1] * 12 + [60, 200]))
    return b"".join([*first, *fields * repeated, draw(_END), draw(st.sampled_from(_BODIES))])


@st.composite
def _mutated(draw: DrawFn) -> bytes:
    """One of the corpus, with some bytes cut out and others put in."""
    data = draw(st.sampled_from(CORPUS)).data
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        gone = draw(st.integers(0, 8))
        data = data[:at] + draw(st.binary(max_size=8)) + data[at + gone :]
    return data


@st.composite
def conversations(draw: DrawFn) -> list[bytes]:
    """Return what a client sends, in pieces."""
    said = b"".join(draw(st.lists(st.one_of(_written(), _mutated()), min_size=1, max_size=3)))
    cuts = sorted(draw(st.lists(st.integers(0, len(said)), max_size=4)))
    return [said[start:end] for start, end in zip([0, *cuts], [*cuts, len(said)])]
