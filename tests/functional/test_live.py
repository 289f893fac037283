"""The page's stream: pictures and the state in one order, and which clients get them."""

from __future__ import annotations

import errno
import json
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, eventually
from tests.support.live_stream import LiveStream
from tests.support.managed import BIG, SMALL, kill, read_to, restart, settings
from tests.support.numbered_pictures import numbered
from tests.support.passwords import basic, set_password
from tests.support.pipe_camera import PipeCamera
from tests.support.processes import is_asleep
from tests.support.raw import exchange, only_answer, read_to_end
from tests.support.secure import SecureDaemon, make_pair
from tests.support.service_manager import VIEWER, ServiceManager
from tests.support.stream import Stream
from tests.support.stream_parser import Part, StreamParser

WORD = "correct horse"
PAGES = ["", "pictures=no"]
"""What a page asks for while it is shown, and while it is hidden."""
HIDDEN = "?pictures=no"


@pytest.fixture
def door(daemon: Daemon, pipe_camera: PipeCamera) -> Daemon:
    """Return a daemon whose frames the test makes, and that shows number 0."""
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 3600})
    pipe_camera.show(numbered(0))
    daemon.wait_for_state("streaming")
    return daemon


def state_is(state: str) -> Callable[[dict[str, Any]], bool]:
    return lambda found: bool(found["camera"]["state"] == state)


def watching(count: int) -> Callable[[dict[str, Any]], bool]:
    return lambda found: bool(found["watching"] == count)


# What is in it.


def test_state_comes_first_and_then_the_newest_picture(door: Daemon) -> None:
    before = time.time()
    with LiveStream(door, "?v=1&key=page") as page, Stream(door) as program:
        assert page.status == 200
        assert page.headers["content-type"] == "application/octet-stream"
        assert page.headers["cache-control"] == "no-store, no-transform"
        assert page.headers["x-accel-buffering"] == "no"
        assert page.headers["connection"] == "close"
        seconds, _, fraction = page.headers["x-now"].partition(".")
        assert len(fraction) == 6, "microseconds"
        assert before - 1 < int(seconds) <= time.time()
        state = page.state()
        assert list(state) == [
            *("v", "now", "camera", "watching", "max_viewers", "password", "quality"),
            *("visit", "shutter"),
        ]
        camera = state["camera"]
        assert list(camera) == [
            *("name", "state", "reason", "detail", "since", "fps", "age_ms", "width", "height"),
        ]
        assert before - 0.01 <= state["now"] <= time.time() + 0.01
        assert (camera["name"], camera["state"], camera["reason"]) == (
            "Front door",
            "streaming",
            "",
        )
        now = door.status()["camera"]
        for key in ("detail", "since", "fps", "width", "height"):
            assert camera[key] == now[key]
        assert 0 <= camera["age_ms"] <= now["age_ms"]
        assert (state["v"], state["max_viewers"], state["password"]) == (1, 100, False)
        assert page.picture() == program.part()


def test_pictures_are_those_that_programs_get(door: Daemon, pipe_camera: PipeCamera) -> None:
    with LiveStream(door) as page, Stream(door) as program:
        for number in range(10):
            if number:
                pipe_camera.show(numbered(number, 100 * number))
            picture = page.picture()
            assert picture == program.part()
            assert picture.body == numbered(number, 100 * number)


def test_camera_that_dies_and_returns_is_news_in_the_same_stream(
    door: Daemon, pipe_camera: PipeCamera
) -> None:
    with LiveStream(door) as page, LiveStream(door, HIDDEN) as hidden:
        assert page.picture().body == numbered(0)
        pipe_camera.disconnect()
        for stream in (page, hidden):
            state = stream.wait_for(state_is("offline"))
            assert state["camera"]["detail"] == door.status()["camera"]["detail"]
            assert state["camera"]["fps"] == 0
        # For the hidden one it did not wait until there was nothing else to send for 15 seconds.
        assert state["now"] - state["camera"]["since"] < 10
        pipe_camera.show(numbered(1))
        for stream in (page, hidden):
            stream.wait_for(state_is("streaming"))
        assert page.picture().body == numbered(1)


def test_state_comes_though_there_is_no_picture_and_no_card_does(daemon: Daemon) -> None:
    daemon.start({"camera.source": "v4l2:/dev/video-not-here"})
    daemon.wait_for_state("offline")
    with LiveStream(daemon, "?key=page") as page, Stream(daemon) as program:
        states = [page.state() for _ in range(4)]
        assert program.part().body, "a program is shown the card"
        moments = [state["now"] for state in states]
        assert moments == sorted(set(moments)), "a new one each time"
        (row,) = daemon.status("?key=page")["viewers"]
        assert (row["sent"], row["dropped"], row["age_ms"]) == (0, 0, None)


