"""Ringing and the shutter over HTTP: who may, and who may not."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from doorbelld.access.embedding import make_token, new_key
from doorbelld.access.password import Password
from doorbelld.access.ring_token import new_token
from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.kept_visits import KeptVisits, film
from tests.support.passwords import WORD, basic, cookie_of, log_in, set_password
from tests.support.raw import exchange, only_answer
from tests.support.reverse_proxies import caddy, haproxy, nginx

OTHER_SITE = {"Origin": "http://evil.example"}
LINK = {"Referer": "http://evil.example/", "Accept": "text/html,*/*"}


class Door(NamedTuple):
    """A daemon with a ring token."""

    daemon: Daemon
    kept: KeptVisits

    def ask(
        self, path: str, method: str = "POST", headers: Mapping[str, str] = {}
    ) -> tuple[http.client.HTTPResponse, Any]:
        answer, body = self.daemon.request(path, method, headers)
        is_json = answer.getheader("Content-Type") == "application/json"
        return answer, json.loads(body) if is_json else body.decode()

    def ring(self, method: str = "POST", headers: Mapping[str, str] = {}) -> int:
        """Ring with the token in the URL; return the status."""
        return self.ask(f"/ring?token={self.kept.token}", method, headers)[0].status

    def presses(self, headers: Mapping[str, str] = {}) -> int:
        """Return how often the bell has rung."""
        visits = self.ask("/visits.json", "GET", headers)[1]["visits"]
        return sum(each["presses"] for each in visits)


def opened(daemon: Daemon, folder: Path, **settings: object) -> Door:
    kept = KeptVisits(folder / "state")
    settings = {"camera.resolution": "160x120", **kept.settings(), **settings}
    daemon.start(settings, environ=kept.environ, arguments=["-v"])
    return Door(daemon, kept)


@pytest.fixture
def door(daemon: Daemon, tmp_path: Path) -> Door:
    return opened(daemon, tmp_path)


@pytest.fixture
def locked(daemon: Daemon, tmp_path: Path) -> Door:
    set_password(tmp_path / "password", WORD)
    return opened(daemon, tmp_path, **{"access.password_file": tmp_path / "password"})


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Return a door at which no test rings."""
    folder = tmp_path_factory.mktemp("shared")
    with Daemon(folder) as daemon:
        yield opened(daemon, folder)


def test_token_rings_in_every_way_that_devices_have(door: Door) -> None:
    bearer = {"Authorization": f"Bearer {door.kept.token}"}
    answer, first = door.ask(f"/ring?token={door.kept.token}", "GET")
    assert (answer.status, first) == (200, {"visit": 1, "presses": 1})
    assert answer.getheader("Cache-Control") == "no-store"

    def press(path: str, method: str, headers: Mapping[str, str]) -> int:
        """Ring again, until it does not count as a bounce of the press before."""
        found: list[Any] = []

        def look() -> bool:
            answer, body = door.ask(path, method, headers)
            found[:] = [body]
            return answer.status == 200

        eventually(look, "it rings")
        assert found[0]["visit"] == 1
        return int(found[0]["presses"])

    assert press(f"/ring?token={door.kept.token}", "POST", {}) == 2
    assert press("/ring", "POST", bearer) == 3
    assert press("/ring", "GET", bearer) == 4
    body = f"POST /ring?token={door.kept.token} HTTP/1.1\r\nContent-Length: 2\r\n\r\n{{}}"
    with door.daemon.connect() as sock:
        sock.sendall(body.encode())
        assert sock.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 429"), "a device may send a body"


def test_nothing_rings_without_the_token(shared: Door) -> None:
    token = shared.kept.token
    for query in ("", "?token=", "?token=wrong", f"?token={token[:-1]}", f"?token={token}x"):
        for method in ("GET", "POST"):
            answer, body = shared.ask(f"/ring{query}", method)
            assert answer.status in (403, 429)
            assert token not in body
    wrong: list[dict[str, str]] = [
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {token}"},
        {"Authorization": f"Bearer {token} {token}"},
        {"Cookie": f"token={token}"},
        {"Cookie": "doorbelld=x"},
    ]
    for headers in wrong:
        assert shared.ask("/ring", "POST", headers)[0].status in (403, 429)
    assert shared.ask(f"/ring?token={token}&token=x")[0].status in (403, 429), "the last one counts"
    assert shared.ring("HEAD") == 405
    assert shared.presses() == 0


