"""A system that refuses what the daemon needs, for a while: who watches notices nothing, whoever
asks is answered sooner or later, the log says it once, and all is as before when it has passed.
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
from tests.support.crowd import Crowd
from tests.support.daemon import Daemon, eventually
from tests.support.faulty_system import FaultySystem
from tests.support.pictures import jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.raw import Answer, read_answer
from tests.support.service_manager import VIEWER, ServiceManager
from tests.support.show import Show
from tests.support.systemd import Systemd
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
    """Ask on so many connections before any answer is read; return the answers' statuses."""
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
    with Crowd(daemon) as crowd:
        system.refuse_threads()
        show = Show(pipe_camera, crowd)
        show.join(VIEWERS)
        for _ in range(5):
            assert ask_at_once(daemon, 40) == [200] * 40
            show.go_on()
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
        show.go_on()
        assert all(row["dropped"] == 0 for row in daemon.wait_for_viewers(VIEWERS))
    assert daemon.log().count("requests have to wait for each other") == 1
    assert daemon.log().count(OUT_OF_THREADS) == 2


@pytest.mark.parametrize("first", range(4))
def test_start_without_threads_fails_with_a_sentence(
    daemon: Daemon, system: FaultySystem, tmp_path: Path, first: int
) -> None:
    system.refuse_threads(after=first)
    with Systemd(tmp_path) as systemd:
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


@pytest.fixture
def manager() -> Iterator[ServiceManager]:
    """Return a service manager that stores viewers, which is talked to about every newcomer."""
    with ServiceManager() as found:
        yield found


def refuse_descriptors(pid: int, refuse: bool = True) -> None:
    """Let a process open no more files than it has open now, or as many as it may."""
    _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    free = next(number for number in itertools.count() if number not in taken)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free if refuse else most, most))


def accepted(
    daemon: Daemon, stack: ExitStack, before: Condition, count: int
) -> list[socket.socket]:
    """Return connections that are waited for, and wait until there is nothing else new."""
    found = [stack.enter_context(daemon.connect()) for _ in range(count)]
    assert daemon.request("/healthz")[0].status == 200  # They were accepted before this.
    more = before.descriptors + count
    eventually(lambda: Condition.now(daemon.pid).descriptors == more, "only they are left")
    return found


def served(daemon: Daemon, count: int) -> Condition:
    """Serve so many at once; return the condition after the last of them was let go."""
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
    with Crowd(daemon) as crowd, ExitStack() as stack:
        show = Show(pipe_camera, crowd)
        show.join(VIEWERS)
        before = served(daemon, 40)
        idle = accepted(daemon, stack, before, 4)
        refuse_descriptors(daemon.pid)
        assert ask(idle[0], "/status").status == 200
        idle[0].sendall(b"GET /video_feed HTTP/1.1\r\nHost: localhost\r\n\r\n")
        show.go_on()
        assert jpeg(1)[:100] in idle[0].recv(4096), "the hand-over takes no descriptor"
        crowd.wait(lambda: "systemd does not take" in daemon.log(), "but to store it does")
        daemon.send(signal.SIGHUP)
        daemon.wait_for_log("the configuration stays as it was.*Too many open files")
        newcomers = [stack.enter_context(daemon.connect()) for _ in range(20)]
        for sock in newcomers:
            sock.sendall(REQUEST)
        daemon.wait_for_log("cannot accept connections: Too many open files")
        for sock in idle[1:]:  # One a second makes room for one newcomer.
            assert sock.recv(1) == b""
            show.go_on(10)
        refuse_descriptors(daemon.pid, False)
        assert [read_answer(sock).status for sock in newcomers] == [200] * 20
        show.go_on()
        idle[0].close()
        assert [row["dropped"] for row in daemon.wait_for_viewers(VIEWERS)] == [0] * VIEWERS
        stack.close()
        manager.wait_for(VIEWER, VIEWERS)
        before.wait_until_back()
    lines = [line for line in daemon.log().splitlines() if "Too many open files" in line]
    assert len([line for line in lines if line.startswith(("WARNING", "ERROR"))]) == 2


def test_out_of_watches_viewers_lose_nothing_and_newcomers_are_let_go(
    daemon: Daemon, system: FaultySystem, pipe_camera: PipeCamera
) -> None:
    settings = {**ONE_HANDLER, "camera.source": pipe_camera.source}
    daemon.start(settings, environ=system.environ)
    with Crowd(daemon) as crowd, ExitStack() as stack:
        show = Show(pipe_camera, crowd)
        show.join(VIEWERS)
        before = served(daemon, 40)
        idle = accepted(daemon, stack, before, 2)
        system.refuse_watches()
        assert ask(idle[0], "/status").status == 200
        assert idle[0].recv(1) == b"", "nobody could wait for another request"
        idle[1].sendall(b"GET /video_feed HTTP/1.1\r\nHost: localhost\r\n\r\n")
        daemon.wait_for_log("cannot be served: No space left on device")
        assert idle[1].recv(1) == b""
        for _ in range(3):
            with daemon.connect() as newcomer:
                assert newcomer.recv(1) == b""
            show.go_on(10)
        system.refuse_watches(False)
        assert ask_at_once(daemon, 40) == [200] * 40
        show.go_on()
        assert [row["dropped"] for row in daemon.wait_for_viewers(VIEWERS)] == [0] * VIEWERS
        before.wait_until_back()
    assert daemon.log().count("No space left on device") == 2
