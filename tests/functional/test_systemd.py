"""The daemon as a service: what it reports to its manager, and what it gets from it."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, eventually
from tests.support.ports import free_port
from tests.support.raw import read_answer
from tests.support.service_manager import LISTENER, ServiceManager, socket_unit
from tests.support.sitecustomize import sitecustomize
from tests.support.stream import Stream

MISSING = {"camera.source": "file:/nowhere/t\N{LATIN SMALL LETTER U WITH DIAERESIS}r.mjpeg"}
WATCHDOG = {"WATCHDOG_USEC": "1500000"}

HANGING = """
import os, time
from {module} import {cls}
before = {cls}.{method}
def hang(*arguments):
    while os.path.exists({flag!r}):
        open({flag!r} + ".held", "w").close()
        time.sleep(0.02)
    return before(*arguments)
{cls}.{method} = hang
"""
"""A sitecustomize module: a thread of the daemon hangs while the flag, a file, is there.

Another file, named after the flag, shows that it does.
"""

THREADS = [
    ("doorbelld.camera.pattern", "PatternCamera", "read"),
    ("doorbelld.stream.broadcaster", "Broadcaster", "_send_newest"),
    ("doorbelld.server.accept", "AcceptLoop", "_sweep"),
]


def turn(daemon: Daemon, systemd: ServiceManager) -> list[str]:
    """Return its messages in at least one whole turn of its main loop, between two reloads.

    A reload ends with READY=1; the rest of the turn sends everything else.
    """
    daemon.send(signal.SIGHUP)
    systemd.wait_for("RELOADING=1")
    systemd.wait_for("READY=1")
    start = len(systemd.heard)
    daemon.send(signal.SIGHUP)
    systemd.wait_for("RELOADING=1")
    messages = systemd.heard[start:-1]
    systemd.wait_for("READY=1")
    return messages


def listener(host: str = "127.0.0.1") -> socket.socket:
    found = socket.create_server((host, free_port()))
    found.settimeout(30)
    return found


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def healthz(port: int) -> int:
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        return read_answer(sock).status


# What it reports.


def test_is_ready_when_it_listens_and_before_there_is_a_camera(
    daemon: Daemon, systemd: ServiceManager, tmp_path: Path
) -> None:
    flag = tmp_path / "hang"
    flag.touch()
    code = HANGING.format(
        module="doorbelld.camera.pattern", cls="PatternCamera", method="open", flag=str(flag)
    )
    environ = {**systemd.environ, **sitecustomize(tmp_path, "hanging", code)}
    daemon.start(environ=environ, wait=False)
    assert systemd.next() == "READY=1"
    daemon.port = int(re.findall(r"open http://\S+:(\d+)/", daemon.log())[0])
    assert daemon.status()["camera"]["state"] == "starting"
    flag.unlink()


def test_status_line_has_camera_rate_and_viewers(daemon: Daemon, systemd: ServiceManager) -> None:
    daemon.start({"camera.resolution": "160x120", "camera.framerate": 10}, environ=systemd.environ)
    line = re.compile(r"STATUS=Streaming: Test pattern, 160x120 at \d+ fps; (\d+) watching")

    def wait_for(count: str) -> None:
        while True:
            found = line.fullmatch(systemd.wait_for("STATUS=Streaming"))
            assert found
            if found[1] == count:
                return

    wait_for("0")
    with Stream(daemon), Stream(daemon):
        wait_for("2")
    wait_for("0")


def test_status_line_says_what_is_wrong_in_plain_ascii(
    daemon: Daemon, systemd: ServiceManager
) -> None:
    daemon.start(MISSING, environ=systemd.environ)
    line = systemd.wait_for("STATUS=Offline")
    assert line == "STATUS=Offline: There is no file /nowhere/t?r.mjpeg; 0 watching"


def test_reports_that_it_reloads_and_that_it_stops(daemon: Daemon, systemd: ServiceManager) -> None:
    daemon.start(environ=systemd.environ)
    systemd.wait_for("READY=1")
    daemon.send(signal.SIGHUP)
    first = systemd.wait_for("RELOADING=1")
    # Newer systemd needs the time, to distinguish it from an earlier reload.
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d{6,}", first)
    assert systemd.next() == "READY=1"
    assert daemon.stop() == 0
    systemd.wait_for("STOPPING=1")
    assert systemd.rest() == [], "the last word"


def test_reload_that_fails_ends_as_well(
    daemon: Daemon, systemd: ServiceManager, tmp_path: Path
) -> None:
    path = tmp_path / "x.conf"
    path.touch()
    daemon.start(arguments=["--config", str(path)], environ=systemd.environ)
    systemd.wait_for("READY=1")
    path.write_text("[camera]\nrotation = 45\n")
    daemon.send(signal.SIGHUP)
    systemd.wait_for("RELOADING=1")
    assert systemd.next() == "READY=1"


# A port that is in use by another program.


def in_use(port: int) -> str:
    name = Path("/proc/self/comm").read_text(encoding="utf-8").strip()
    return f"{port}: in use by {name} (pid {os.getpid()})"


def test_port_that_is_taken_is_waited_for_and_reported_once(
    daemon: Daemon, systemd: ServiceManager
) -> None:
    with listener() as other:
        port = port_of(other)
        where = {"server.listen": f"127.0.0.1:{port}"}
        daemon.start(where, environ={**systemd.environ, **WATCHDOG}, wait=False)
        assert systemd.next() == "READY=1", "no boot waits for it"
        assert systemd.wait_for("STATUS=") == f"STATUS=Waiting for port {in_use(port)}"
        for _ in range(12):  # Several attempts fail in that time.
            systemd.wait_for("WATCHDOG=1")
    daemon.port = port
    daemon.wait_for_log(rf"open http://127\.0\.0\.1:{port}/")
    assert healthz(port) in (200, 503)
    systemd.wait_for("STATUS=Streaming")
    assert systemd.heard.count("READY=1") == 1
    log = [line for line in daemon.log().splitlines() if str(port) in line]
    assert len(log) == 2, log
    assert log[0].startswith(f"WARNING: cannot listen on 127.0.0.1:{port}: Address already in use")
    assert log[0].endswith("; waiting for it")


def test_daemon_that_waits_for_a_port_ends_at_once(daemon: Daemon, systemd: ServiceManager) -> None:
    with listener() as other:
        where = {"server.listen": f"127.0.0.1:{port_of(other)}"}
        daemon.start(where, environ=systemd.environ, wait=False)
        systemd.wait_for("STATUS=Waiting")
        assert daemon.stop() == 0
        systemd.wait_for("STOPPING=1")


def test_reload_tries_another_port_at_once(
    daemon: Daemon, systemd: ServiceManager, tmp_path: Path
) -> None:
    path = tmp_path / "x.conf"
    with listener() as one, listener() as two, listener() as free:
        path.write_text(f"[server]\nlisten = 127.0.0.1:{port_of(one)}\n")
        arguments = ["--config", str(path)]
        daemon.start(
            {"server.listen": None}, arguments=arguments, environ=systemd.environ, wait=False
        )
        systemd.wait_for(f"STATUS=Waiting for port {in_use(port_of(one))}")
        path.write_text("[server]\nlisten = no port\n")
        daemon.send(signal.SIGHUP)
        daemon.wait_for_log("the configuration stays as it was")
        path.write_text(f"[server]\nlisten = 127.0.0.1:{port_of(two)}\n")
        daemon.send(signal.SIGHUP)
        systemd.wait_for(f"STATUS=Waiting for port {in_use(port_of(two))}")
        port = port_of(free)
        free.close()
        path.write_text(f"[server]\nlisten = 127.0.0.1:{port}\n")
        daemon.send(signal.SIGHUP)
        daemon.wait_for_log(rf"open http://127\.0\.0\.1:{port}/")
        assert healthz(port) in (200, 503)
    assert "takes a restart" not in daemon.log()


@pytest.mark.parametrize("name", ["taken", "unknown"])
def test_address_that_can_be_had_is_served_while_another_is_waited_for(
    daemon: Daemon, systemd: ServiceManager, name: str
) -> None:
    with listener() as other:
        place = f"127.0.0.1:{port_of(other)}" if name == "taken" else "no.such.host.invalid:80"
        where = {"server.listen": f"{place},127.0.0.1:0"}
        daemon.start(where, environ={**systemd.environ, **WATCHDOG})
        daemon.wait_for_state("streaming")
        waited = f"port {in_use(port_of(other))}" if name == "taken" else f"{place}: "
        systemd.wait_for(f"STATUS=Waiting for {waited}")
        for _ in range(6):  # It fails again in that time.
            systemd.wait_for("WATCHDOG=1")
        with Stream(daemon) as stream:
            stream.part()
            if name == "taken":
                other.close()
                daemon.wait_for_log(rf"open http://{place}/")
                assert healthz(int(place.rpartition(":")[2])) == 200
            stream.part()
    assert daemon.log().count("cannot listen") == 1


def test_listener_that_was_waited_for_is_left_to_the_next_process(
    daemon: Daemon, manager: ServiceManager
) -> None:
    with listener() as other:
        daemon.port = port_of(other)
        manager.start(daemon)
    daemon.wait_for_log("open http")
    manager.wait_for_stored(LISTENER, 1)
    manager.restart(daemon)
    assert healthz(daemon.port) in (200, 503)
    assert daemon.log().count("cannot listen") == 1
    assert manager.stored(LISTENER) == 1


# The watchdog.


@pytest.mark.parametrize(("module", "cls", "method"), THREADS)
def test_watchdog_goes_quiet_while_a_thread_hangs(
    daemon: Daemon, systemd: ServiceManager, tmp_path: Path, module: str, cls: str, method: str
) -> None:
    flag = tmp_path / "hang"
    code = HANGING.format(module=module, cls=cls, method=method, flag=str(flag))
    environ = {**systemd.environ, **WATCHDOG, **sitecustomize(tmp_path, "hanging", code)}
    daemon.start(environ=environ)
    # With an idle connection the accept loop has to sweep.
    with daemon.connect():
        systemd.wait_for("WATCHDOG=1")
        flag.touch()
        eventually(flag.with_name("hang.held").exists, "the thread hangs")
        eventually(lambda: "WATCHDOG=1" not in turn(daemon, systemd), "no WATCHDOG=1")
        for _ in range(5):
            assert "WATCHDOG=1" not in turn(daemon, systemd)
        flag.unlink()
        systemd.wait_for("WATCHDOG=1")


def test_watchdog_goes_on_while_the_camera_is_merely_absent(
    daemon: Daemon, systemd: ServiceManager
) -> None:
    daemon.start(MISSING, environ={**systemd.environ, **WATCHDOG})
    systemd.wait_for("STATUS=Offline")
    # Three in a period: these take longer than a period that an earlier beat may cover.
    for _ in range(8):
        systemd.wait_for("WATCHDOG=1")
    assert systemd.heard.count("READY=1") == 1


@pytest.mark.parametrize(
    "environ",
    [{}, {"WATCHDOG_USEC": "soon"}, {**WATCHDOG, "WATCHDOG_PID": "1"}],
    ids=["none", "nonsense", "another's"],
)
def test_watchdog_is_not_fed_when_it_is_not_meant(
    daemon: Daemon, systemd: ServiceManager, environ: dict[str, str]
) -> None:
    daemon.start(environ={**systemd.environ, **environ})
    for _ in range(3):
        assert "WATCHDOG=1" not in turn(daemon, systemd)
    assert not [each for each in systemd.heard if each.startswith("WATCHDOG")]


# What it gets.


@pytest.mark.parametrize("count", [1, 2])
def test_sockets_that_are_passed_win_over_listen(daemon: Daemon, count: int) -> None:
    with ExitStack() as stack:
        passed = [stack.enter_context(listener()) for _ in range(count)]
        with listener() as taken:  # so listen would fail
            daemon.start(
                {"server.listen": f"127.0.0.1:{port_of(taken)}"},
                prefix=socket_unit(passed),
                pass_fds=[sock.fileno() for sock in passed],
                wait=False,
            )
            for sock in passed:
                daemon.port = port_of(sock)
                daemon.wait_for_log(rf"open http://127\.0\.0\.1:{daemon.port}/")
                daemon.wait_for_state("streaming")
                assert healthz(daemon.port) == 200
        assert daemon.stop() == 0


def test_client_that_connected_before_the_start_is_served(daemon: Daemon) -> None:
    with listener() as passed:
        with socket.create_connection(passed.getsockname(), 30) as early:
            early.sendall(b"GET /status HTTP/1.1\r\n\r\n")
            daemon.start(prefix=socket_unit([passed]), pass_fds=[passed.fileno()])
            assert read_answer(early).status == 200
        # The manager still has it: the next start finds the clients that come in between.
        assert daemon.stop() == 0
        with socket.create_connection(passed.getsockname(), 30):
            pass


def test_sockets_for_another_process_are_let_alone(daemon: Daemon) -> None:
    with listener() as passed:
        daemon.start(prefix=socket_unit([passed], for_another=True), pass_fds=[passed.fileno()])
        assert daemon.port != port_of(passed)
        assert daemon.status()["version"]


@pytest.mark.parametrize("count", ["many", "", "-1", "\N{SUPERSCRIPT TWO}", "99"])
def test_nonsense_about_sockets_is_ignored(daemon: Daemon, tmp_path: Path, count: str) -> None:
    pid = 'import os; os.environ["LISTEN_PID"] = str(os.getpid())'
    environ = {**sitecustomize(tmp_path, "pid", pid), "LISTEN_FDS": count}
    daemon.start(environ=environ)
    assert daemon.status()["version"]
    assert f"WARNING: LISTEN_FDS={count}" in daemon.log()


def test_socket_that_no_phone_can_connect_to_is_not_used(daemon: Daemon, tmp_path: Path) -> None:
    one, other = socket.socketpair()
    with one, other, socket.socket(socket.AF_UNIX) as local, Path("/dev/null").open() as file:
        local.bind(str(tmp_path / "local"))
        local.listen()
        fds = [one.fileno(), local.fileno(), file.fileno()]
        daemon.start(prefix=socket_unit(fds), pass_fds=fds)
        assert daemon.status()["version"]
    assert daemon.log().count("is not used") == 3


@pytest.mark.parametrize(("under_systemd", "code"), [(True, 78), (False, 2)])
def test_bad_configuration_has_an_exit_code_of_its_own(
    daemon: Daemon, systemd: ServiceManager, under_systemd: bool, code: int
) -> None:
    environ = systemd.environ if under_systemd else {}
    daemon.start({"camera.rotation": 45}, environ=environ, wait=False)
    assert daemon.wait() == code
    assert "--set camera.rotation = 45: must be 0, 90, 180 or 270" in daemon.log()
    assert systemd.rest() == []


# The journal.


def journal(daemon: Daemon, other: int = 0) -> dict[str, str]:
    """Return the variable by which a service knows that its standard error is the journal."""
    log = daemon.folder / "log"
    log.touch()
    found = log.stat()
    return {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + other}"}


def test_journal_gets_the_priority_of_each_line(daemon: Daemon, tmp_path: Path) -> None:
    environ = {**journal(daemon), **sitecustomize(tmp_path, "failing", FAILING)}
    daemon.start(MISSING, arguments=["-v"], environ=environ)
    daemon.status()
    daemon.wait_for_log("camera offline")
    for line in (
        r"<6>doorbelld \S+: open http://",
        r"<7>127\.0\.0\.1: 'GET /status",
        r"<4>camera offline: ",
        r"<3>one line\n<3>another",
    ):
        assert re.search(f"^{line}", daemon.log(), re.MULTILINE), daemon.log()
    assert all(re.match(r"<[2-7]>\S", line) for line in daemon.log().splitlines())


FAILING = """
import logging
from doorbelld.stream.broadcaster import Broadcaster
before = Broadcaster.start
def start(self):
    logging.getLogger("test").error("one line\\nanother")
    before(self)