@pytest.mark.parametrize(
    "headers",
    [
        OTHER_SITE,
        LINK,
        {"Origin": "null"},
        {"Referer": "http://evil.example/"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Accept": "text/html"},
        {"Sec-Fetch-Site": "none", "Sec-Purpose": "prefetch;prerender"},
        {"X-Purpose": "preview"},
        {"Purpose": "prefetch"},
    ],
)
def test_no_other_site_rings_though_it_knows_the_token(
    shared: Door, headers: Mapping[str, str]
) -> None:
    assert shared.ring("GET", headers) == 403
    assert shared.ring("POST", headers) == 403
    assert shared.presses() == 0


def test_a_person_may_open_the_url(door: Door) -> None:
    here = f"http://127.0.0.1:{door.daemon.port}"
    assert door.ring("GET", {"Sec-Fetch-Site": "none", "Accept": "text/html"}) == 200
    ours = {"Origin": here, "Sec-Fetch-Site": "same-origin"}
    eventually(lambda: door.ring("POST", ours) == 200, "our own page rings")


def test_site_that_may_show_the_picture_may_not_ring(daemon: Daemon, tmp_path: Path) -> None:
    door = opened(daemon, tmp_path, **{"access.embed": "http://dash.example"})
    for headers in ({"Origin": "http://dash.example"}, {"Referer": "http://dash.example/"}):
        for path in ("/shutter?closed=yes", "/visits/1/answered", "/visits/delete"):
            assert door.ask(path, "POST", headers)[0].status == 403
        assert door.ring("GET", headers) == door.ring("POST", headers) == 403
    assert door.presses() == 0


def test_password_opens_no_way_around_the_token(locked: Door) -> None:
    assert locked.ask("/ring")[0].status == 403
    assert locked.ask("/ring", headers=basic(WORD))[0].status == 403
    assert locked.ring("GET") == 200, "the token needs no password"
    cookie = {"Cookie": cookie_of(log_in(locked.daemon, WORD)[0])}
    assert locked.ask("/ring", "GET", cookie)[0].status == 403, "any page could send that"
    assert locked.ask("/ring", "POST", {**cookie, **OTHER_SITE})[0].status == 403
    eventually(lambda: locked.ask("/ring", "POST", cookie)[0].status == 200, "the cookie rings")
    assert locked.presses(cookie) == 2


def test_token_opens_nothing_else(locked: Door) -> None:
    token = locked.kept.token
    assert locked.ring() == 200
    for path in ("/", "/status", "/visits", "/visits.json", "/visits/1.json", "/visits/1.jpg"):
        assert locked.ask(f"{path}?token={token}", "GET")[0].status == 401
        headers = {"Authorization": f"Bearer {token}"}
        assert locked.ask(path, "GET", headers)[0].status == 401
    for path in ("/visits/1/answered", "/visits/1/delete", "/visits/delete", "/shutter"):
        assert locked.ask(f"{path}?closed=yes&token={token}")[0].status == 401


def test_embed_url_opens_no_visit(daemon: Daemon, tmp_path: Path) -> None:
    set_password(tmp_path / "password", WORD)
    (tmp_path / "key").write_text(new_key())
    kept = KeptVisits(tmp_path / "state")
    number = kept.add(film(3), still=film(1)[0])
    daemon.start(
        {
            **kept.settings(),
            "access.password_file": tmp_path / "password",
            "access.embed_key_file": tmp_path / "key",
        },
        environ=kept.environ,
    )
    password_id = Password((tmp_path / "password").read_text()).key("seal")
    embed = make_token(bytes.fromhex((tmp_path / "key").read_text()), password_id).decode()
    assert daemon.request(f"/snapshot.jpg?embed={embed}")[0].status != 401
    for what in (".json", ".jpg", "/0.jpg", ".mjpeg", "/video"):
        assert daemon.request(f"/visits/{number}{what}?embed={embed}")[0].status == 401
    for path in ("/visits", "/visits.json"):
        assert daemon.request(f"{path}?embed={embed}")[0].status == 401
    for query in (f"embed={embed}", f"token={embed}"):
        assert daemon.request(f"/ring?{query}", "POST")[0].status == 403


def test_new_token_ends_the_old_one_at_once(door: Door) -> None:
    old = door.kept.token
    assert door.ring() == 200
    door.kept.set_token(new_token())
    assert door.ask(f"/ring?token={old}")[0].status == 403
    eventually(lambda: door.ring() == 200, "the new one rings")


def test_token_is_made_if_there_is_none(daemon: Daemon, tmp_path: Path) -> None:
    kept = KeptVisits(tmp_path / "state")
    path = tmp_path / "made"
    daemon.start({"bell.token_file": path}, environ=kept.environ)
    assert path.stat().st_mode & 0o777 == 0o600
    token = path.read_text().strip()
    assert daemon.request(f"/ring?token={token}", "POST")[0].status == 200


def test_token_is_beside_the_visits_by_default(daemon: Daemon, tmp_path: Path) -> None:
    kept = KeptVisits(tmp_path / "state")
    daemon.start(environ=kept.environ)
    assert daemon.request(f"/ring?token={kept.token}", "POST")[0].status == 200


def test_token_is_never_logged_or_shown(door: Door) -> None:
    token = door.kept.token
    assert door.ring("GET") == 200
    door.ring("GET", LINK)
    door.ring("HEAD")
    for request in (
        f"GET /ring?TOKEN={token} HTTP/1.1\r\nConnection: close\r\n\r\n",
        f"GET /ring?a=b;%74o%6Ben={token} HTTP/1.1\r\nConnection: close\r\n\r\n",
        f"GET /ring?token={token} HTTP/0.9\r\n\r\n",
        f"GET /ring?token={token}\r\n\r\n",
        f"GET http://evil.example/ring?token={token} HTTP/1.1\r\n\r\n",
        f"POST /ring?token={token} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        f"GET /ring?token={token} HTTP/1.1\r\nbad\r\n\r\n",
        f"GET /nothing?token={token} HTTP/1.1\r\nConnection: close\r\n\r\n",
    ):
        assert token.encode() not in exchange(door.daemon, request.encode())
    door.daemon.wait_for_log("/nothing")
    log = door.daemon.log()
    assert "token=..." in log
    assert token not in log
    assert token not in json.dumps(door.daemon.status())


def test_wrong_tokens_have_to_wait_and_the_right_one_does_not(door: Door) -> None:
    def guess(source: str = "127.0.0.1") -> tuple[int, str]:
        with door.daemon.connect(source=source) as sock:
            sock.sendall(b"POST /ring?token=guess HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            return answer.status, answer.getheader("Retry-After") or ""

    statuses = [guess() for _ in range(6)]
    assert statuses[:5] == [(403, "")] * 5
    status, seconds = statuses[5]
    assert status == 429
    assert 1 <= int(seconds) <= 2
    assert guess("127.0.0.2") == (403, ""), "another address"
    assert door.ring() == 200, "the bell behind the same address"
    assert door.daemon.log().count("refused: wrong ring token") == 2
    assert door.daemon.request("/status")[0].status == 200


def test_flood_of_presses_is_bounded(door: Door) -> None:
    answers = []
    begin = time.monotonic()
    with door.daemon.connect() as sock:
        for _ in range(100):
            sock.sendall(f"GET /ring?token={door.kept.token} HTTP/1.1\r\n\r\n".encode())
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            answer.read()
            answers.append((answer.status, answer.getheader("Retry-After")))
    rung = answers.count((200, None))
    assert 1 <= rung <= 30 + 2 * (time.monotonic() - begin) + 1
    assert set(answers) <= {(200, None), (429, "1")}
    assert door.presses() == rung


def test_shutter_is_closed_and_opened(door: Door) -> None:
    door.daemon.wait_for_state("streaming")
    answer, body = door.ask("/shutter?closed=yes")
    assert (answer.status, body["closed"]) == (200, True)
    assert time.time() - GUARD < body["since"] < time.time() + 1
    door.daemon.wait_for_state("offline")
    assert door.ask("/shutter?closed=no")[1]["closed"] is False
    door.daemon.wait_for_state("streaming")
    for query in ("", "?closed=", "?closed=1", "?closed=YES"):
        answer, why = door.ask(f"/shutter{query}")
        assert (answer.status, why) == (400, "closed must be yes or no\n")
    assert door.ask("/shutter?closed=yes", "POST", OTHER_SITE)[0].status == 403
    assert door.daemon.status()["shutter"]["closed"] is False


@pytest.mark.parametrize("proxy", [nginx, haproxy, caddy])
def test_all_works_behind_a_proxy(daemon: Daemon, tmp_path: Path, proxy: Any) -> None:
    kept = KeptVisits(tmp_path / "state")
    pictures = film(256, kilobytes=20)
    number = kept.add(pictures, still=pictures[0])
    daemon.start({**kept.settings(), "access.trusted_proxies": "127.0.0.1"}, environ=kept.environ)
    with proxy(tmp_path, daemon.port, "") as port:
        front = Daemon(tmp_path / "front")
        front.port = port
        eventually(lambda: front.request(f"/visits/{number}.json")[0].status == 200, "it is read")
        assert front.request(f"/visits/{number}.mjpeg")[1] == b"".join(pictures)
        range_ = {"Range": "bytes=1000-"}
        answer, body = front.request(f"/visits/{number}.mjpeg", "GET", range_)
        assert (answer.status, body) == (206, b"".join(pictures)[1000:])
        assert front.request(f"/visits/{number}/video")[1].count(b"X-Timestamp") == 256
        still = json.loads(front.request("/visits.json")[1])["visits"][0]["still"]
        assert re.fullmatch(r"visits/\d+\.jpg\?v=1", still), "relative to the page"
        assert front.request(f"/{still}")[1] == pictures[0]
        assert front.request(f"/ring?token={kept.token}")[0].status == 200
        assert front.request(f"/visits/{number}/answered", "POST", OTHER_SITE)[0].status == 403
        assert front.request(f"/visits/{number}/delete", "POST")[0].status == 204


def test_requests_that_are_no_ring_are_answered_as_ever(shared: Door) -> None:
    answer = only_answer(
        exchange(shared.daemon, b"GET /rings HTTP/1.1\r\nConnection: close\r\n\r\n")
    )
    assert answer.status == 404
