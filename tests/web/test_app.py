"""The app: one site for each request, swapped as a whole, and streams that are checked again."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from doorbelld.access import embedding
from doorbelld.access.authenticator import Authenticator
from doorbelld.access.embedding import Embedding
from doorbelld.access.password import hashed
from doorbelld.access.policy import Access
from doorbelld.net.handover import Handover
from doorbelld.notify.target import Result
from doorbelld.server.framing import read_head
from doorbelld.server.limits import Limits
from doorbelld.server.request import Headers, Request
from doorbelld.server.response import Response
from doorbelld.stream.broadcaster import Broadcaster
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.state import CameraState, CameraStatus
from doorbelld.system import secretfile
from doorbelld.visits.doorbell import BellSettings, Doorbell
from doorbelld.web import assets
from doorbelld.web.app import App
from doorbelld.web.site import Site
from tests.support.daemon import GUARD, eventually

NEAR, PASSWORD = "192.168.1.2", "open-sesame"


@pytest.fixture
def broadcaster() -> Iterator[Broadcaster]:
    found = Broadcaster(FrameHub(), Handover().viewers, max_viewers=2, stall_timeout=GUARD)
    found.start()
    yield found
    assert found.stop(GUARD)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    password, key = tmp_path / "password", tmp_path / "key"
    secretfile.write(password, hashed(PASSWORD).encode())
    secretfile.write(key, embedding.new_key().encode())
    access = Access(own=list)
    return Site(access, Authenticator(password), Embedding(key), assets.load("Front door"))


@pytest.fixture
def app(site: Site, broadcaster: Broadcaster) -> Iterator[App]:
    hub = FrameHub()
    doorbell = Doorbell(
        BellSettings(),
        hub,
        None,
        pause=lambda _closed: None,
        reason=lambda: "silent",
        on_change=broadcaster.renew,
    )
    results = [Result("ntfy", True, "it has arrived"), Result("mqtt", False, "nas is away")]
    limits = Limits(4, 1.0, 1.0)
    yield App(site, hub, broadcaster, camera_status, lambda: limits, doorbell, lambda: results)
    assert doorbell.stop(GUARD)


def camera_status() -> CameraStatus:
    return CameraStatus(
        name="Front door",
        source="none",
        state=CameraState.OFFLINE,
        detail="no camera",
        reason="none",
        since=0.0,
        width=None,
        height=None,
        fps=0.0,
        frames=0,
        invalid=0,
        reopened=0,
        age_ms=None,
    )


def with_login(target: str, peer: str = NEAR) -> Request:
    fields = (("Authorization", "Basic eDpvcGVuLXNlc2FtZQ=="),)
    return Request("GET", target, "HTTP/1.1", Headers(fields), peer=peer)


def take_over(response: Response, sock: socket.socket) -> bool:
    assert response.take_over is not None
    return response.take_over(sock, response.encode(close=True), None)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return both ends of a connection; the broadcaster may close the first."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), GUARD)
        server, _ = listener.accept()
    with server, client:
        yield server, client


def is_over(client: socket.socket) -> bool:
    while some := client.recv(1 << 16):
        assert some
    return True


def test_stream_goes_to_the_broadcaster(
    app: App, broadcaster: Broadcaster, ends: tuple[socket.socket, socket.socket]
) -> None:
    response = app(with_login("/video_feed?key=me"))
    assert response.status == 200
    assert take_over(response, ends[0])
    eventually(lambda: broadcaster.viewers("me"), "a viewer")
    assert ends[1].recv(17) == b"HTTP/1.1 200 OK\r\n"


def test_answer_that_is_sent_without_a_free_place_is_complete(
    app: App, broadcaster: Broadcaster, ends: tuple[socket.socket, socket.socket]
) -> None:
    response = app(with_login("/video_feed"))
    broadcaster.max_viewers = 0
    assert not take_over(response, ends[0])
    assert response.otherwise is not None
    assert response.otherwise.status == 503
    assert response.otherwise.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("change", ["password", "networks", "tls"])
def test_rules_that_change_before_the_stream_begins_end_it(
    app: App, site: Site, change: str, ends: tuple[socket.socket, socket.socket]
) -> None:
    """The other streams were checked before this one has begun, so it has to be checked itself."""
    response = app(with_login("/video_feed"))
    assert response.status == 200
    if change == "password":
        assert site.authenticator.path is not None
        secretfile.write(site.authenticator.path, hashed("another").encode())
        assert site.authenticator.refresh()
    elif change == "networks":
        app._site = replace(site, access=Access(networks=["10.0.0.0/8"], own=list))
    else:
        app._site = replace(site, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    assert take_over(response, ends[0])
    assert is_over(ends[1])


def test_change_ends_the_streams_that_are_not_allowed_any_more(
    app: App, site: Site, broadcaster: Broadcaster, ends: tuple[socket.socket, socket.socket]
) -> None:
    assert take_over(app(with_login("/video_feed?key=me")), ends[0])
    app.change(replace(site, hsts=True))
    app.recheck()
    eventually(lambda: broadcaster.viewers("me"), "a viewer")
    app.change(replace(site, access=Access(networks=["10.0.0.0/8"], own=list)))
    assert is_over(ends[1])


def test_site_that_changes_during_a_request_does_not_count_for_it(app: App, site: Site) -> None:
    class Changing(Access):
        """Changes the site as soon as a request is judged."""

        def admits(self, client: str) -> bool:
            app.change(replace(site, assets={}, tls=None))
            return super().admits(client)

    app.change(replace(site, access=Changing(own=list)))
    request = with_login("/app.js")
    assert app(request).status == 200
    assert app.site.assets == {}
    assert app(request).status == 404


@pytest.mark.parametrize(("peer", "expected"), [(NEAR, True), ("8.8.8.8", False)])
def test_body_is_read_only_from_clients_that_may_watch(app: App, peer: str, expected: bool) -> None:
    head = read_head(b"POST /login HTTP/1.1\r\nContent-Length: 3\r\n\r\n")
    assert app.may_send_body(head, peer) is expected


def post(path: str, *fields: tuple[str, str], login: bool = True) -> Request:
    known = (("Authorization", "Basic eDpvcGVuLXNlc2FtZQ=="),) * login
    return Request("POST", path, "HTTP/1.1", Headers((*known, *fields)), peer=NEAR)


def test_test_of_the_messages_says_how_each_went(app: App) -> None:
    response = app(post("/notify/test"))
    assert response.status == 200
    assert json.loads(response.body) == [
        {"target": "ntfy", "delivered": True, "sentence": "it has arrived"},
        {"target": "mqtt", "delivered": False, "sentence": "nas is away"},
    ]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post("/notify/test", login=False), 401),
        (post("/notify/test", ("Origin", "https://evil.example"), ("Host", "door")), 403),
        (with_login("/notify/test"), 405),
    ],
)
def test_only_our_own_page_and_programs_send_a_test(
    app: App, request_: Request, status: int
) -> None:
    assert app(request_).status == status


def test_tests_are_few(app: App) -> None:
    assert [app(post("/notify/test")).status for _ in range(4)] == [200, 200, 200, 429]
    response = app(post("/notify/test"))
    assert response.body == b"there were too many tests, try again in 10 s\n"
    assert response.headers["Retry-After"] == "10"


def test_one_test_at_a_time(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    during = []

    def test_messages() -> list[Result]:
        during.append(app(post("/notify/test")))
        return []

    bell = app._forms["/notify/test"].__self__  # type: ignore[attr-defined]
    monkeypatch.setattr(bell, "_test_messages", test_messages)
    assert app(post("/notify/test")).body == b"[]\n"
    assert [(each.status, each.body) for each in during] == [
        (429, b"another test is under way, try again in 1 s\n")
    ]
    assert app(post("/notify/test")).status == 200, "the second cost nothing"


def test_page_that_may_show_ours_sends_no_test(app: App, site: Site) -> None:
    origin = "https://dashboard.example"
    app.change(replace(site, access=Access(own=list, embed=(origin,))))
    response = app(post("/notify/test", ("Origin", origin), ("Host", "door"), login=True))
    assert (response.status, response.body) == (403, b"another web site asks for this\n")