def test_number_of_viewers_is_news(door: Daemon) -> None:
    with LiveStream(door) as page, LiveStream(door, HIDDEN) as hidden:
        assert page.state()["watching"] == 1
        with Stream(door):
            for stream in (page, hidden):
                stream.wait_for(watching(2))
        for stream in (page, hidden):
            stream.wait_for(watching(1))
    door.wait_for_viewers(0)


def test_reload_is_news(daemon: Daemon, tmp_path: Path) -> None:
    config = tmp_path / "doorbelld.conf"
    config.write_text("[camera]\nname = Garden\n[server]\nmax_viewers = 7\n")
    daemon.start(arguments=[f"--config={config}"])
    with LiveStream(daemon) as page, LiveStream(daemon, HIDDEN) as hidden:
        for stream in (page, hidden):
            state = stream.state()
            assert (state["camera"]["name"], state["max_viewers"]) == ("Garden", 7)
        config.write_text("[camera]\nname = Gate\n[server]\nmax_viewers = 7\n")
        daemon.send(signal.SIGHUP)
        for stream in (page, hidden):
            stream.wait_for(lambda found: found["camera"]["name"] == "Gate")
        config.write_text("[camera]\nname = Gate\n[server]\nmax_viewers = 9\n")
        daemon.send(signal.SIGHUP)
        # The camera is the same, and goes on; so nothing else is news for the page.
        for stream in (page, hidden):
            stream.wait_for(lambda found: found["max_viewers"] == 9)


def test_cap_and_key_are_those_of_the_other_streams(door: Daemon, pipe_camera: PipeCamera) -> None:
    with LiveStream(door, "?fps=0.01&key=capped&quality=auto") as capped, LiveStream(door) as page:
        assert capped.picture().body == page.picture().body == numbered(0)
        pipe_camera.show(numbered(1))
        assert page.picture().body == numbered(1)
        door.wait_for_counts(("capped", 1, 0), ("", 2, 0))
        rows = door.wait_for_viewers(2)
        assert {row["key"]: row["quality"] for row in rows} == {"capped": "auto", "": "full"}


# A page that is hidden.


def test_hidden_page_gets_no_picture_and_is_not_watching(
    door: Daemon, pipe_camera: PipeCamera
) -> None:
    with LiveStream(door, "?pictures=no&key=hidden") as hidden:
        assert hidden.state()["watching"] == 0
        with LiveStream(door) as page:
            assert page.picture().body == numbered(0)
            for number in range(1, 5):
                pipe_camera.show(numbered(number))
                assert page.picture().body == numbered(number)
            status = door.status()
            assert (status["watching"], len(status["viewers"])) == (1, 1)
            assert door.status("?key=hidden")["viewers"] == []
            # A picture would fail this: it is no state.
            eventually(lambda: hidden.state()["watching"] == 1, "1 watching")
        eventually(lambda: hidden.state()["watching"] == 0, "0 watching")
    assert "0 frames" not in door.log(), "it has not been watching"


def test_as_many_hidden_pages_as_viewers_are_served(daemon: Daemon) -> None:
    daemon.start({"server.max_viewers": 2})
    with ExitStack() as stack:
        hidden = [stack.enter_context(LiveStream(daemon, HIDDEN)) for _ in range(2)]
        shown = [stack.enter_context(LiveStream(daemon)) for _ in range(2)]
        assert [stream.status for stream in (*hidden, *shown)] == [200] * 4
        for query, doing in ((HIDDEN, "wait for pictures"), ("", "are watching")):
            answer, body = daemon.request(f"/live{query}")
            assert answer.status == 503
            assert answer.getheader("Retry-After") == "5"
            expected = f"2 {doing} already, which is the limit; try again in a moment\n"
            assert body.decode() == expected
        hidden[0].close()
        eventually(lambda: is_let_in(daemon), "one more is let in")


def is_let_in(daemon: Daemon) -> bool:
    with LiveStream(daemon, HIDDEN) as stream:
        return stream.status == 200


# Slow, dead and leaving.


