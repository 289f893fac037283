"""Viewers: counted, identified, limited, and without effect on each other."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.numbered_pictures import film, numbered
from tests.support.pipe_camera import PipeCamera
from tests.support.processes import sockets, threads
from tests.support.raw import only_answer, read_to_end
from tests.support.stream import Stream
from tests.support.viewer_group import ViewerGroup

SMALL = 4096
"""A receive buffer that is too small for a picture of BIG kilobytes."""
BIG = 3000


@pytest.fixture
def door(daemon: Daemon, pipe_camera: PipeCamera) -> Iterator[Daemon]:
    """Return a daemon that shows number 0; at the end it must hold no more than before."""
    settings = {"server.max_viewers": 101, "server.stall_timeout": 3600}
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 3600, **settings})
    before = sockets(daemon.pid)
    pipe_camera.show(numbered(0))
    daemon.wait_for_state("streaming")
    yield daemon
    daemon.wait_for_viewers(0)
    eventually(lambda: sockets(daemon.pid) == before, "every socket given back")


def ask(daemon: Daemon, key: str, buffer: int = SMALL) -> socket.socket:
    """Ask for the stream and read nothing of it."""
    sock = daemon.connect(buffer=buffer)
    sock.sendall(f"GET /video_feed?key={key} HTTP/1.1\r\n\r\n".encode())
    return sock


def row(daemon: Daemon, key: str) -> dict[str, Any]:
    """Return the only row with that key."""
    (found,) = daemon.status(f"?key={key}")["viewers"]
    return dict(found)


def wait_for_row(daemon: Daemon, key: str, right: Callable[[dict[str, Any]], bool]) -> None:
    eventually(lambda: right(row(daemon, key)), f"the row of {key} as it should be")


def reset(sock: socket.socket) -> None:
    """Leave with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


LEAVING: dict[str, Callable[[socket.socket], None]] = {
    "closes": socket.socket.close,
    "shuts down its half": lambda sock: sock.shutdown(socket.SHUT_WR),
    "shuts down both": lambda sock: sock.shutdown(socket.SHUT_RDWR),
    "resets": reset,
}


def test_row_of_each_viewer_has_its_counts_and_ages(door: Daemon, pipe_camera: PipeCamera) -> None:
    before = time.time()
    with ViewerGroup(door) as group:
        group.join(1, "/video_feed?key=kitchen")
        group.join(2, "/stream?fps=0.01&key=hall", source="127.0.0.5")
        group.wait_for_parts(1)
        kitchen = group.viewers[0]
        for number in range(1, 5):
            pipe_camera.show(numbered(number))
            group.wait_for_parts(number + 1, [kitchen])
        door.wait_for_counts(("hall", 1, 0), ("hall", 1, 0), ("kitchen", 5, 0))
        rows = door.wait_for_viewers(3)
        keys = ["key", "address", "since", "fps", "sent", "dropped", "age_ms", "quality"]
        assert [list(row) for row in rows] == [keys] * 3
        assert {(row["key"], row["address"]) for row in rows} == {
            ("hall", "127.0.0.5"),
            ("kitchen", "127.0.0.1"),
        }
        assert all(before - 0.01 <= row["since"] <= time.time() + 0.01 for row in rows)
        # The age of the picture that each one sees.
        for name, newest in (("kitchen", kitchen), ("hall", group.viewers[1])):
            taken = float(newest.parts[-1].headers["x-timestamp"])
            earliest = time.time() - taken
            age = door.status(f"?key={name}")["viewers"][0]["age_ms"] / 1000
            assert earliest - 0.01 <= age <= time.time() - taken + 0.01


def test_status_can_be_asked_for_one_key_and_counts_all(door: Daemon) -> None:
    with ViewerGroup(door) as group:
        group.join(2, "/video_feed?key=a")
        group.join(1, "/video_feed?key=b")
        group.join(1, "/video_feed")
        group.wait_for_parts(1)
        for query, keys in (("a", ["a", "a"]), ("b", ["b"]), ("c", []), ("", [""])):
            status = door.status(f"?key={query}")
            assert [row["key"] for row in status["viewers"]] == keys
            assert status["watching"] == 4


def test_rows_frame_rate_is_what_the_viewer_gets(daemon: Daemon, tmp_path: Path) -> None:
    source = film(tmp_path / "film.mjpeg", 100)
    daemon.start({"camera.source": f"file:{source}", "camera.framerate": 30})
    with ViewerGroup(daemon) as group:
        group.join(1, "/video_feed?key=all")
        group.join(1, "/video_feed?key=some&fps=5")
        rates: dict[str, float] = {}

        def as_they_should_be() -> bool:
            rates.update({row["key"]: row["fps"] for row in daemon.status()["viewers"]})
            return 27 < rates.get("all", 0) < 33 and 4 < rates.get("some", 0) < 6

        group.wait(as_they_should_be, "30 and 5 frames a second")
        assert all(rate == round(rate, 1) for rate in rates.values())


