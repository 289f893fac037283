"""The service on a booted machine: it starts at boot, and again after every kind of failure."""

from __future__ import annotations

import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

from tests.appliance.service import UNIT, announced, fetch, main_pid, wait_for_picture
from tests.support import mosquitto
from tests.support.daemon import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.appliance.container import Container

KILLS = 20


def resident(machine: Container) -> float:
    """Return the resident memory of its main process, in megabytes.

    The value of the cgroup is not available on kernels with cgroup v1.
    """
    status = machine.run("cat", f"/proc/{main_pid(machine)}/status")
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024 / 1e6


def test_the_stream_starts_at_boot(machine: Container) -> None:
    wait_for_picture(machine)
    assert machine.show(UNIT, "UnitFileState") == "enabled"
    status, start = fetch(machine, "/video_feed", 2000)
    assert status == 200
    assert start.startswith(b"--frame\r\n")
    assert b"\r\n\r\n\xff\xd8\xff" in start
    assert b"Front door" in fetch(machine, "/")[1]


def test_nothing_else_failed_at_boot(machine: Container) -> None:
    assert machine.run("systemctl", "list-units", "--failed", "--no-legend") == ""


def test_systemd_understands_every_line_of_the_units(machine: Container) -> None:
    journal = machine.run("journalctl", "--no-pager", "--boot")
    ours = [line for line in journal.splitlines() if "doorbelld" in line]
    assert not [line for line in ours if re.search(r"Unknown|ignoring|Failed to parse", line)]


def test_it_is_confined(machine: Container) -> None:
    lines = machine.run("systemd-analyze", "security", "--no-pager", UNIT).splitlines()
    overall = next(line for line in lines if "Overall exposure level" in line)
    exposure = float(re.findall(r"\d+\.\d+", overall)[0])
    print(f"\nexposure {exposure}")
    assert exposure <= 1.4
    assert machine.show(UNIT, "User") == "doorbelld"
    owner = machine.run("stat", "--format=%U", f"/proc/{main_pid(machine)}").strip()
    assert owner == "doorbelld"


class Receiver(BaseHTTPRequestHandler):
    """Takes a message, and remembers by which token it was sent."""

    tokens: ClassVar[list[str]] = []

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.tokens.append(self.headers.get("Authorization", ""))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Do not write to the tests' output."""


