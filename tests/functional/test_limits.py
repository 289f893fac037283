"""When the system's limits are reached: viewers do not notice, and the daemon recovers."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from tests.support import processes
from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.pictures import jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.raw import read_answer
from tests.support.stream import Stream

FILES = 40
"""Descriptors that the daemon may have: enough for about two dozen clients."""


def test_out_of_descriptors_it_serves_on_and_recovers(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    settings = {"camera.source": pipe_camera.source, "camera.stall_timeout": 3600}
    daemon.start(settings, prefix=["prlimit", f"--nofile={FILES}"])
    pipe_camera.show(jpeg(0))
    daemon.wait_for_state("streaming")
    assert "only 40 files may be open" in daemon.log()
    before = len(processes.sockets(daemon.pid))
    with Stream(daemon) as stream, ExitStack() as stack:
        assert stream.part().body == jpeg(0)
        silent = [stack.enter_context(daemon.connect()) for _ in range(2 * FILES)]
        daemon.wait_for_log("cannot accept connections: Too many open files")
        for number in range(1, 16):
            pipe_camera.show(jpeg(number))
            assert stream.part().body == jpeg(number)
        # The longest waiting connection made room; requests are answered, if not at once.
        silent[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        silent[-1].settimeout(GUARD)
        for sock in silent[:-1]:
            sock.close()
        assert read_answer(silent[-1]).status == 200
        assert daemon.request("/")[0].status == 200
    daemon.wait_for_viewers(0)
    eventually(lambda: len(processes.sockets(daemon.pid)) <= before, "no socket left")


def test_a_flood_from_one_address_pushes_out_itself_alone(daemon: Daemon) -> None:
    daemon.start()
    with ExitStack() as stack:
        other = stack.enter_context(
            socket.create_connection(("127.0.0.1", daemon.port), GUARD, ("127.0.0.9", 0))
        )
        flood = [stack.enter_context(daemon.connect()) for _ in range(300)]
        assert flood[0].recv(1) == b"", "the longest waiting was shown out"
        flood[-1].sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_answer(flood[-1]).status == 200
        other.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_answer(other).status == 200
