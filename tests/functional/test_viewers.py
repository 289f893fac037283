"""Who watches: counted, told apart, limited, and never a burden to the others."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support import processes
from tests.support.daemon import Daemon, eventually
from tests.support.pictures import big_jpeg, jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.stream import Stream

MANY = 100


@pytest.fixture
def door(daemon: Daemon, pipe_camera: PipeCamera) -> Daemon:
    """Return a daemon whose frames the test makes, with the first one on the air."""
    limits = {"server.max_viewers": MANY, "server.stall_timeout": 1, "camera.stall_timeout": 3600}
    daemon.start({"camera.source": pipe_camera.source, **limits})
    pipe_camera.show(jpeg(0))
    daemon.wait_for_state("streaming")
    return daemon


@pytest.fixture
def _nothing_leaks(door: Daemon) -> Iterator[None]:
    """After the test the daemon must have no more sockets and threads than before."""
    door.status()
    sockets = len(processes.sockets(door.pid))
    yield
    door.wait_for_viewers(0)
    eventually(lambda: len(processes.sockets(door.pid)) <= sockets, "no socket left")


def test_each_viewer_has_a_row(door: Daemon, pipe_camera: PipeCamera) -> None:
    with Stream(door, "/video_feed?key=kitchen") as kitchen, Stream(door) as other:
        for number in range(3):
            if number:
                pipe_camera.show(jpeg(number))
            assert kitchen.part().body == other.part().body == jpeg(number)
        rows = {row["key"]: row for row in door.wait_for_viewers(2)}
        assert rows.keys() == {"kitchen", ""}
        row = rows["kitchen"]
        assert (row["address"], row["sent"], row["dropped"]) == ("127.0.0.1", 3, 0)
        assert row["age_ms"] >= 0
        assert [one["key"] for one in door.status("?key=kitchen")["viewers"]] == ["kitchen"]
        assert door.status("?key=kitchen")["watching"] == 2


@pytest.mark.usefixtures("_nothing_leaks")
def test_who_leaves_in_whatever_way_is_gone_at_once(door: Daemon) -> None:
    # No frame comes meanwhile: it is the leaving itself that is noticed.
    with ExitStack() as stack:
        leavers = [stack.enter_context(Stream(door)) for _ in range(4)]
        for stream in leavers:
            stream.part()
        door.wait_for_viewers(4)
        leavers[0].close()
        door.wait_for_viewers(3)
        leavers[1].reset()
        door.wait_for_viewers(2)
        leavers[2].socket.shutdown(socket.SHUT_WR)
        door.wait_for_viewers(1)


@pytest.mark.usefixtures("_nothing_leaks")
def test_one_too_many_is_told_and_gets_in_when_there_is_room(door: Daemon) -> None:
    with ExitStack() as stack:
        streams = [stack.enter_context(Stream(door)) for _ in range(MANY)]
        door.wait_for_viewers(MANY)
        answer, body = door.request("/video_feed")
        assert answer.status == 503
        assert int(answer.getheader("Retry-After") or 0) > 0
        assert body == b"100 are watching already, which is the limit; try again in a moment\n"
        assert door.request("/")[0].status == 200
        streams[0].close()
        door.wait_for_viewers(MANY - 1)
        with Stream(door) as late:
            assert late.part().body == jpeg(0)


@pytest.mark.usefixtures("_nothing_leaks")
def test_who_never_reads_harms_nobody_and_is_dropped(door: Daemon, pipe_camera: PipeCamera) -> None:
    picture = big_jpeg(400)
    with ExitStack() as stack:
        stuck = [stack.enter_context(Stream(door, "/video_feed?key=stuck")) for _ in range(2)]
        for stream in stuck:
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        streams = [stack.enter_context(Stream(door)) for _ in range(MANY - 2)]
        for stream in streams:
            assert stream.part().body == jpeg(0)
        for data in [picture, jpeg(1)] * 5:
            pipe_camera.show(data)
            for stream in streams:
                assert stream.part().body == data
        eventually(lambda: not door.status("?key=stuck")["viewers"], "the stuck ones are dropped")
        assert len(door.wait_for_viewers(MANY - 2)) == MANY - 2
        pipe_camera.show(jpeg(15))
        assert {stream.part().body for stream in streams} == {jpeg(15)}
    assert door.log().count("took nothing for 1 s") == 2


@pytest.mark.parametrize(
    ("listen", "address", "shown"),
    [
        ("[::]:0", "127.0.0.1", "127.0.0.1"),
        ("[::]:0", "::1", "::1"),
        (":0", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1:0", "127.0.0.1", "127.0.0.1"),
    ],
)
def test_addresses_are_plain(daemon: Daemon, listen: str, address: str, shown: str) -> None:
    daemon.start({"server.listen": listen}, wait=False)
    daemon.port = int(daemon.wait_for_log(r"open http://\S+:(\d+)/")[1])
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    with socket.socket(family) as sock:
        sock.connect((address, daemon.port))
        sock.sendall(b"GET /video_feed HTTP/1.1\r\nHost: door\r\n\r\n")
        sock.recv(100)
        status = eventually(lambda: _viewers(address, family, daemon.port), "a row")
    assert f'"address": "{shown}"' in status


def _viewers(address: str, family: int, port: int) -> str:
    with socket.socket(family) as sock:
        sock.connect((address, port))
        sock.sendall(b"GET /status HTTP/1.0\r\n\r\n")
        with sock.makefile("r") as file:
            text = file.read()
    return text if '"address"' in text else ""