Broadcaster.start = start
"""
"""A sitecustomize module: something is logged that takes two lines, as a traceback does."""


def environment_without_systemd(daemon: Daemon) -> dict[str, str]:  # noqa: ARG001
    return {}


def of_another_stream(daemon: Daemon) -> dict[str, str]:
    return journal(daemon, other=1)


@pytest.mark.parametrize("environ", [environment_without_systemd, of_another_stream])
def test_terminal_gets_the_priority_in_words(
    daemon: Daemon, environ: Callable[[Daemon], dict[str, str]]
) -> None:
    daemon.start(MISSING, environ=environ(daemon))
    daemon.wait_for_log("camera offline")
    for line in (r"doorbelld \S+: open http://", "WARNING: camera offline: "):
        assert re.search(f"^{line}", daemon.log(), re.MULTILINE)
    assert "<" not in daemon.log()


def test_manager_that_has_gone_is_no_matter(daemon: Daemon, tmp_path: Path) -> None:
    gone = {"NOTIFY_SOCKET": str(tmp_path / "missing"), "LISTEN_FDS": "1", "LISTEN_PID": "no"}
    daemon.start(environ=gone)
    daemon.wait_for_state("streaming")
    daemon.send(signal.SIGHUP)
    daemon.wait_for_log("read again")
    assert daemon.stop() == 0
