from __future__ import annotations

import base64
import re
from hashlib import md5, sha256
from typing import Any

import pytest

from doorbelld.drivers.authorization import Authorization
from tests.support.cost import cpu_bound

NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"


def answered(*challenges: str, credentials: tuple[str, str] = ("Mufasa", "Circle of Life")) -> str:
    authorization = Authorization(*credentials)
    assert authorization.headers("GET", "/dir/index.html") == {}
    authorization.choose(challenges)
    return authorization.headers("GET", "/dir/index.html")["Authorization"]


def parameters(header: str) -> dict[str, str]:
    assert header.startswith("Digest ")
    return {name: value.strip('"') for name, value in re.findall(r'(\w+)=("[^"]*"|[^,]*)', header)}


def expected(make: Any, shown: dict[str, str], secret: str, is_session: bool = False) -> str:
    def digest(text: str) -> str:
        return str(make(text.encode()).hexdigest())

    first = digest(secret)
    if is_session:
        first = digest(f"{first}:{shown['nonce']}:{shown['cnonce']}")
    second = digest("GET:/dir/index.html")
    if "qop" not in shown:
        return digest(f"{first}:{shown['nonce']}:{second}")
    return digest(f"{first}:{shown['nonce']}:{shown['nc']}:{shown['cnonce']}:auth:{second}")


@pytest.mark.parametrize("qop", ["", ', qop="auth"', ', qop="auth-int,auth"', ", qop=auth"])
@pytest.mark.parametrize("algorithm", ["", "MD5", "SHA-256", "md5-sess", "SHA-256-sess"])
def test_digest(algorithm: str, qop: str) -> None:
    more = f", algorithm={algorithm}" * bool(algorithm)
    header = answered(f'Digest realm="door, 1", nonce="{NONCE}", opaque="x"{qop}{more}')
    shown = parameters(header)
    make = sha256 if "256" in algorithm else md5
    is_session = algorithm.endswith("sess")
    secret = "Mufasa:door, 1:Circle of Life"
    assert shown["response"] == expected(make, shown, secret, is_session)
    assert (shown["nonce"], shown["opaque"], shown["uri"]) == (NONCE, "x", "/dir/index.html")
    assert shown.get("algorithm", "") == algorithm
    assert shown.get("qop", "") == ("auth" if qop else "")


@pytest.mark.parametrize("empty", ['qop=""', "algorithm=", 'qop="", algorithm=""'])
def test_what_is_empty_counts_as_not_there(empty: str) -> None:
    shown = parameters(answered(f'Digest realm="camera", nonce="{NONCE}", {empty}, opaque=""'))
    assert shown.keys() == {"username", "realm", "nonce", "uri", "response", "opaque"}
    assert shown["response"] == expected(md5, shown, "Mufasa:camera:Circle of Life")


def test_digest_of_rfc_7616_with_any_characters() -> None:
    user, password = 'J"ø\\', "pä:ss@#/?"
    shown = answered('Digest realm="r", nonce="n"', credentials=(user, password))
    assert r'username="J\"' in shown
    response = expected(md5, {"nonce": "n"}, f"{user}:r:{password}")
    assert f'response="{response}"' in shown


def test_nonce_is_counted() -> None:
    authorization = Authorization("a", "b")
    authorization.choose(['Digest realm="r", nonce="n", qop="auth"'])
    counts = [
        parameters(authorization.headers("GET", "/")["Authorization"])["nc"] for _ in range(3)
    ]
    assert counts == ["00000001", "00000002", "00000003"]


@pytest.mark.parametrize(
    "challenges",
    [
        ['Basic realm="x"', 'Digest realm="r", nonce="n"'],
        ['Digest realm="r", nonce="n"', 'Basic realm="x"'],
        ['Basic realm="Digest, a=b", Digest realm="r", nonce="n"'],
        ['Digest realm="r", nonce="n", algorithm=X, Digest realm="r", nonce="n", algorithm=MD5'],
    ],
)
def test_digest_is_preferred(challenges: list[str]) -> None:
    assert answered(*challenges).startswith("Digest ")


@pytest.mark.parametrize(
    "challenges", [['Basic realm="x"'], [], ["Other x=y"], ["Digest algorithm=X", "Basic"]]
)
def test_otherwise_basic(challenges: list[str]) -> None:
    encoded = base64.b64encode(b"Mufasa:Circle of Life").decode()
    assert answered(*challenges) == f"Basic {encoded}"


@pytest.mark.parametrize("challenge", ["Digest", 'Digest realm="r", nonce="n", qop="auth-int"'])
def test_password_is_not_sent_openly_to_a_camera_that_wants_digest(challenge: str) -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        answered(challenge)


def test_stale_nonce_is_recognised() -> None:
    authorization = Authorization("a", "b")
    authorization.choose(['Digest realm="r", nonce="n", stale=TRUE'])
    assert authorization.is_stale
    authorization.choose(['Digest realm="r", nonce="n"'])
    assert not authorization.is_stale


@pytest.mark.parametrize("text", ['a="\\",' * 3000, "a=" * 9000, '"' * 9000, "a " * 9000])
def test_no_challenge_costs_much(text: str) -> None:
    with cpu_bound(len(text)):
        answered(text)
