"""The token in a notification answers one visit, from any app or page, and does nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from doorbelld.access.ring_token import RingToken, new_token
from tests.support.daemon import Daemon
from tests.support.kept_visits import KeptVisits, film
from tests.support.passwords import WORD, cookie_of, log_in, set_password

WEB_APP = {"Origin": "https://ntfy.example", "Sec-Fetch-Site": "cross-site"}
"""What a browser sends for the page of an ntfy server."""


class House(NamedTuple):
    """A daemon with a password and with three visits."""

    daemon: Daemon
    kept: KeptVisits

    def token(self, visit: int) -> str:
        """Return the token that the notification of a visit has."""
        return RingToken(self.kept.folder / "ring_token").answer_token(visit)

    def post(self, path: str, headers: Mapping[str, str] = {}) -> tuple[int, str | None]:
        """Return the status, and which pages may read the answer."""
        answer, _ = self.daemon.request(path, "POST", headers)
        return answer.status, answer.getheader("Access-Control-Allow-Origin")

    def answered(self) -> list[int]:
        """Return the visits that were answered."""
        cookie = cookie_of(log_in(self.daemon, WORD)[0])
        found: Any = json.loads(self.daemon.request("/visits.json", "GET", {"Cookie": cookie})[1])
        return sorted(each["id"] for each in found["visits"] if each["answered"])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    kept = KeptVisits(folder / "state")
    for _ in range(4):
        kept.add(film(3))
    set_password(folder / "password", WORD)
    settings = {
        "camera.resolution": "160x120",
        "access.password_file": folder / "password",
        **kept.settings(),
    }
    with Daemon(folder) as daemon:
        daemon.start(settings, environ=kept.environ, arguments=["-v"])
        yield House(daemon, kept)


def test_it_answers_its_visit_without_the_password(house: House) -> None:
    assert house.post(f"/visits/1/answered?token={house.token(1)}") == (200, "*")
    assert house.answered() == [1]
    assert house.post(f"/visits/1/answered?token={house.token(1)}")[0] == 200, "a second tap"


def test_it_answers_its_visit_from_the_page_of_another_site(house: House) -> None:
    assert house.post(f"/visits/2/answered?token={house.token(2)}", WEB_APP) == (200, "*")
    assert 2 in house.answered()


def test_only_the_token_of_the_visit_is_right(house: House) -> None:
    good = house.token(3)
    for wrong in ("", good[:-1], f"{good}x", good.lower(), house.token(4), house.kept.token, "ü"):
        for headers in ({}, WEB_APP):
            status, readers = house.post(f"/visits/3/answered?token={quote(wrong)}", headers)
            assert status in (401, 403), wrong
            assert readers is None
    assert 3 not in house.answered()


def test_it_does_nothing_else(house: House) -> None:
    token = house.token(3)
    for path in ("/visits/3/delete", "/visits/delete", "/shutter", "/ring", "/live/report"):
        assert house.post(f"{path}?token={token}&closed=yes")[0] in (401, 403), path
    for path in ("/", "/status", "/visits/3.jpg", "/visits/3.json", "/visits", "/live", "/ring"):
        answer, body = house.daemon.request(f"{path}?token={token}", "GET")
        assert answer.status in (401, 403), path
        assert b'"visit"' not in body
    answer, _ = house.daemon.request(f"/visits/3/answered?token={token}", "GET")
    assert answer.status == 401
    assert 3 not in house.answered()


def test_it_ends_with_the_ring_token_and_is_never_logged(house: House) -> None:
    old = house.token(3)
    house.kept.set_token(new_token())
    assert house.post(f"/visits/3/answered?token={old}")[0] == 401
    assert house.post(f"/visits/3/answered?token={house.token(3)}")[0] == 200
    (house.kept.folder / "ring_token").unlink()
    (house.kept.folder / "ring_token").mkdir()
    for token in ("", old):
        assert house.post(f"/visits/4/answered?token={token}")[0] == 401
    assert 4 not in house.answered()
    assert old not in house.daemon.log()
    assert "answered?token=..." in house.daemon.log()