def test_rows_frame_rate_falls_when_nothing_comes(door: Daemon, pipe_camera: PipeCamera) -> None:
    with ViewerGroup(door) as group:
        group.join(1, "/video_feed?key=a")
        for number in range(1, 31):
            group.wait_for_parts(number)
            pipe_camera.show(numbered(number))
        wait_for_row(door, "a", lambda row: row["fps"] > 0)
        before = row(door, "a")["fps"]
        wait_for_row(door, "a", lambda row: row["fps"] < 0.6 * before)


def test_dropped_frames_and_age_are_reported_for_viewers_that_do_not_read(
    door: Daemon, pipe_camera: PipeCamera
) -> None:
    with ViewerGroup(door) as group, ask(door, "stuck"):
        group.join(1, "/video_feed?key=good")
        group.wait_for_parts(1)
        door.wait_for_viewers(2)
        for number in range(1, 11):
            pipe_camera.show(numbered(number, BIG))
            group.wait_for_parts(number + 1)
        door.wait_for_counts(("good", 11, 0), query="?key=good")
        wait_for_row(door, "stuck", lambda row: row["dropped"] >= 9)
        stuck = row(door, "stuck")
        assert stuck["sent"] <= 1, "the little one on joining, if it came in time for that"
        if stuck["sent"]:
            wait_for_row(door, "stuck", lambda row: row["age_ms"] > stuck["age_ms"])
        else:
            assert stuck["age_ms"] is None


@pytest.mark.parametrize("how", LEAVING)
def test_viewer_that_leaves_is_gone_at_once_although_no_frame_comes(door: Daemon, how: str) -> None:
    before = sockets(door.pid)
    with ExitStack() as stack:
        leavers = [stack.enter_context(ask(door, "leaver", 0)) for _ in range(10)]
        door.wait_for_viewers(10)
        with Stream(door) as stream:
            stream.part()
            for sock in leavers:
                LEAVING[how](sock)
            door.wait_for_viewers(1)
            eventually(lambda: len(sockets(door.pid) - before) == 1, "their sockets given back")
    eventually(lambda: len(re.findall("left after|lost: ", door.log())) >= 10, "it is logged")


@pytest.mark.parametrize("how", LEAVING)
def test_viewer_that_leaves_in_the_middle_of_a_picture_is_gone_at_once(
    door: Daemon, pipe_camera: PipeCamera, how: str
) -> None:
    with ExitStack() as stack:
        leavers = [stack.enter_context(ask(door, "leaver")) for _ in range(10)]
        pipe_camera.show(numbered(1, BIG))
        stream = stack.enter_context(Stream(door))
        while stream.part().body != numbered(1, BIG):
            pass
        door.wait_for_viewers(11)
        for sock in leavers:
            LEAVING[how](sock)
        door.wait_for_viewers(1)
        pipe_camera.show(numbered(2))
        assert stream.part().body == numbered(2)


def test_viewer_that_leaves_before_the_answer_is_gone_soon(door: Daemon) -> None:
    for leave in LEAVING.values():
        for _ in range(25):
            with ask(door, "hasty") as sock:
                leave(sock)
    door.wait_for_viewers(0)
    with Stream(door) as stream:
        assert stream.part().body == numbered(0)