def test_secret_may_be_a_credential_that_only_root_can_read(machine: Container) -> None:
    host = machine.address.rpartition(".")[0] + ".1"
    conf, secret = "/etc/doorbelld/conf.d/ntfy.conf", "/etc/doorbelld/secret"
    drop_in = "/etc/systemd/system/doorbelld.service.d/secret.conf"
    with ThreadingHTTPServer((host, 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://{host}:{server.server_address[1]}/door"
        machine.write(conf, f"[notify]\nntfy = {url}\n")
        machine.write(secret, "tk_MARKER\n")
        (machine.root / secret[1:]).chmod(0o600)
        machine.write(drop_in, f"[Service]\nLoadCredential=ntfy_token:{secret}\n")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", UNIT)
        assert machine.run("doorbelld", "notify", "--test") == "ntfy: delivered.\n"
        server.shutdown()
    assert Receiver.tokens.pop() == "Bearer tk_MARKER"
    machine.run("rm", conf, secret, drop_in)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", UNIT)
    assert "MARKER" not in machine.journal(UNIT)


def test_ip_filter_of_the_unit_is_found_and_the_command_that_opens_it(machine: Container) -> None:
    """A container's kernel filters nothing, but systemd says what it would."""
    host = machine.address.rpartition(".")[0] + ".1"
    conf = "/etc/doorbelld/conf.d/ntfy.conf"
    drop_in = "/etc/systemd/system/doorbelld.service.d/filter.conf"
    machine.write(conf, f"[notify]\nntfy = http://{host}:9/door\n")
    assert "IP filter" not in machine.run("doorbelld", "--check")
    machine.write(drop_in, "[Service]\nIPAddressDeny=any\nIPAddressAllow=localhost\n")
    machine.run("systemctl", "daemon-reload")
    checked = machine.run("doorbelld", "--check")
    assert f"Notify: ntfy: the IP filter of {UNIT} hides {host} from it.\n" in checked
    [command] = re.findall(r"for good: sudo (.*)", checked)
    assert command == f'systemctl set-property {UNIT} IPAddressAllow="{host}"'
    machine.run("sh", "-c", command)
    assert "IP filter" not in machine.run("doorbelld", "--check")
    machine.run("rm", "-r", conf, drop_in, f"/etc/systemd/system.control/{UNIT}.d")
    machine.run("systemctl", "daemon-reload")


def test_ring_reaches_a_broker_with_the_paho_of_this_debian(
    machine: Container, tmp_path: Path
) -> None:
    host = machine.address.rpartition(".")[0] + ".1"
    conf = "/etc/doorbelld/conf.d/mqtt.conf"
    wait_for_picture(machine)
    lines = ("allow_anonymous true", f"listener 1883 {host}")
    with mosquitto.running(tmp_path, *lines) as broker, broker.listener() as listener:
        machine.write(conf, f"[mqtt]\nbroker = {host}\ntopic = door\n")
        machine.run("systemctl", "reload", UNIT)
        listener.wait_for("door/availability", b"online")
        assert "and passed it on" in machine.run("doorbelld", "notify", "--test")
        machine.run("doorbelld", "ring")
        eventually(lambda: b'"ring"' in (listener.of("door/event") or [b""])[-1], "it rings")
        assert listener.of("door/image")[-1].startswith(b"\xff\xd8")
        machine.run("rm", conf)
        machine.run("systemctl", "reload", UNIT)
        listener.wait_for("door/availability", b"offline")


def test_start_stop_restart_reload_and_status(machine: Container) -> None:
    machine.run("systemctl", "stop", "doorbelld")
    assert fetch(machine, "/")[0] == 0
    machine.run("systemctl", "start", "doorbelld")
    assert fetch(machine, "/")[0] == 200, "it listens when start has returned"
    before = main_pid(machine)
    machine.run("systemctl", "reload", "doorbelld")
    eventually(
        lambda: "the configuration was read again" in machine.journal(UNIT), "the log says so"
    )
    assert main_pid(machine) == before
    machine.run("systemctl", "restart", "doorbelld")
    assert main_pid(machine) != before
    wait_for_picture(machine)
    eventually(
        lambda: "Streaming: Test pattern" in machine.show(UNIT, "StatusText"),
        "the state of the camera in systemctl status",
    )
    assert "Streaming" in machine.run("systemctl", "status", "--no-pager", "doorbelld")


def test_doorbelld_status_prints_where_a_phone_finds_it(machine: Container) -> None:
    wait_for_picture(machine)
    text = machine.run("doorbelld", "status")
    assert text.startswith("Front door: live, ")
    assert f"http://{machine.address}:5000/\n" in text


def test_page_is_announced_only_while_it_is_served(machine: Container) -> None:
    wait_for_picture(machine)
    ours = {("_http._tcp", 5000)}
    eventually(lambda: announced(machine) == ours, "it is announced")
    machine.run("systemctl", "stop", UNIT)
    eventually(lambda: not announced(machine), "it is no longer announced")
    host = machine.run("hostname").strip()
    rival = ["avahi-publish", "-s", f"Front door on {host}", "_http._tcp", "99"]
    machine.run("systemd-run", "--unit=rival", *rival)
    eventually(lambda: announced(machine) == {("_http._tcp", 99)}, "the rival is announced")
    conf = "/etc/doorbelld/conf.d/port.conf"
    machine.write(conf, "[server]\nlisten = :5000, :8080\n")
    machine.run("systemctl", "start", UNIT)
    wait_for_picture(machine)
    eventually(lambda: "avahi-publish: it ended; trying" in machine.journal(UNIT), "it is logged")
    assert machine.show(UNIT, "NRestarts") == "0"
    machine.run("systemctl", "stop", "rival")
    machine.write(conf, "[server]\nlisten = :8080\n")
    machine.run("systemctl", "restart", UNIT)
    eventually(lambda: announced(machine) == {("_http._tcp", 8080)}, "its new port is announced")
    (machine.root / conf[1:]).unlink()
    machine.run("systemctl", "restart", UNIT)
    eventually(lambda: announced(machine) == ours, "the first port is announced again")
    before = main_pid(machine)
    # The shell's own kill, because a minimal Debian has no other. The daemon's child is not killed.
    machine.run("sh", "-c", f"kill -KILL {before}")
    eventually(lambda: main_pid(machine) not in ("0", before), "a new process")
    eventually(lambda: announced(machine) == ours, "the new process announces it")
    machine.run("systemctl", "restart", "avahi-daemon")
    eventually(lambda: announced(machine) == ours, "the new Avahi announces it")


def test_it_is_back_within_seconds_after_kill_9(machine: Container) -> None:
    wait_for_picture(machine)
    pauses = []
    for _ in range(KILLS):
        before = main_pid(machine)
        machine.run("systemctl", "kill", "--signal=KILL", UNIT)
        killed_at = time.monotonic()
        eventually(lambda: fetch(machine, "/")[0] == 200, "the page is back")
        pauses.append(time.monotonic() - killed_at)
        assert main_pid(machine) != before
    print(f"\nafter kill -9 the page is back within {max(pauses):.1f} s")
    assert max(pauses) < 5
    assert int(machine.show(UNIT, "NRestarts")) >= KILLS


def test_the_watchdog_restarts_a_daemon_that_hangs(machine: Container) -> None:
    before = main_pid(machine)
    machine.run("systemctl", "kill", "--signal=STOP", UNIT)
    eventually(lambda: main_pid(machine) not in ("0", before), "a new process", 120)
    wait_for_picture(machine)


def test_a_bad_configuration_is_explained_and_a_good_one_starts_again(machine: Container) -> None:
    bad = "/etc/doorbelld/conf.d/bad.conf"
    machine.write(bad, "[camera]\nframerate = many\n")
    machine.run("systemctl", "reload", "doorbelld", check=False)
    eventually(
        lambda: "the configuration stays as it was" in machine.journal(UNIT), "the log says so"
    )
    assert fetch(machine, "/healthz")[0] == 200
    failed = machine.run("systemctl", "restart", "doorbelld", check=False)
    status = machine.run(
        "systemctl", "status", "--no-pager", "--lines=20", "doorbelld", check=False
    )
    assert "Job for doorbelld.service failed" in failed
    assert machine.show(UNIT, "ActiveState") == "failed"
    assert re.search(rf"{bad}:2: .*framerate.*many", status), status
    (machine.root / bad[1:]).unlink()
    machine.run("systemctl", "start", "doorbelld")
    wait_for_picture(machine)


def journal_length(machine: Container) -> int:
    return len(machine.journal(UNIT).splitlines())


def test_it_waits_for_a_port_in_use_and_logs_little(machine: Container) -> None:
    machine.run("systemctl", "stop", UNIT)
    other_server = ["python3", "-m", "http.server", "5000"]
    machine.run("systemd-run", "--unit=other-server", *other_server)
    eventually(lambda: fetch(machine, "/")[0] == 200, "the port is in use")
    before = journal_length(machine)
    machine.run("systemctl", "start", UNIT)  # It must return, although the port is in use.
    started_at = int(machine.show(UNIT, "ActiveEnterTimestampMonotonic"))
    waiting = "Waiting for port 5000: in use by another program"
    eventually(lambda: machine.show(UNIT, "StatusText") == waiting, "the reason in its status")
    pid = machine.show("other-server.service", "MainPID")
    output = machine.run("doorbelld", "status", check=False)
    assert f": port 5000 is in use by python3 (pid {pid}); stop that program" in output
    eventually(
        lambda: int(machine.show(UNIT, "WatchdogTimestampMonotonic")) > started_at + 10e6,
        "ten seconds, in which it tries several times",
    )
    # One line is the daemon's and three are systemd's: starting, started, and systemd-run's start.
    assert journal_length(machine) - before <= 4, machine.journal(UNIT)
    machine.run("systemctl", "stop", "other-server")
    wait_for_picture(machine)
    assert machine.show(UNIT, "NRestarts") == "0"
    assert journal_length(machine) - before <= 6, machine.journal(UNIT)


def test_service_that_fails_at_every_start_does_not_fill_the_journal(machine: Container) -> None:
    drop_in = "/etc/systemd/system/doorbelld.service.d/fails.conf"
    machine.write(drop_in, "[Service]\nExecStart=\nExecStart=/bin/false\n")
    machine.run("systemctl", "daemon-reload")
    before, began_at = journal_length(machine), time.monotonic()
    machine.run("systemctl", "restart", UNIT, check=False)
    eventually(lambda: int(machine.show(UNIT, "NRestarts")) >= 3, "it was started three times")
    rate = (journal_length(machine) - before) / (time.monotonic() - began_at) * 60
    print(f"\na service that fails at every start logs {rate:.0f} lines per minute")
    assert rate < 100
    (machine.root / drop_in[1:]).unlink()
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", UNIT)
    wait_for_picture(machine)


def test_it_is_up_again_after_a_reboot(machine: Container) -> None:
    machine.reboot()
    wait_for_picture(machine)
    since_boot = int(machine.show(UNIT, "ActiveEnterTimestampMonotonic")) / 1e6
    userspace = int(machine.show("", "UserspaceTimestampMonotonic")) / 1e6
    memory = resident(machine)
    cpu = int(machine.show(UNIT, "CPUUsageNSec")) / 1e9
    print(
        f"\nit listens {since_boot - userspace:.1f} s after systemd has started;"
        f" {memory:.0f} MB resident; {cpu:.1f} s of CPU time until the first picture"
    )
