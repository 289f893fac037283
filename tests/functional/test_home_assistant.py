"""As an add-on of Home Assistant: through its ingress, which changes requests and answers."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlencode

import pytest

from tests.support.daemon import GUARD, ROOT, Daemon
from tests.support.home_assistant import PREFIX, HomeAssistant
from tests.support.passwords import WORD, set_password

PAGE = (ROOT / "docs" / "programs.md").read_text(encoding="utf-8")
(SETTINGS,) = re.findall(r"^```ini\n\[access\]\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
BROWSER = {"Accept-Encoding": "gzip, deflate", "Accept": "text/html,*/*"}


def start(daemon: Daemon, **more: str) -> Daemon:
    """Start a daemon with a password, configured as docs/programs.md says."""
    set_password(daemon.folder / "password", WORD)
    settings = dict(line.split(" = ") for line in SETTINGS.splitlines())
    # Here the Supervisor's connections come from this machine itself.
    settings["trusted_proxies"] += ", 127.0.0.1"
    access = {f"access.{key}": value for key, value in settings.items()}
    access["access.password_file"] = str(daemon.folder / "password")
    daemon.start({"camera.resolution": "160x120", **access, **more})
    daemon.wait_for_log("camera streaming")
    return daemon


@pytest.fixture
def addon(daemon: Daemon) -> Daemon:
    return start(daemon)


@pytest.fixture
def home(addon: Daemon) -> Iterator[HomeAssistant]:
    with HomeAssistant(addon.port) as found:
        yield found


class Answer:
    """An answer with its body."""

    def __init__(self, raw: HTTPResponse) -> None:
        self.status, self.headers, self.body = raw.status, raw.headers, raw.read()


def connect(home: HomeAssistant) -> HTTPConnection:
    return HTTPConnection("127.0.0.1", home.port, timeout=GUARD)


def ask(
    home: HomeAssistant, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> Answer:
    connection = connect(home)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {**BROWSER, "Host": home.origin.partition("//")[2], **named}
    try:
        connection.request(method, PREFIX + path, body, sent)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def log_in(home: HomeAssistant, **headers: str) -> str:
    """Return the cookie that the form gives."""
    form = urlencode({"username": "doorbell", "password": WORD})
    kind = "application/x-www-form-urlencoded"
    headers = {"Origin": home.origin, "Content_Type": kind, **headers}
    answer = ask(home, "login", "POST", form, **headers)
    assert (answer.status, answer.headers["Location"]) == (303, "./")
    return str(answer.headers["Set-Cookie"])


def test_page_may_be_shown_in_its_frame(home: HomeAssistant) -> None:
    answer = ask(home, "login")
    assert answer.status == 200
    assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]
    assert ask(home, "").headers["Location"] == "login"


def test_login_is_kept_for_the_addon_alone(home: HomeAssistant) -> None:
    set_cookie = log_in(home)
    assert "Path" not in set_cookie, "the browser would send it to Home Assistant's other add-ons"
    cookie = set_cookie.partition(";")[0]
    for path in ("", "status", "snapshot.jpg", "app.js"):
        assert ask(home, path, Cookie=f"ingress_session=x; {cookie}").status == 200


@pytest.mark.parametrize(
    ("embed", "name"), [("none", "doorbelld"), ("https://x.example", "doorbelld_framed")]
)
def test_log_out_clears_the_cookie_though_only_the_last_is_passed_on(
    daemon: Daemon, embed: str, name: str
) -> None:
    start(daemon, **{"access.embed": embed})
    with HomeAssistant(daemon.port) as home:
        # As if a proxy in front of Home Assistant had the certificate.
        origin = home.origin.replace("http:", "https:")
        secure = {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Dest": "iframe"}
        cookie = log_in(home, Origin=origin, **secure).partition(";")[0]
        assert cookie.startswith(f"{name}=")
        answer = ask(home, "logout", "POST", Origin=origin, Cookie=cookie, **secure)
        cleared = answer.headers.get_all("Set-Cookie") or []
        assert [each.partition(";")[0] for each in cleared] == [f"{name}="]


def test_stream_of_the_page_comes_at_once_and_unchanged(home: HomeAssistant) -> None:
    cookie = log_in(home).partition(";")[0]
    connection = connect(home)
    try:
        headers = {**BROWSER, "Host": home.origin.partition("//")[2], "Cookie": cookie}
        connection.request("GET", f"{PREFIX}live?v=1&key=me&quality=auto", headers=headers)
        stream = connection.getresponse()
        assert (stream.status, stream.headers["Content-Encoding"]) == (200, None)
        assert abs(float(stream.headers["X-Now"]) - time.time()) < GUARD
        kinds = [read_part(stream)["content-type"] for _ in range(20)]
        assert kinds[0] == "application/json"
        assert "image/jpeg" in kinds
        report = ask(
            home, "live/report?key=me&age=1&rate=9", "POST", Origin=home.origin, Cookie=cookie
        )
        assert report.status == 204
        stream.close()
    finally:
        connection.close()


def read_part(stream: HTTPResponse) -> http.client.HTTPMessage:
    assert stream.readline() == b"--frame\r\n"
    headers = http.client.parse_headers(stream)
    assert len(stream.read(int(headers["Content-Length"]) + 2)) > 2
    return headers


def test_strangers_behind_it_are_strangers(addon: Daemon) -> None:
    with HomeAssistant(addon.port, client="8.8.8.8") as home:
        assert ask(home, "healthz").status == 403
    with HomeAssistant(addon.port, client="192.168.1.2") as home:
        assert ask(home, "healthz").status == 200
