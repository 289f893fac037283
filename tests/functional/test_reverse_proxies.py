"""The password behind real reverse proxies: the form works, however they change Host."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from doorbelld.access.password import hashed
from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.reverse_proxies import caddy, haproxy, nginx

WORD = "correct horse"
NAME = "door.example.org"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Return a daemon with a password and a host name that trusts a proxy on this machine."""
    folder = tmp_path_factory.mktemp("door")
    (folder / "password").write_text(hashed(WORD))
    with Daemon(folder) as found:
        settings = {
            "camera.resolution": "160x120",
            "access.password_file": folder / "password",
            "access.trusted_proxies": "127.0.0.1",
            "access.hosts": NAME,
        }
        found.start(settings)
        own = {"X-Forwarded-For": "127.0.0.1"}
        eventually(lambda: found.request("/healthz", headers=own)[0].status == 200, "a picture")
        yield found


PROXIES = {
    "nginx that sends its own Host": (nginx, ""),
    "nginx with $host": (nginx, "proxy_set_header Host $host;"),
    "nginx with $http_host": (nginx, "proxy_set_header Host $http_host;"),
    "nginx that sends the name separately": (
        nginx,
        "proxy_set_header X-Forwarded-Host $http_host;",
    ),
    "haproxy": (haproxy, ""),
    "haproxy that sends its own Host": (haproxy, "http-request set-header Host door.local:5000"),
    "Caddy": (caddy, ""),
    "Caddy that sends its own Host": (caddy, "header_up Host {upstream_hostport}"),
}


@pytest.fixture(scope="module", params=PROXIES)
def port(
    request: pytest.FixtureRequest, door: Daemon, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    run, snippet = PROXIES[request.param]
    with run(tmp_path_factory.mktemp("proxy"), door.port, snippet) as found:
        yield found


Ask = Callable[..., http.client.HTTPResponse]


@pytest.fixture
def ask(port: int) -> Ask:
    """Return a function that sends a browser's requests to the proxy."""

    def send(
        path: str, method: str = "GET", body: str = "", **headers: str
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=GUARD)
        try:
            sent = {"Host": f"{NAME}:{port}", "Connection": "close", **headers}
            connection.request(method, path, body or None, sent)
            answer = connection.getresponse()
            answer.read()
            return answer
        finally:
            connection.close()

    return send


def log_in(ask: Ask, page: str, **headers: str) -> http.client.HTTPResponse:
    body = urlencode({"username": "doorbell", "password": WORD})
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return ask("/login", "POST", body, Origin=page, Referer=f"{page}/login", **kind, **headers)


def test_login_and_logout_work_behind_each_proxy(ask: Ask, port: int) -> None:
    page = f"http://{NAME}:{port}"
    assert ask("/login").status == 200
    image = {"Accept": "image/avif,*/*", "Referer": f"{page}/login"}
    assert ask("/login.css", **image).status == 200
    answer = log_in(ask, page)
    assert (answer.status, answer.getheader("Location")) == (303, "./")
    cookie = {"Cookie": (answer.getheader("Set-Cookie") or "").partition(";")[0]}
    for path in ("/", "/status", "/snapshot.jpg"):
        assert ask(path, **cookie).status == 200
        assert ask(path, Referer=f"{page}/", **cookie).status == 200
    answer = ask("/logout", "POST", Origin=page, **cookie)
    assert (answer.status, answer.getheader("Location")) == (303, "login")


def test_browser_that_says_it_is_the_same_origin_is_believed(ask: Ask) -> None:
    for page in ("null", f"https://{NAME}"):
        headers = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "document"}
        assert log_in(ask, page, **headers).status == 303


def test_browser_with_tls_gets_a_cookie_for_tls_alone(ask: Ask) -> None:
    set_cookie = log_in(ask, f"https://{NAME}").getheader("Set-Cookie") or ""
    assert set_cookie.endswith("SameSite=Strict; Secure")


def test_pages_of_other_sites_stay_out(ask: Ask, port: int) -> None:
    for page in (
        *("null", "http://evil.example", f"http://evil.{NAME}:{port}", "http://192.0.2.77"),
        *("http://nas.local", "http://localhost:8123", "http://127.0.0.1:8123"),
    ):
        for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"X-Forwarded-Host": "evil.example"}):
            assert log_in(ask, page, **headers).status == 403, page
    for site in ("cross-site", "same-site"):
        assert log_in(ask, f"http://{NAME}:{port}", **{"Sec-Fetch-Site": site}).status == 403


def test_without_a_proxy_another_port_is_another_site(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(hashed(WORD))
    daemon.start({"access.password_file": tmp_path / "password"})
    for origin, status in (
        (f"http://localhost:{daemon.port}", 303),
        ("http://localhost", 403),
        ("http://localhost:1", 403),
        ("null", 403),
    ):
        headers = {"Host": f"localhost:{daemon.port}", "Origin": origin, "Content-Length": "0"}
        assert daemon.request("/logout", "POST", headers)[0].status == status, origin
