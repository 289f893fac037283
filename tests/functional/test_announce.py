"""How the page is announced in the network: by avahi-publish, here replaced by a script."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, eventually
from tests.support.ports import free_port
from tests.support.secure import make_pair
from tests.support.service_manager import ServiceManager

PROGRAM = """\
#!{python} -S
import json, os, signal, sys
links = {{}}
for fd in os.listdir("/proc/self/fd"):
    try:
        links[fd] = os.readlink("/proc/self/fd/" + fd)
    except OSError:
        pass
found = {{"arguments": sys.argv[1:], "files": links, "pid": os.getpid()}}
found["environ"] = dict(os.environ)
with open({log!r}, "a") as file:
    file.write(json.dumps(found) + "\\n")
signal.pause()
"""


class Avahi:
    """Replaces avahi-publish, and records each call."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "calls"
        program = folder / "bin" / "avahi-publish"
        program.parent.mkdir()
        program.write_text(PROGRAM.format(python=sys.executable, log=str(self._log)))
        program.chmod(0o755)
        self.environ = {"PATH": f"{program.parent}:{os.environ['PATH']}"}

    def calls(self) -> list[dict[str, object]]:
        """Return all calls so far."""
        text = self._log.read_text(encoding="ascii") if self._log.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    def call(self, number: int) -> dict[str, object]:
        """Wait for a call, from 1 on; return it."""
        return eventually(lambda: self.calls()[number - 1 : number], f"call {number}")[0]


@pytest.fixture
def avahi(tmp_path: Path) -> Avahi:
    return Avahi(tmp_path)


def entry(call: dict[str, object]) -> tuple[str, ...]:
    """Return name, type, port and TXT record of what was announced."""
    arguments = call["arguments"]
    assert isinstance(arguments, list)
    assert arguments[:3] == ["--no-fail", "--service", "--"]
    return tuple(arguments[3:])


def is_alive(call: dict[str, object]) -> bool:
    """Return whether the process of a call exists, even as a zombie."""
    return Path(f"/proc/{call['pid']}").exists()


def on_this_machine(name: str) -> str:
    return f"{name} on {socket.gethostname().partition('.')[0]}"


def test_page_is_announced_with_its_name_and_its_real_port(daemon: Daemon, avahi: Avahi) -> None:
    daemon.start({"server.listen": ":0", "camera.name": "Gate"}, environ=avahi.environ)
    call = avahi.call(1)
    assert entry(call) == (on_this_machine("Gate"), "_http._tcp", str(daemon.port), "path=/")
    assert is_alive(call)
    assert daemon.stop() == 0
    assert not is_alive(call)
    assert len(avahi.calls()) == 1


def test_reload_announces_the_page_as_it_is_then(
    daemon: Daemon, avahi: Avahi, tmp_path: Path
) -> None:
    pair, path = make_pair(tmp_path), tmp_path / "x.conf"
    path.touch()
    daemon.start({"server.listen": ":0"}, arguments=["--config", str(path)], environ=avahi.environ)
    first = avahi.call(1)
    daemon.send(signal.SIGHUP)
    daemon.wait_for_log("read again")
    assert is_alive(first)
    assert len(avahi.calls()) == 1, "nothing has changed"
    path.write_text(
        f"[camera]\nname = T\u00fcr\n[access]\ntls_certificate = {pair.certificate}\n"
        f"tls_key = {pair.key}\n",
        encoding="utf-8",
    )
    daemon.send(signal.SIGHUP)
    name, kind, port, _ = entry(avahi.call(2))
    assert (name, kind, port) == (on_this_machine("T\u00fcr"), "_https._tcp", str(daemon.port))
    assert not is_alive(first)


def test_page_that_no_phone_can_reach_is_not_announced(daemon: Daemon, avahi: Avahi) -> None:
    daemon.start({"server.listen": "127.0.0.1:0, [::1]:0"}, environ=avahi.environ)
    daemon.wait_for_log("camera streaming")
    assert daemon.stop() == 0
    assert avahi.calls() == []


def test_port_that_is_waited_for_is_announced_once_it_is_served(
    daemon: Daemon, avahi: Avahi, systemd: ServiceManager
) -> None:
    port = free_port()
    with socket.create_server(("", port)):
        environ = {**avahi.environ, **systemd.environ}
        daemon.start({"server.listen": f":{port}"}, environ=environ, wait=False)
        systemd.wait_for("STATUS=Waiting")
        assert avahi.calls() == []
    assert entry(avahi.call(1))[2] == str(port)


@pytest.mark.parametrize("name", ["x" * 64, "\u00fc" * 64, "-f", "--help"])
def test_name_is_as_long_as_avahi_takes_and_no_option(
    daemon: Daemon, avahi: Avahi, name: str
) -> None:
    daemon.start({"server.listen": ":0", "camera.name": name}, environ=avahi.environ)
    announced = entry(avahi.call(1))[0]
    assert len(announced.encode()) <= 63
    assert announced.endswith(on_this_machine("")[-50:])
    assert announced.startswith(name[:5])


def test_child_has_nothing_that_is_the_daemons(
    daemon: Daemon, avahi: Avahi, systemd: ServiceManager
) -> None:
    environ = {**avahi.environ, **systemd.environ, "SECRET": "sesame"}
    with Path("/dev/null").open() as leaked:  # inheritable, as OpenCV opens a camera
        daemon.start({"server.listen": ":0"}, environ=environ, pass_fds=[leaked.fileno()])
    call = avahi.call(1)
    files, found = call["files"], call["environ"]
    assert isinstance(files, dict)
    assert isinstance(found, dict)
    own = {fd: link for fd, link in files.items() if not link.endswith("/fd")}
    assert own == {str(fd): os.devnull for fd in range(3)}
    assert set(found) - {"LC_CTYPE"} <= {"PATH", "DBUS_SYSTEM_BUS_ADDRESS"}


def test_child_that_ends_is_reaped_and_logged_once(daemon: Daemon, avahi: Avahi) -> None:
    daemon.start({"server.listen": ":0"}, environ=avahi.environ)
    call = avahi.call(1)
    os.kill(int(str(call["pid"])), signal.SIGKILL)
    eventually(lambda: not is_alive(call), "no zombie is left")
    daemon.wait_for_log("WARNING: avahi-publish: it ended; trying it every 60 s")
    assert daemon.status()["version"]
    assert len(avahi.calls()) == 1, "and is not replaced at once"


def test_child_does_not_outlive_a_daemon_that_is_killed(daemon: Daemon, avahi: Avahi) -> None:
    daemon.start({"server.listen": ":0"}, environ=avahi.environ)
    call = avahi.call(1)
    daemon.process.kill()
    daemon.wait()
    try:
        eventually(lambda: not is_alive(call), "the child has ended")
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(str(call["pid"])), signal.SIGKILL)


def test_machine_without_avahi_is_no_matter(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    daemon.start({"server.listen": ":0"}, environ={"PATH": str(tmp_path / "bin")})
    daemon.wait_for_log("camera streaming")
    assert "avahi" not in daemon.log()
