"""Under a path behind the real nginx, HAProxy and Caddy, configured as docs/proxies.md says.

The proxy removes the path, and no header tells doorbelld of it.
"""

from __future__ import annotations

import json
import re
import socket
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from http.cookiejar import CookieJar
from textwrap import indent
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import Request

import pytest

from doorbelld.access.embedding import make_token, new_key
from doorbelld.access.password import Password
from tests.support.daemon import Daemon
from tests.support.passwords import OTHER, WORD, set_password
from tests.support.ports import free_port
from tests.support.proxy_manual import block, moved
from tests.support.proxy_servers import caddy, haproxy, nginx, wait_until_it_listens

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NAME = "home.example.org"
UPSTREAM = "127.0.0.1:5000"
PAGE = {"Accept": "text/html,*/*"}
_ADDRESS = re.compile(r'\b(?:href|src|action)="([^"#]+)"')


def of_nginx(port: int, upstream: str) -> str:
    location = moved(block("nginx path"), (UPSTREAM, upstream))
    return f"server {{\nlisten 127.0.0.1:{port};\n{location}}}\n"


def of_caddy(port: int, upstream: str) -> str:
    site = moved(block("caddy path"), (UPSTREAM, upstream))
    return f"http://:{port} {{\nbind 127.0.0.1\n{indent(site, '    ')}}}\n"


def of_haproxy(port: int, upstream: str) -> str:
    defaults = block("haproxy").partition("frontend")[0]
    path = moved(block("haproxy path"), (UPSTREAM, upstream))
    return f"{defaults}frontend home\n    bind 127.0.0.1:{port}\n{path}"


SERVERS = {"nginx": (nginx, of_nginx), "haproxy": (haproxy, of_haproxy), "caddy": (caddy, of_caddy)}


class Answer(NamedTuple):
    """What a browser has got, and from which address."""

    url: str
    raw: HTTPResponse
    body: bytes

    @property
    def status(self) -> int:
        """Its status."""
        return self.raw.status

    @property
    def leads_to(self) -> str:
        """The path that it redirects to, as a browser resolves it."""
        location: str = self.raw.headers["Location"]
        return urlsplit(urljoin(self.url, location)).path


class Browser:
    """Asks the proxy on a port, and keeps cookies as a browser does."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://{NAME}:{port}"
        self.cookies = CookieJar()
        self._port = port

    def ask(
        self, path: str, headers: Mapping[str, str] = {}, form: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request; with a form, as its page does."""
        url = urljoin(self.origin, path)
        data = urlencode(form).encode() if form is not None else None
        request = Request(url, data, dict(headers))
        if form is not None:
            request.add_header("Origin", self.origin)
        self.cookies.add_cookie_header(request)
        connection = HTTPConnection("127.0.0.1", self._port)
        try:
            sent = {"Host": request.host, **dict(request.header_items())}
            if form is not None:
                sent["Content-Type"] = "application/x-www-form-urlencoded"
            connection.request(request.get_method(), path, data, sent)
            raw = connection.getresponse()
            self.cookies.extract_cookies(raw, request)
            return Answer(url, raw, raw.read())
        finally:
            connection.close()


def start(daemon: Daemon, password: str = "", **settings: object) -> None:
    path = daemon.folder / "password"
    if password:
        set_password(path, password)
        settings["access.password_file"] = path
    proxied = {"access.trusted_proxies": "127.0.0.1", "access.hosts": NAME}
    daemon.start({"camera.resolution": "160x120", **proxied, **settings})
    daemon.wait_for_log("camera streaming")


@pytest.fixture(params=SERVERS)
def browser(daemon: Daemon, request: pytest.FixtureRequest) -> Iterator[Browser]:
    """Return a browser behind a proxy, which serves at /doorbell/ what the daemon will serve."""
    run, written = SERVERS[request.param]
    port, daemon.port = free_port(), free_port()
    with run(daemon.folder, written(port, f"127.0.0.1:{daemon.port}")):
        connect = partial(socket.create_connection, ("127.0.0.1", port))
        wait_until_it_listens(connect, daemon.folder)
        yield Browser(port)


def test_login_and_logout_stay_under_the_path(daemon: Daemon, browser: Browser) -> None:
    start(daemon, WORD)
    for path in ("", "status", "stream/", "webcam/?action=stream", "a/b/c", "live/report?a=/b"):
        answer = browser.ask(f"/doorbell/{path}", PAGE)
        assert (answer.status, answer.leads_to) == (303, "/doorbell/login"), path
    answer = browser.ask("/doorbell/login", form={"password": "wrong"})
    assert (answer.status, list(browser.cookies)) == (401, [])
    assert 'form-action="login"' in answer.raw.headers["WWW-Authenticate"]
    answer = browser.ask("/doorbell/login", form={"password": WORD})
    assert (answer.status, answer.leads_to) == (303, "/doorbell/")
    (cookie,) = browser.cookies
    assert cookie.path == "/doorbell", "no other program at this name gets it"
    for path in ("", "status", "webcam/?action=snapshot"):
        assert browser.ask(f"/doorbell/{path}", PAGE).status == 200
    answer = browser.ask("/doorbell/login", PAGE)
    assert (answer.status, answer.leads_to) == (303, "/doorbell/"), "already logged in"
    answer = browser.ask("/doorbell/logout", form={})
    assert (answer.status, answer.leads_to) == (303, "/doorbell/login")
    assert list(browser.cookies) == []


