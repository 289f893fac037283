"""Rings on the real ntfy server, as its subscribers get them."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from doorbelld.notify.ntfy import Ntfy, NtfySettings
from doorbelld.notify.target import Event
from tests.support.daemon import Daemon, eventually
from tests.support.kept_visits import KeptVisits
from tests.support.news import PICTURE, facts, ring
from tests.support.ntfy_server import NtfyServer

NAMES = [
    "Front door",
    "Tür „vorne“, rechts",
    'a "quoted", name; with=signs \\ and / {json}',
    "門\U0001f514",
    "=?UTF-8?B?eA==?=",
    "two\nlines\r\nX-Priority: 1",
    "ü" * 200,
]


@contextmanager
def target(url: str, token_file: Path | None = None, max_age: float = 60.0) -> Iterator[Ntfy]:
    made = Ntfy(NtfySettings(url, token_file), lambda visit: f"token-{visit}", max_age)
    made.show(facts())
    made.start()
    try:
        yield made
    finally:
        assert made.stop(5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NtfyServer]:
    """Return a server that takes everything."""
    folder = tmp_path_factory.mktemp("ntfy") / "server"
    with NtfyServer(folder, visitor_request_limit_burst=10_000) as found:
        yield found


def test_subscriber_gets_the_picture_byte_for_byte(server: NtfyServer) -> None:
    with server.subscribe() as subscriber, target(server.topic_url) as ntfy:
        ntfy.tell(ring(12))
        message = subscriber.next()
        eventually(lambda: ntfy.status().delivered == 1, "it is counted")
        status = ntfy.status()
        assert (status.state, status.detail, status.since) == ("ok", "", None)
        assert (status.failed, status.dropped) == (0, 0)
    assert (message["title"], message["message"]) == ("Front door", "The bell rang.")
    assert message["priority"] == 5
    assert message["tags"] == ["bell"]
    assert message["click"] == "http://192.168.1.9:5000/visits#12"
    show, answer = message["actions"]
    assert (show["action"], show["label"], show["url"]) == (
        "view",
        "Live",
        "http://192.168.1.9:5000/",
    )
    assert (answer["action"], answer["label"], answer["method"]) == ("http", "Answered", "POST")
    assert answer["url"] == "http://192.168.1.9:5000/visits/12/answered?token=token-12"
    assert answer["clear"], "it goes once that has worked"
    assert message["attachment"]["type"] == "image/jpeg"
    assert message["attachment"]["name"] == "doorbell-12.jpg"
    assert server.attachment(message) == PICTURE


def test_only_a_ring_is_a_message(server: NtfyServer) -> None:
    with server.subscribe() as subscriber, target(server.topic_url) as ntfy:
        for event in (Event.PICTURE, Event.ANSWERED, Event.DELETED):
            ntfy.tell(ring(13, event=event))
        ntfy.tell(ring(13, presses=2, reason="silent"))
        message = subscriber.next()
    assert message["message"] == "The bell rang again. No picture: the camera sends no picture."
    assert "attachment" not in message
    assert len(message["actions"]) == 2


def test_any_name_of_a_camera_is_its_title(server: NtfyServer) -> None:
    with server.subscribe() as subscriber, target(server.topic_url) as ntfy:
        for name in NAMES:
            ntfy.show(facts(name, "http://[fd00::9]:5000/a,b;c=ü/"))
            ntfy.tell(ring())
            message = subscriber.next()
            assert message["title"] == " ".join(name.split())
            assert message["priority"] == 5
            assert message["click"] == "http://[fd00::9]:5000/a,b;c=ü/visits#12"
            assert message["actions"][0]["url"] == "http://[fd00::9]:5000/a,b;c=ü/"


def test_test_message_says_so(server: NtfyServer) -> None:
    with server.subscribe() as subscriber, target(server.topic_url) as ntfy:
        result = ntfy.test(ring(12), 20)
        message = subscriber.next()
        assert ntfy.status().delivered == 0
    assert (result.is_delivered, result.target) == (True, "ntfy")
    assert message["message"] == "This is a test."
    assert [each["label"] for each in message["actions"]] == ["Live"]
    assert server.attachment(message) == PICTURE


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"attachment-cache-dir": '""'}, "attachment-cache-dir"),
        ({"attachment-file-size-limit": "10k"}, "attachment-file-size-limit"),
        (
            {"visitor-attachment-daily-bandwidth-limit": "30k"},
            "visitor-attachment-daily-bandwidth-limit",
        ),
    ],
    ids=["none", "size", "day"],
)
def test_message_comes_without_a_picture_that_the_server_refuses(
    settings: dict[str, object], remedy: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with NtfyServer(tmp_path / "server", **settings) as server:
        with server.subscribe() as subscriber, target(server.topic_url) as ntfy:
            for _ in range(2):
                ntfy.tell(ring())
                message = subscriber.next()
                assert message["message"] == ("The bell rang. No picture: the server refuses it.")
                assert "attachment" not in message
            eventually(lambda: ntfy.status().delivered == 2, "both are counted")
            status = ntfy.status()
            result = ntfy.test(ring(), 20)
        assert len(server.messages()) == 3
    assert status.state == "ok"
    assert remedy in status.detail
    assert result.is_delivered
    assert remedy in result.sentence
    assert caplog.text.count(remedy) == 1, "once in the log"


@pytest.mark.parametrize("path", ["", "/", "/door/more/and/more", "/doör"])
def test_path_that_is_no_topic(path: str, server: NtfyServer) -> None:
    with target(f"{server.url}{path}") as ntfy:
        result = ntfy.test(ring(), 20)
    assert not result.is_delivered
    assert "[notify] ntfy must be the URL of a topic" in result.sentence


def test_tokens_and_what_their_user_may_do(tmp_path: Path) -> None:
    settings = {"auth-file": tmp_path / "auth.db", "auth-default-access": "deny-all"}
    with NtfyServer(tmp_path / "server", **settings) as server:
        server.run("user", "add", "bell", password="x" * 20)
        found = re.search(r"tk_\w+", server.run("token", "add", "bell"))
        assert found
        token_file = tmp_path / "token"

        def write(text: str) -> None:
            token_file.write_text(text)
            token_file.chmod(0o600)

        with target(server.topic_url) as ntfy:
            result = ntfy.test(ring(), 20)
            assert not result.is_delivered
            assert "it wants a token" in result.sentence
        write("tk_wrong")
        with target(server.topic_url, token_file) as ntfy:
            result = ntfy.test(ring(), 20)
            assert "status 401" in result.sentence
            assert "it does not know the token" in result.sentence
            assert "tk_wrong" not in result.sentence
            write(found[0])
            result = ntfy.test(ring(), 20)
            assert "status 403" in result.sentence
            assert "ntfy access USER TOPIC write-only" in result.sentence
            server.run("access", "bell", "door", "write-only")
            assert ntfy.test(ring(), 20).is_delivered
            ntfy.tell(ring())
            eventually(lambda: ntfy.status().delivered == 1, "a new token needs no reload")
            write("")
            result = ntfy.test(ring(), 20)
            assert result.sentence == f"{token_file} is empty: write the secret into it"


def test_nothing_comes_late_or_twice_after_a_crash_of_the_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = NtfyServer(tmp_path / "server")
    with server, target(server.topic_url, max_age=2.0) as ntfy:
        ntfy.tell(ring(1))
        eventually(lambda: ntfy.status().delivered == 1, "the first one is there")
        server.kill()
        for number in range(2, 102):
            ntfy.tell(ring(number))
        eventually(lambda: ntfy.status().state == "failed", "it fails")
        eventually(lambda: ntfy.status().dropped == 100, "none waits any more")
        assert "check that it runs" in ntfy.status().detail
        assert abs((ntfy.status().since or 0) - time.time()) < 60
        server.start()
        ntfy.tell(ring(103))
        eventually(lambda: ntfy.status().delivered == 2, "the next one arrives")
        clicks = [message["click"].rpartition("#")[2] for message in server.messages()]
    assert clicks == ["1", "103"]
    lines = [each.getMessage() for each in caplog.records if each.name.endswith("outbox")]
    assert len(lines) == 2
    assert "100 messages were dropped" in lines[1]


def test_ring_of_a_moment_without_the_server_comes_once_it_is_back(tmp_path: Path) -> None:
    server = NtfyServer(tmp_path / "server")
    with target(server.topic_url) as ntfy:
        ntfy.tell(ring(1))
        eventually(lambda: ntfy.status().state == "failed", "nothing listens")
        with server:
            eventually(lambda: ntfy.status().delivered == 1, "it is sent again")
            assert [each["click"][-2:] for each in server.messages()] == ["#1"]


def test_ring_of_a_daemon_is_answered_as_the_app_and_the_web_app_do(
    server: NtfyServer, daemon: Daemon, tmp_path: Path
) -> None:
    kept = KeptVisits(tmp_path / "state")
    settings = {
        "camera.resolution": "160x120",
        "bell.again": 0,
        "notify.ntfy": f"{server.url}/answered",
        **kept.settings(),
    }
    daemon.start(settings, environ=kept.environ, arguments=["-v"])
    daemon.wait_for_state("streaming")
    web_app = {"Origin": server.url, "Sec-Fetch-Site": "cross-site"}
    with server.subscribe("answered") as subscriber:
        for headers in ({}, web_app):
            answer, body = daemon.request(f"/ring?token={kept.token}", "POST")
            assert answer.status == 200
            number = json.loads(body)["visit"]
            message = subscriber.next()
            assert message["click"] == f"http://127.0.0.1:{daemon.port}/visits#{number}"
            assert server.attachment(message)[:3] == b"\xff\xd8\xff"
            action = message["actions"][1]
            parts = urlsplit(action["url"])
            assert parts.port == daemon.port
            path = f"{parts.path}?{parts.query}"
            answer, body = daemon.request(path, action["method"], headers)
            assert answer.status == 200
            assert answer.getheader("Access-Control-Allow-Origin") == "*"
            visit = json.loads(daemon.request(f"/visits/{number}.json")[1])
            assert visit["answered"] == json.loads(body)["answered"]
            assert parts.query.partition("=")[2] not in daemon.log()
    status = daemon.status()["notify"]["ntfy"]
    assert (status["state"], status["delivered"]) == ("ok", 2)
    assert len(server.messages("answered")) == 2, "an answer is no message"
    assert "/answered" not in daemon.log().replace("/answered?token=...", "")