def test_slow_page_gets_the_newest_state_alone_and_nothing_torn(
    door: Daemon, pipe_camera: PipeCamera
) -> None:
    with SlowPage(door) as page:
        page.read_until(lambda parts: parts[-1].body == numbered(0))
        pipe_camera.show(numbered(1, BIG))
        page.read_until(lambda _parts: page.has_begun)
        for _ in range(5):
            with Stream(door):
                door.wait_for_viewers(2)
            door.wait_for_viewers(1)
        pipe_camera.show(numbered(2))
        door.wait_for_counts(("slow", 1, 1))
        page.read_until(lambda _parts: numbered(2) in page.pictures and page.watching == 1)
    assert page.pictures == [numbered(0), numbered(1, BIG), numbered(2)]
    bodies = [part.body for part in page.parts]
    late = page.parts[bodies.index(numbered(1, BIG)) + 1 :]
    # Those in between have been replaced; the last change may have waited for others.
    assert 1 <= sum(part.is_state for part in late) <= 2


class SlowPage:
    """A page with a small buffer that reads only when the test says so."""

    def __init__(self, daemon: Daemon) -> None:
        self.parts: list[Part] = []
        self.socket = daemon.connect(buffer=SMALL)
        self.socket.sendall(b"GET /live?key=slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        read_to(self.socket, b"\r\n\r\n")
        self._parser = StreamParser(live=True)

    @property
    def pictures(self) -> list[bytes]:
        """All pictures so far."""
        return [part.body for part in self.parts if not part.is_state]

    @property
    def watching(self) -> int:
        """What the newest state says."""
        count: int = [part.state["watching"] for part in self.parts if part.is_state][-1]
        return count

    @property
    def has_begun(self) -> bool:
        """Whether the head of a part has come, and not all of it."""
        return not self._parser.between_parts

    def read_until(self, is_enough: Callable[[list[Part]], bool]) -> None:
        """Read, at least once, until it is enough."""
        while True:
            data = self.socket.recv(1 << 16)
            assert data, "the stream has ended"
            self.parts += self._parser.feed(data)
            if self.parts and is_enough(self.parts):
                return

    def __enter__(self) -> SlowPage:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


@pytest.mark.parametrize("query", PAGES)
def test_page_that_takes_nothing_is_cut_off(
    daemon: Daemon, pipe_camera: PipeCamera, query: str
) -> None:
    """It is like a phone that has left the Wi-Fi."""
    daemon.start({"camera.source": pipe_camera.source, "server.stall_timeout": 1})
    pipe_camera.show(numbered(0))
    daemon.wait_for_state("streaming")

    def is_reset() -> bool:
        with Stream(daemon):  # This is news, of which there must be more than its buffer takes.
            pass
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET

    with daemon.connect(buffer=SMALL) as sock:
        sock.sendall(f"GET /live?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        pipe_camera.show(numbered(1, BIG))
        eventually(is_reset, "a reset")


@pytest.mark.parametrize("query", PAGES)
def test_stream_ends_properly_when_the_daemon_stops(door: Daemon, query: str) -> None:
    with LiveStream(door, f"?{query}") as page:
        page.state()
        assert door.stop() == 0
        page.read_to_end(stopped=True)


# Restarts.


@pytest.mark.parametrize("how", [restart, kill], ids=["restart", "kill"])
def test_pages_survive_restarts(
    daemon: Daemon,
    manager: ServiceManager,
    pipe_camera: PipeCamera,
    how: Callable[[ServiceManager, Daemon, PipeCamera], None],
) -> None:
    manager.start(daemon, settings(pipe_camera))
    pipe_camera.show(numbered(0))
    with ExitStack() as stack:
        page = stack.enter_context(LiveStream(daemon, "?key=page&quality=auto"))
        hidden = stack.enter_context(LiveStream(daemon, HIDDEN))
        program = stack.enter_context(Stream(daemon, "/video_feed?key=program"))
        assert page.picture().body == program.part().body == numbered(0)
        for number in range(1, 4):
            manager.wait_for_stored(VIEWER, 3)
            # They are stored just before a state is sent, and a kill within that ends a stream.
            stored_at = time.time()
            page.wait_for(lambda found, at=stored_at: found["now"] > at)  # type: ignore[misc]
            eventually(lambda: is_asleep(daemon.pid), "what was sent is noted as sent")
            how(manager, daemon, pipe_camera)
            for stream in (page, hidden):
                stream.wait_for(state_is("starting"))
            pipe_camera.show(numbered(number))
            hidden.wait_for(state_is("streaming"))
            assert page.picture().body == program.part().body == numbered(number)
        rows = daemon.wait_for_viewers(2)
        assert {row["key"]: row["quality"] for row in rows} == {"page": "auto", "program": "full"}
        with LiveStream(daemon) as another:
            assert hidden.wait_for(watching(3))
            assert another.state()["watching"] == 3


def test_picture_that_was_begun_is_finished_by_the_next_process(
    daemon: Daemon, manager: ServiceManager, pipe_camera: PipeCamera
) -> None:
    manager.start(daemon, settings(pipe_camera))
    with SlowPage(daemon) as page:
        daemon.wait_for_viewers(1)
        pipe_camera.show(numbered(1, BIG))
        page.read_until(lambda _parts: page.has_begun)
        for number in range(2, 4):
            restart(manager, daemon, pipe_camera)
            pipe_camera.show(numbered(number))
            daemon.wait_for_counts(("slow", 0, number - 1))
        page.read_until(lambda parts: parts[-1].body == numbered(3))
    assert page.pictures == [numbered(1, BIG), numbered(3)]


# Who may read it.


@pytest.mark.parametrize("query", PAGES)
def test_another_password_ends_the_stream(daemon: Daemon, tmp_path: Path, query: str) -> None:
    path = tmp_path / "password"
    set_password(path, WORD)
    daemon.start({"access.password_file": path})
    lines = "".join(f"{name}: {value}\r\n" for name, value in basic(WORD).items())
    with LiveStream(daemon, f"?{query}", lines) as page:
        assert page.state()["password"] is True
        set_password(path, "another one")
        daemon.send(signal.SIGHUP)
        page.read_to_end()
    answer, _ = daemon.request(f"/live?{query}")
    assert answer.status == 401


@pytest.mark.parametrize("query", PAGES)
def test_network_that_is_not_let_in_any_more_ends_the_stream(
    daemon: Daemon, tmp_path: Path, query: str
) -> None:
    config = tmp_path / "doorbelld.conf"
    config.write_text("")
    daemon.start(arguments=[f"--config={config}"])
    with LiveStream(daemon, f"?{query}") as page:
        page.state()
        config.write_text("[access]\nnetworks = 192.0.2.0/24\n")
        daemon.send(signal.SIGHUP)
        page.read_to_end()


def test_same_over_tls(tmp_path: Path, pipe_camera: PipeCamera) -> None:
    with SecureDaemon(tmp_path, make_pair(tmp_path)) as secure:
        secure.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 3600})
        pipe_camera.show(numbered(0))
        secure.wait_for_state("streaming")
        with LiveStream(secure) as page, LiveStream(secure, HIDDEN) as hidden:
            page.state()
            hidden.state()
            for number in range(4):
                if number:
                    pipe_camera.show(numbered(number, 300 * number))
                assert page.picture().body == numbered(number, 300 * number)
            with Stream(secure):
                page.wait_for(watching(2))
                hidden.wait_for(watching(2))
            pipe_camera.disconnect()
            for stream in (page, hidden):
                stream.wait_for(state_is("offline"))
                assert secure.process.poll() is None
            secure.stop()
            for stream in (page, hidden):
                stream.read_to_end(stopped=True)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("v=2", "there is only version 1 of this stream (v=1)"),
        ("v=", "there is only version 1 of this stream (v=1)"),
        ("fps=nan", "fps must be a number from 0.01 to 1000"),
        (f"key={'k' * 65}", "key must be at most 64 printable characters"),
        ("quality=best", "quality must be full or auto"),
        ("pictures=0", "pictures must be yes or no"),
        ("width=0", "width must be a number from 1 to 100000"),
        ("width=wide", "width must be a number from 1 to 100000"),
        ("rate=-1", "rate must be a number from 1 to 1000000000000"),
        ("rate=inf", "rate must be a number from 1 to 1000000000000"),
    ],
)
def test_values_that_make_no_sense_are_refused(doorbell: Daemon, query: str, why: str) -> None:
    for method in ("GET", "HEAD"):
        answer, body = doorbell.request(f"/live?{query}", method)
        assert answer.status == 400
        assert body.decode() in ("", f"{why}\n")
    assert doorbell.status()["watching"] == 0