def test_path_without_a_slash_is_completed_by_the_proxy(daemon: Daemon, browser: Browser) -> None:
    start(daemon)
    answer = browser.ask("/doorbell", PAGE)
    assert (answer.status // 100, answer.leads_to) == (3, "/doorbell/")


def test_everything_that_the_page_names_is_under_the_path(daemon: Daemon, browser: Browser) -> None:
    start(daemon, WORD)
    assert browser.ask("/doorbell/login", form={"password": WORD}).status == 303
    page = browser.ask("/doorbell/", PAGE)
    form = Browser(urlsplit(browser.origin).port or 0).ask("/doorbell/login", PAGE)
    for shown in (page, form):
        named = _ADDRESS.findall(shown.body.decode())
        paths = [urlsplit(urljoin(shown.url, each)).path for each in named if ":" not in each]
        assert len(paths) > 2
        for path in paths:
            assert path.startswith("/doorbell/")
            if not path.endswith("/video_feed"):
                assert browser.ask(path).status in (200, 303), path
    manifest = browser.ask("/doorbell/manifest.webmanifest")
    told = json.loads(manifest.body)
    for name in ("start_url", "scope"):
        assert urlsplit(urljoin(manifest.url, told[name])).path == "/doorbell/"
    assert "id" not in told, "then it is start_url: a browser installs each of several doorbells"
    for icon in told["icons"]:
        assert browser.ask(urlsplit(urljoin(manifest.url, icon["src"])).path).status == 200


def test_pictures_are_found_at_all_their_addresses(daemon: Daemon, browser: Browser) -> None:
    key = daemon.folder / "key"
    key.write_text(new_key())
    start(daemon, WORD, **{"access.embed_key_file": key})
    password_id = Password((daemon.folder / "password").read_text()).key("seal")
    token = make_token(bytes.fromhex(key.read_text()), password_id).decode()
    other_site = {"Referer": "http://dashboard.example/"}
    for path in ("snapshot.jpg?", "snapshot?", "?action=snapshot&", "webcam/?action=snapshot&"):
        answer = browser.ask(f"/doorbell/{path}embed={token}", other_site)
        assert (answer.status, answer.body[:2]) == (200, b"\xff\xd8"), path
        assert browser.ask(f"/doorbell/{path}embed={token[1:]}").status == 401


def test_other_pages_of_the_same_origin_may_frame_it(daemon: Daemon, browser: Browser) -> None:
    start(daemon, **{"access.embed": "https://dashboard.example"})
    policy = browser.ask("/doorbell/", PAGE).raw.headers["Content-Security-Policy"]
    assert policy.endswith("; frame-ancestors https://dashboard.example 'self'")
    # Without a proxy there are no others, and to strangers it says nothing.
    direct, _ = daemon.request("/", headers={"X-Forwarded-For": "8.8.8.8"})
    assert direct.headers["Content-Security-Policy"].endswith("; frame-ancestors 'none'")


def test_two_doorbells_of_one_name_keep_a_login_each(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "garden").mkdir()
    with Daemon(tmp_path / "garden") as garden:
        start(daemon, WORD)
        start(garden, OTHER)
        front = block("nginx path").replace(UPSTREAM, f"127.0.0.1:{daemon.port}")
        back = moved(block("nginx path"), ("/doorbell/", "/garden/"))
        back = back.replace(UPSTREAM, f"127.0.0.1:{garden.port}")
        port = free_port()
        with nginx(tmp_path, f"server {{\nlisten 127.0.0.1:{port};\n{front}{back}}}\n"):
            connect = partial(socket.create_connection, ("127.0.0.1", port))
            wait_until_it_listens(connect, tmp_path)
            browser = Browser(port)
            assert browser.ask("/doorbell/login", form={"password": WORD}).status == 303
            assert browser.ask("/garden/login", form={"password": OTHER}).status == 303
            for path in ("/doorbell/status", "/garden/status"):
                assert browser.ask(path).status == 200, path
            browser.ask("/garden/logout", form={})
            assert browser.ask("/garden/status").status == 401
            assert browser.ask("/doorbell/status").status == 200


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/status", "login"),
        ("/status?a=/b/c#/d", "login"),
        ("http://localhost/a/b?/c", "../login"),
        ("http://localhost", "login"),
        ("/a" * 1000, "../" * 16 + "login"),
    ],
)
def test_redirect_finds_the_way_up(daemon: Daemon, target: str, location: str) -> None:
    set_password(daemon.folder / "password", WORD)
    daemon.start({"access.password_file": daemon.folder / "password"})
    with daemon.connect() as sock:
        sock.sendall(
            f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n".encode()
        )
        answer = HTTPResponse(sock)
        answer.begin()
        assert (answer.status, answer.headers["Location"]) == (303, location)
        answer.close()
