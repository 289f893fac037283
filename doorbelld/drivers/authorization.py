"""Authorization: shows a user and a password, by HTTP Basic or Digest; RTSP uses the same."""

from __future__ import annotations

import hashlib
import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator

_WORD = re.compile(r'([\w-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,]*)|([\w-]+)')
"""A parameter with its value, or else the name of a method, after which its parameters follow."""

_LONGEST = 2000
"""Characters of a challenge that are read."""

_ALGORITHMS = {"md5": "md5", "sha": "sha1", "sha-256": "sha256", "sha-512-256": "sha512_256"}

_OPTIONAL = ("qop", "algorithm")
"""Some cameras send these empty, and mean that there are none."""

Parameters = dict[str, str]


class Authorization:
    """One user and password, and the method by which the camera wants to have them."""

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._password = password
        self._answer: Callable[[str, str], str] | None = None
        self.is_stale = False
        """Whether the camera only wanted a newer nonce: the password was right."""

    def choose(self, challenges: Iterable[str]) -> None:
        """Use the first Digest method that is known, else Basic, from now on.

        ``challenges`` are the values of WWW-Authenticate. Raises ValueError if the camera wants
        Digest in a way that is not known: Basic would give the password away.
        """
        found = [each for text in challenges for each in _read(text[:_LONGEST])]
        digests = [parameters for method, parameters in found if method == "digest"]
        known = [each for each in digests if _is_known(each)]
        self.is_stale = bool(known) and known[0].get("stale", "").lower() == "true"
        if known:
            self._answer = _Digest(self._user, self._password, known[0]).header
        elif digests and not any(method == "basic" for method, _ in found):
            raise ValueError("a Digest challenge of an unknown kind")
        else:
            self._answer = self._basic

    def headers(self, method: str, uri: str) -> dict[str, str]:
        """Return the header for a request; none while the camera has not asked for it."""
        return {"Authorization": self._answer(method, uri)} if self._answer else {}

    def _basic(self, _method: str, _uri: str) -> str:
        return f"Basic {b64encode(f'{self._user}:{self._password}'.encode()).decode()}"


class _Digest:
    """Answers one Digest challenge, as often as its nonce is good for."""

    def __init__(self, user: str, password: str, asked: Parameters) -> None:
        self._user = user
        self._asked = asked
        self._count = 0
        self._cnonce = os.urandom(8).hex()
        name, self._is_session = _algorithm(asked)
        self._hash_name = _ALGORITHMS[name]
        self._secret = self._hash(user, asked["realm"], password)
        if self._is_session:
            self._secret = self._hash(self._secret, asked["nonce"], self._cnonce)

    def header(self, method: str, uri: str) -> str:
        """Return the header's value for a request."""
        asked, self._count = self._asked, self._count + 1
        middle = [asked["nonce"]]
        parameters = {
            "username": re.sub(r'(["\\])', r"\\\1", self._user).encode().decode("latin-1"),
            "realm": asked["realm"],
            "nonce": asked["nonce"],
            "uri": uri,
        }
        rest = ""
        if "algorithm" in asked:
            rest += f", algorithm={asked['algorithm']}"
        if "qop" in asked:
            rest += f", qop=auth, nc={self._count:08x}"
            middle += [f"{self._count:08x}", self._cnonce, "auth"]
        if "qop" in asked or self._is_session:
            rest += f', cnonce="{self._cnonce}"'
        if "opaque" in asked:
            rest += f', opaque="{asked["opaque"]}"'
        parameters["response"] = self._hash(self._secret, *middle, self._hash(method, uri))
        return "Digest " + ", ".join(f'{k}="{v}"' for k, v in parameters.items()) + rest

    def _hash(self, *words: str) -> str:
        data = ":".join(words).encode("utf-8", "surrogateescape")
        return hashlib.new(self._hash_name, data, usedforsecurity=False).hexdigest()


def _is_known(asked: Parameters) -> bool:
    offered = [each.strip().lower() for each in asked.get("qop", "auth").split(",")]
    is_complete = {"realm", "nonce"} <= asked.keys()
    return is_complete and _algorithm(asked)[0] in _ALGORITHMS and "auth" in offered


def _algorithm(asked: Parameters) -> tuple[str, bool]:
    """Return the name of the hash, and whether it is the variant with a session."""
    name = asked.get("algorithm", "md5").lower()
    is_session = name.endswith("-sess")
    return (name[: -len("-sess")] if is_session else name), is_session


def _read(text: str) -> Iterator[tuple[str, Parameters]]:
    """Yield each challenge in a header's value: its method and its parameters."""
    method, parameters = "", Parameters()
    for name, value, other in _WORD.findall(text):
        if not other:
            key, unquoted = name.lower(), value.strip('"')
            if unquoted or key not in _OPTIONAL:
                parameters[key] = unquoted
            continue
        yield method, parameters
        method, parameters = other.lower(), {}
    yield method, parameters