def test_every_value_that_makes_sense_is_taken(doorbell: Daemon) -> None:
    queries = ["", "?v=1", "?quality=full&width=640&rate=250000", "?pictures=yes&fps=5&new=1"]
    for query in queries:
        with LiveStream(doorbell, query) as page:
            assert page.state()["camera"]["state"] == "streaming"
            page.picture()


def test_head_has_the_headers_and_makes_no_viewer(doorbell: Daemon) -> None:
    answer, body = doorbell.request("/live", "HEAD")
    assert (answer.status, body) == (200, b"")
    with LiveStream(doorbell) as page:
        got = page.headers
    doorbell.wait_for_viewers(0)
    headers = {name.lower(): value for name, value in answer.getheaders()}
    changing = {"date": "", "x-now": ""}
    assert {**headers, **changing} == {**got, **changing}


# Reports.


def report(
    daemon: Daemon, query: str, headers: Mapping[str, str] = {}, method: str = "POST"
) -> tuple[int, str]:
    """Return the status of the answer and its body."""
    answer, body = daemon.request(f"/live/report?{query}", method, headers)
    if answer.status == 204:
        assert len((answer.getheader("X-Now") or "").partition(".")[2]) == 6
        assert answer.getheader("Cache-Control") == "no-store"
    return answer.status, body.decode()


