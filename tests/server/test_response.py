"""An answer as it goes over the wire."""

from __future__ import annotations

from doorbelld.server.response import Response

HEAD = b"HTTP/1.1 404 Not Found\r\nA: b\r\nC: d\r\n"


def test_head_and_body() -> None:
    response = Response(404, {"A": "b", "C": "d"}, b"body")
    assert response.encode(close=False) == HEAD + b"\r\nbody"
    assert response.encode(close=True) == HEAD + b"Connection: close\r\n\r\nbody"
    assert response.encode(close=False, without_body=True) == HEAD + b"\r\n"


def test_each_cookie_has_its_own_line() -> None:
    otherwise = Response(503, {})
    response = Response(404, {"A": "b", "C": "d"}, otherwise=otherwise).setting("x=1", "y=2")
    cookies = b"Set-Cookie: x=1\r\nSet-Cookie: y=2\r\n"
    assert response.encode(close=False) == HEAD + cookies + b"\r\n"
    assert response.otherwise is not None
    assert cookies in response.otherwise.encode(close=False)