def test_one_viewer_too_many_is_refused_and_gets_in_when_there_is_room(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    settings = {"camera.stall_timeout": 3600, "server.max_viewers": 3}
    daemon.start({"camera.source": pipe_camera.source, **settings})
    pipe_camera.show(numbered(0))
    daemon.wait_for_state("streaming")
    request = b"GET /video_feed HTTP/1.1\r\n\r\n"  # The answer ends the connection all the same.
    for leave in LEAVING.values():
        with ExitStack() as stack:
            streams = [stack.enter_context(Stream(daemon)) for _ in range(3)]
            daemon.wait_for_viewers(3)
            with daemon.connect() as sock:
                sock.sendall(request)
                answer = only_answer(read_to_end(sock))
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
            assert answer.body == (
                b"3 are watching already, which is the limit; try again in a moment\n"
            )
            for path in ("/", "/snapshot.jpg", "/status", "/healthz"):
                assert daemon.request(path)[0].status == 200
            leave(streams[1].socket)
            streams[1].file.close()
            daemon.wait_for_viewers(2)
            with Stream(daemon) as late:
                assert late.status == 200
                daemon.wait_for_viewers(3)
        daemon.wait_for_viewers(0)


def test_limit_holds_when_all_come_at_once(daemon: Daemon) -> None:
    daemon.start({"server.max_viewers": 10})
    with ViewerGroup(daemon) as group:
        group.join(60)
        group.wait(lambda: all(one.status for one in group.viewers), "an answer for each")
        answers = sorted(one.status for one in group.viewers)
        assert answers == [200] * 10 + [503] * 50
        daemon.wait_for_viewers(10)


def test_a_hundred_get_every_frame_though_one_never_reads(
    door: Daemon, pipe_camera: PipeCamera
) -> None:
    before = threads(door.pid)
    with ViewerGroup(door) as group, ask(door, "stuck"):
        group.join(100, "/video_feed?key=good")
        group.wait_for_parts(1)
        door.wait_for_viewers(101)
        for number in range(1, 25):
            pipe_camera.show(numbered(number, 40))
            group.wait_for_parts(number + 1)
        shown = [numbered(0), *(numbered(number, 40) for number in range(1, 25))]
        assert all(viewer.bodies == shown for viewer in group.viewers)
        assert row(door, "stuck")["dropped"] > 0, "it did not read"
        door.wait_for_counts(*[("good", 25, 0)] * 100, query="?key=good")
        door.wait_for_viewers(101)
        assert threads(door.pid) <= before + 32, "watching takes no thread"


def test_stalled_viewer_is_dropped_and_no_other(daemon: Daemon, pipe_camera: PipeCamera) -> None:
    settings = {"camera.stall_timeout": 3600, "server.stall_timeout": 0.5}
    daemon.start({"camera.source": pipe_camera.source, **settings})
    before = sockets(daemon.pid)
    with ExitStack() as stack:
        group = stack.enter_context(ViewerGroup(daemon))
        group.join(5)
        pipe_camera.show(numbered(0))
        group.wait_for_parts(1)
        for again in (1, 2):
            stuck = [stack.enter_context(ask(daemon, "stuck")) for _ in range(3)]
            eventually(lambda: len(daemon.status("?key=stuck")["viewers"]) == 3, "three stuck")
            pipe_camera.show(numbered(again, BIG))
            group.wait_for_parts(again + 1)
            daemon.wait_for_viewers(5)
            line = "took nothing for 0.5 s"
            eventually(lambda: daemon.log().count(line) == 3 * again, "it is logged")  # noqa: B023
            for sock in stuck:
                with pytest.raises(ConnectionResetError):
                    read_to_end(sock)
        pipe_camera.show(numbered(3))
        group.wait_for_parts(4)
    eventually(lambda: sockets(daemon.pid) == before, "every socket given back")


def test_viewer_that_waits_for_a_frame_has_not_stalled(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    settings = {"camera.stall_timeout": 3600, "server.stall_timeout": 0.5}
    daemon.start({"camera.source": pipe_camera.source, **settings})
    with Stream(daemon) as early:
        pipe_camera.show(numbered(0, BIG))
        assert early.part().body == numbered(0, BIG)
        # When this one is dropped, the other has waited as long.
        with ask(daemon, "stuck"):
            daemon.wait_for_viewers(2)
            daemon.wait_for_viewers(1)
        pipe_camera.show(numbered(1))
        assert early.part().body == numbered(1)
    assert daemon.log().count("took nothing") == 1


@pytest.mark.parametrize(
    ("listen", "family", "address", "shown"),
    [
        (":0", socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (":0", socket.AF_INET, "127.1.2.3", "127.1.2.3"),
        (":0", socket.AF_INET6, "::1", "::1"),
        (":0", socket.AF_INET6, "::ffff:127.0.0.1", "127.0.0.1"),
        ("[::1]:0", socket.AF_INET6, "::1", "::1"),
        ("127.0.0.1:0", socket.AF_INET, "127.0.0.1", "127.0.0.1"),
    ],
)
def test_address_is_shown_plainly(
    daemon: Daemon, listen: str, family: socket.AddressFamily, address: str, shown: str
) -> None:
    daemon.start({"server.listen": listen})

    def call(path: str) -> socket.socket:
        sock = socket.socket(family)
        sock.settimeout(GUARD)
        if listen == ":0":
            sock.bind((address, 0))
        sock.connect((address, daemon.port))
        sock.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return sock

    def row() -> str:
        with call("/status") as asking:
            text = read_to_end(asking).decode()
        return text if '"viewers": [{' in text else ""

    with call("/video_feed"):
        assert f'"address": "{shown}"' in eventually(row, "the viewer's row")
    daemon.wait_for_log(rf"{shown}: watching \(1 watching\)")
