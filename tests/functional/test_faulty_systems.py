"""A system that refuses what the daemon needs, for a while.

Viewers notice nothing, requests are answered sooner or later, the log says it once, and all is as
before when it is over.
"""

from __future__ import annotations

import itertools
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.condition import Condition
from tests.support.daemon import Daemon, eventually
from tests.support.faulty_system import FaultySystem
from tests.support.numbered_pictures import numbered
from tests.support.pictures import jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.raw import Answer, read_answer
from tests.support.service_manager import VIEWER, ServiceManager
from tests.support.viewer_group import ViewerGroup
from tests.support.web_camera import WebCamera

VIEWERS = 10
OUT_OF_THREADS = "can't start new thread"
ONE_HANDLER = {"server.max_requests": 1}
"""With more, how many threads there are depends on how busy the machine is."""

REQUEST = b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture
def system(tmp_path: Path) -> Iterator[FaultySystem]:
    with FaultySystem(tmp_path) as found:
        yield found


def ask_at_once(daemon: Daemon, count: int) -> list[int]:
    """Send requests on so many connections before reading any answer; return the statuses."""
    with ExitStack() as stack:
        asking = [stack.enter_context(daemon.connect()) for _ in range(count)]
        for sock in asking:
            sock.sendall(REQUEST)
        return [read_answer(sock).status for sock in asking]


# Threads.


def test_out_of_threads_every_request_is_answered_by_those_there_are(
    daemon: Daemon, system: FaultySystem, pipe_camera: PipeCamera, tmp_path: Path
) -> None:
    path = tmp_path / "x.conf"
    path.write_text("[server]\nmax_requests = 8\n")
    daemon.start(
        {"camera.source": pipe_camera.source},
        arguments=["--config", str(path)],
        environ=system.environ,
    )
    before = processes.threads(daemon.pid)
    with ViewerGroup(daemon, pipe_camera) as group:
        system.refuse_threads()
        group.join_one_by_one(VIEWERS)
        for _ in range(5):
            assert ask_at_once(daemon, 40) == [200] * 40
            group.show_next(30)
        assert processes.threads(daemon.pid) <= before
        assert daemon.request("/healthz")[0].status == 200
        path.write_text("[server]\nmax_requests = 9\n")
        daemon.send(signal.SIGHUP)
        daemon.wait_for_log(f"max_requests stays at 8: {OUT_OF_THREADS}")
        assert daemon.status()["limits"]["max_requests"] == 8
        system.refuse_threads(False)
        daemon.send(signal.SIGHUP)
        eventually(lambda: daemon.status()["limits"]["max_requests"] == 9, "the limit changed")
        assert ask_at_once(daemon, 40) == [200] * 40
        group.show_next(30)
        assert all(row["dropped"] == 0 for row in daemon.wait_for_viewers(VIEWERS))
    assert daemon.log().count("requests have to wait for each other") == 1
    assert daemon.log().count(OUT_OF_THREADS) == 2


@pytest.mark.parametrize("first", range(4))
def test_start_without_threads_fails_with_a_sentence(
    daemon: Daemon, system: FaultySystem, systemd: ServiceManager, first: int
) -> None:
    system.refuse_threads(after=first)
    daemon.start(environ={**system.environ, **systemd.environ}, wait=False)
    assert daemon.wait() == 1, "so the service manager starts it again"
    assert not [each for each in systemd.rest() if each.startswith("READY")]
    (line,) = daemon.log().splitlines()
    said = f"CRITICAL: the system is out of threads ({OUT_OF_THREADS}): stopping"
    assert line.startswith(said)


def test_camera_that_needs_a_thread_waits_for_one(daemon: Daemon, system: FaultySystem) -> None:
    with WebCamera([jpeg(1)]) as camera:
        daemon.start({"camera.source": f"http://{camera.address}/"}, environ=system.environ)
        daemon.wait_for_log("camera streaming")
        system.refuse_threads()
        camera.hang_up()
        daemon.wait_for_log(f"camera offline: The system is out of threads: {OUT_OF_THREADS}")
        camera.come_back()
        system.refuse_threads(False)
        streaming = daemon.log().count("camera streaming")
        eventually(lambda: daemon.log().count("camera streaming") > streaming, "a picture again")


# Descriptors.


def refuse_descriptors(pid: int, refuse: bool = True) -> None:
    """Let a process open no more files than now, or undo that."""
    _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    free = next(number for number in itertools.count() if number not in taken)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free if refuse else most, most))