def test_report_of_a_viewer_is_taken(doorbell: Daemon) -> None:
    with LiveStream(doorbell, "?key=page") as page:
        page.state()
        assert report(doorbell, "key=page&age=0.25&rate=250000") == (204, "")
        assert report(doorbell, "key=other&age=0.25&rate=250000") == (
            404,
            "no viewer with this key and address is watching\n",
        )
    doorbell.wait_for_viewers(0)
    assert report(doorbell, "key=page&age=0.25&rate=250000")[0] == 404


def test_connection_stays_after_a_report(doorbell: Daemon) -> None:
    with LiveStream(doorbell, "?key=page") as page, doorbell.connect() as sock:
        page.state()
        request = b"POST /live/report?key=page&age=1&rate=2 HTTP/1.1\r\nHost: localhost\r\n"
        sock.sendall(
            request + b"Content-Length: 0\r\n\r\n" + request + b"Connection: close\r\n\r\n"
        )
        assert read_to_end(sock).count(b"HTTP/1.1 204 No Content\r\n") == 2


def test_report_from_another_address_is_not_taken(doorbell: Daemon) -> None:
    with LiveStream(doorbell, "?key=page") as page:
        page.state()
        with doorbell.connect(source="127.0.0.9") as sock:
            sock.sendall(
                b"POST /live/report?key=page&age=1&rate=2 HTTP/1.1\r\nHost: localhost\r\n"
                b"Connection: close\r\n\r\n"
            )
            assert only_answer(read_to_end(sock)).status == 404


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("age=1&rate=2", "key must name the viewer"),
        ("key=&age=1&rate=2", "key must name the viewer"),
        ("key=k&rate=2", "age must be a number from 0 to 1000000000"),
        ("key=k&age=-1&rate=2", "age must be a number from 0 to 1000000000"),
        ("key=k&age=nan&rate=2", "age must be a number from 0 to 1000000000"),
        ("key=k&age=1", "rate must be a number from 0 to 1000000000000"),
        ("key=k&age=1&rate=fast", "rate must be a number from 0 to 1000000000000"),
    ],
)
def test_report_that_makes_no_sense_is_refused(doorbell: Daemon, query: str, why: str) -> None:
    assert report(doorbell, query) == (400, f"{why}\n")


def test_report_with_a_body_is_refused(doorbell: Daemon) -> None:
    data = exchange(
        doorbell,
        b"POST /live/report?key=k&age=1&rate=2 HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Length: 3\r\nConnection: close\r\n\r\na=b",
    )
    answer = only_answer(data)
    assert (answer.status, answer.body) == (400, b"a body makes no sense here\n")


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Referer": "https://evil.example/x"}]
)
def test_other_sites_cannot_report(doorbell: Daemon, headers: Mapping[str, str]) -> None:
    assert report(doorbell, "key=page&age=1&rate=2", headers)[0] == 403


def test_site_that_may_show_the_page_cannot_report(daemon: Daemon) -> None:
    daemon.start({"access.embed": "http://panel.example"})
    headers = {"Origin": "http://panel.example"}
    assert report(daemon, "key=page&age=1&rate=2", headers) == (
        403,
        "another web site asks for this\n",
    )


def test_report_needs_the_password(daemon: Daemon, tmp_path: Path) -> None:
    set_password(tmp_path / "password", WORD)
    daemon.start({"access.password_file": tmp_path / "password"})
    assert report(daemon, "key=page&age=1&rate=2")[0] == 401
    assert report(daemon, "key=page&age=1&rate=2", basic(WORD))[0] == 404


def test_reports_are_only_posted(doorbell: Daemon) -> None:
    answer, _ = doorbell.request("/live/report?key=page&age=1&rate=2")
    assert (answer.status, answer.getheader("Allow")) == (405, "POST")


def test_state_is_small(doorbell: Daemon) -> None:
    """It is sent to every page at each change."""
    with LiveStream(doorbell) as page:
        body = page.part().body
        assert json.loads(body)
        assert len(body) < 500