def accepted(
    daemon: Daemon, stack: ExitStack, before: Condition, count: int
) -> list[socket.socket]:
    """Return accepted connections without a request; wait until nothing else is open."""
    found = [stack.enter_context(daemon.connect()) for _ in range(count)]
    assert daemon.request("/healthz")[0].status == 200  # They were accepted before this.
    more = before.descriptors + count
    eventually(lambda: Condition.now(daemon.pid).descriptors == more, "only they are left")
    return found


def served(daemon: Daemon, count: int) -> Condition:
    """Send so many requests at once; return the condition after the last one is closed."""
    before = Condition.of(daemon.pid)
    ask_at_once(daemon, count)
    eventually(lambda: Condition.now(daemon.pid).descriptors <= before.descriptors, "let go")
    return Condition.of(daemon.pid)


def ask(sock: socket.socket, path: str) -> Answer:
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return read_answer(sock)


def test_out_of_descriptors_viewers_lose_nothing_and_newcomers_only_wait(
    daemon: Daemon, pipe_camera: PipeCamera, manager: ServiceManager
) -> None:
    settings = {**ONE_HANDLER, "camera.source": pipe_camera.source, "camera.stall_timeout": 3600}
    manager.start(daemon, settings, arguments=["-v"])
    with ViewerGroup(daemon, pipe_camera) as group, ExitStack() as stack:
        group.join_one_by_one(VIEWERS)
        before = served(daemon, 40)
        idle = accepted(daemon, stack, before, 4)
        refuse_descriptors(daemon.pid)
        assert ask(idle[0], "/status").status == 200
        idle[0].sendall(b"GET /video_feed HTTP/1.1\r\nHost: localhost\r\n\r\n")
        group.show_next(30)
        assert numbered(1)[:100] in idle[0].recv(4096), "the hand-over takes no descriptor"
        group.wait(lambda: "systemd does not take" in daemon.log(), "but to store it does")
        daemon.send(signal.SIGHUP)
        daemon.wait_for_log("the configuration stays as it was.*Too many open files")
        newcomers = [stack.enter_context(daemon.connect()) for _ in range(20)]
        for sock in newcomers:
            sock.sendall(REQUEST)
        daemon.wait_for_log("cannot accept connections: Too many open files")
        for sock in idle[1:]:  # Each second one of them is closed, to make room for a new client.
            assert sock.recv(1) == b""
            group.show_next(10)
        refuse_descriptors(daemon.pid, False)
        assert [read_answer(sock).status for sock in newcomers] == [200] * 20
        group.show_next(30)
        idle[0].close()
        assert [row["dropped"] for row in daemon.wait_for_viewers(VIEWERS)] == [0] * VIEWERS
        stack.close()
        manager.wait_for_stored(VIEWER, VIEWERS)
        before.wait_until_back()
    lines = [line for line in daemon.log().splitlines() if "Too many open files" in line]
    assert len([line for line in lines if line.startswith(("WARNING", "ERROR"))]) == 2


def test_out_of_watches_viewers_lose_nothing_and_newcomers_are_let_go(
    daemon: Daemon, system: FaultySystem, pipe_camera: PipeCamera
) -> None:
    settings = {**ONE_HANDLER, "camera.source": pipe_camera.source}
    daemon.start(settings, environ=system.environ)
    with ViewerGroup(daemon, pipe_camera) as group, ExitStack() as stack:
        group.join_one_by_one(VIEWERS)
        before = served(daemon, 40)
        idle = accepted(daemon, stack, before, 2)
        system.refuse_watches()
        assert ask(idle[0], "/status").status == 200
        assert idle[0].recv(1) == b"", "no further request could be waited for"
        idle[1].sendall(b"GET /video_feed HTTP/1.1\r\nHost: localhost\r\n\r\n")
        daemon.wait_for_log("cannot be served: No space left on device")
        assert idle[1].recv(1) == b""
        for _ in range(3):
            with daemon.connect() as newcomer:
                assert newcomer.recv(1) == b""
            group.show_next(10)
        system.refuse_watches(False)
        assert ask_at_once(daemon, 40) == [200] * 40
        group.show_next(30)
        assert [row["dropped"] for row in daemon.wait_for_viewers(VIEWERS)] == [0] * VIEWERS
        before.wait_until_back()
    assert daemon.log().count("No space left on device") == 2
