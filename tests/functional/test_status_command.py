"""``doorbelld status`` beside a running daemon, as a user runs it in a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import GUARD, ROOT, Daemon, eventually
from tests.support.network_namespace import NamespacedDaemon, NetworkNamespace
from tests.support.stream import Stream
from tests.support.visits import make_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MISSING = {"camera.source": "file:/nowhere/camera.mjpeg"}


def status(
    listen: str, *options: str, environ: Mapping[str, str] = {}
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "doorbelld", f"--set=server.listen={listen}", "status", *options],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=GUARD,
    )


def on_a_terminal(listen: str, environ: Mapping[str, str] = {}) -> str:
    """Return what it prints on a terminal."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "doorbelld", f"--set=server.listen={listen}", "status"]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environ}, stdout=its) as process:
        os.close(its)
        text = b""
        while True:
            try:
                text += os.read(ours, 65536)
            except OSError:  # EIO: it has ended
                break
        process.wait(GUARD)
    os.close(ours)
    return text.decode().replace("\r\n", "\n")


def test_reports_the_camera_and_its_viewers(daemon: Daemon) -> None:
    daemon.start({"camera.name": "Gate"})
    daemon.wait_for_state("streaming")
    listen = f"127.0.0.1:{daemon.port}"
    done = status(listen)
    assert done.returncode == 0
    assert re.fullmatch(
        r"Gate: live, [\d.]+ frames a second \(Test pattern, 640x480\)\n"
        r"Nobody is watching\.\n"
        r"Open on a phone in the same network:\n"
        rf"    http://{listen}/\n",
        done.stdout,
    )
    with Stream(daemon) as stream:
        stream.part()
        lines = status(listen).stdout.splitlines()
    assert lines[1] == "1 watching:"
    assert re.fullmatch(r"    127\.0\.0\.1 since \d\d:\d\d, [\d.]+ frames a second", lines[2])


def test_reports_why_there_is_no_picture(daemon: Daemon) -> None:
    daemon.start(MISSING)
    daemon.wait_for_state("offline")
    done = status(f"127.0.0.1:{daemon.port}")
    assert done.returncode == 1
    first = done.stdout.splitlines()[0]
    why = "There is no file /nowhere/camera.mjpeg"
    assert re.fullmatch(rf"Front door: offline since \d\d:\d\d: {why}", first)


def test_reports_visits_and_the_shutter(daemon: Daemon, tmp_path: Path) -> None:
    state = make_state(tmp_path / "state")
    (state / "shutter").write_text("closed 1700000000.0\n")
    daemon.start(environ={"STATE_DIRECTORY": str(state)})
    eventually(lambda: daemon.status()["visits"]["count"] == 4, "the visits are read")
    done = status(f"127.0.0.1:{daemon.port}")
    assert done.returncode == 1
    _, _, visits, shutter, where, *_ = done.stdout.splitlines()
    assert re.fullmatch(r"4 visits, \d of 1000 MB; last rang [-\d: ]*\d\d:\d\d\.", visits)
    since = r"2023-11-1\d \d\d:\d\d"
    assert re.fullmatch(rf"The camera is paused since {since}; the page opens it again\.", shutter)
    assert where == "Open on a phone in the same network:"


def test_reports_why_no_one_is_notified(daemon: Daemon) -> None:
    daemon.start(
        {"notify.ntfy": "http://127.0.0.1:9/MARKER", "notify.token_file": "/nowhere/token"}
    )
    eventually(lambda: daemon.status()["notify"]["ntfy"]["state"] == "failed", "it cannot")
    lines = status(f"127.0.0.1:{daemon.port}").stdout.splitlines()
    (line,) = [each for each in lines if "ntfy" in each]
    why = "/nowhere/token does not exist: write the secret into it, with the mode 600"
    assert re.fullmatch(rf"No notifications by ntfy since \d\d:\d\d: {why}\.", line)


def test_prints_json(daemon: Daemon) -> None:
    daemon.start(MISSING)
    listen = f"127.0.0.1:{daemon.port}"
    done = status(listen, "--json")
    answer = json.loads(done.stdout)
    assert answer["urls"] == [f"http://{listen}/"]
    assert set(daemon.status()) < set(answer)
    assert answer["camera"]["source"] == MISSING["camera.source"]


def test_lists_the_addresses_that_a_phone_can_open(daemon: Daemon) -> None:
    daemon.start({"server.listen": ":0"})
    urls = json.loads(status(f":{daemon.port}", "--json").stdout)["urls"]
    answer = subprocess.run(["ip", "-json", "address"], capture_output=True, check=True).stdout
    own = {
        address["local"]
        for interface in json.loads(answer)
        for address in interface.get("addr_info", [])
        if address["scope"] == "global"
    }
    listed = {re.sub(r"[\[\]]", "", url[7:].rpartition(":")[0]) for url in urls}
    assert own == {host for host in listed if not host.endswith(".local")}
    assert all(url.endswith(f":{daemon.port}/") for url in urls)


@pytest.mark.parametrize("proxies", ["127.0.0.1", "lan"])
def test_works_if_this_machine_is_a_trusted_proxy(daemon: Daemon, proxies: str) -> None:
    daemon.start({"access.trusted_proxies": proxies})
    done = status(f"127.0.0.1:{daemon.port}")
    assert "Nobody is watching." in done.stdout


def test_says_that_this_machine_may_not_watch(daemon: Daemon) -> None:
    daemon.start({"access.networks": "192.0.2.0/24"})
    done = status(f"127.0.0.1:{daemon.port}")
    assert done.returncode == 4
    why = "this address is not in the networks let in"
    assert done.stdout == f"doorbelld is running, but does not answer this machine: {why}\n"
    assert status(f"127.0.0.1:{daemon.port}", "--json").stdout == "null\n"


TAILSCALE = "100.101.102.103"
ALONE = "add the addresses of the phones to networks"


@pytest.fixture
def vpn() -> Iterator[NetworkNamespace]:
    """Return a machine in a LAN, two VPNs, a LAN of public addresses and a network of its own."""
    with NetworkNamespace() as found:
        for link in ("eth0", "tailscale0"):
            found.ip("link", "add", link, "type", "veth", "peer", "name", f"to-{link}")
        for address, link in (
            ("192.168.7.7/24", "eth0"),
            ("198.51.100.7/24", "eth0"),
            ("203.0.113.7/32", "eth0"),
            (f"{TAILSCALE}/32", "tailscale0"),
            ("fd7a::7/128", "tailscale0"),
            ("10.8.0.2/32", "tailscale0"),
        ):
            found.ip("address", "add", address, "dev", link, *["nodad"] * (":" in address))
            found.ip("link", "set", link, "up")
        yield found


REACHED = {"192.168.7.7", "198.51.100.7", "10.8.0.2", "[fd7a::7]"}


@pytest.mark.parametrize(
    ("networks", "hosts"),
    [
        ("lan", REACHED),
        ("lan, 100.64.0.0/10", {*REACHED, TAILSCALE}),
        ("any", {*REACHED, TAILSCALE, "203.0.113.7"}),
        ("127.0.0.0/8, 192.168.7.0/24", {"192.168.7.7"}),
        ("127.0.0.0/8", set()),
    ],
)
def test_lists_only_addresses_at_which_a_phone_would_be_answered(
    tmp_path: Path, vpn: NetworkNamespace, networks: str, hosts: set[str]
) -> None:
    setting = {"access.networks": networks, "server.listen": ":5000"}
    with NamespacedDaemon(tmp_path, vpn) as daemon:
        daemon.start(setting, prefix=vpn.prefix)
        options = [f"--set=access.networks={networks}", "status"]
        done = there(vpn, *options, "--json")
        found = {url[len("http://") : -len(":5000/")] for url in json.loads(done.stdout)["urls"]}
        assert {host for host in found if not host.endswith(".local")} == hosts
        lines = there(vpn, *options).stdout
        assert ("There is no network that a phone could use" in lines) == (not hosts)


def test_check_names_addresses_at_which_no_phone_would_be_answered(vpn: NetworkNamespace) -> None:
    lines = there(vpn, "--check", "--set=camera.source=pattern").stdout.splitlines()
    problems = [line for line in lines if line.startswith("Address")]
    assert sorted(problems) == [
        f"Address {TAILSCALE} (tailscale0): phones there get 403; add 100.64.0.0/10 to networks",
        f"Address 203.0.113.7 (eth0): phones there get 403; {ALONE}",
    ]
    done = there(vpn, "--check", "--set=camera.source=pattern", "--set=access.networks=any")
    assert "Address" not in done.stdout
    done = there(vpn, "--check", "--set=camera.source=pattern", "--set=access.networks=10.0.0.0/8")
    other = "Address 192.168.7.7 (eth0): phones there get 403; add 192.168.7.0/24 to networks\n"
    assert other in done.stdout


def test_check_speaks_only_of_places_that_are_listened_at(vpn: NetworkNamespace) -> None:
    listen = "--set=server.listen=192.168.7.7:5000,door.example.org:80"
    lines = there(vpn, "--check", "--set=camera.source=pattern", listen).stdout.splitlines()
    problems = [line for line in lines if line.startswith(("Address", "Name"))]
    assert problems == ["Name door.example.org: doorbelld does not answer to it; add it to hosts"]


def there(place: NetworkNamespace, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in that namespace."""
    command = [*place.prefix, sys.executable, "-m", "doorbelld", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=GUARD
    )


def test_does_not_offer_a_name_that_is_not_answered(daemon: Daemon) -> None:
    daemon.start({"server.listen": "127.0.0.1:0"})
    listen = f"door.example.org:{daemon.port}"
    # The name is for this machine only.
    (daemon.folder / "sitecustomize.py").write_text(
        "import socket\n"
        "ask = socket.getaddrinfo\n"
        "socket.getaddrinfo = lambda host, *a, **k: ask(\n"
        "    host.replace('door.example.org', '127.0.0.1'), *a, **k)\n"
    )
    environ = {"PYTHONPATH": str(daemon.folder)}
    assert json.loads(status(listen, "--json", environ=environ).stdout)["urls"] == []
    named = ("--set=access.hosts=*.example.org", "--json")
    urls = json.loads(status(listen, *named, environ=environ).stdout)["urls"]
    assert urls == [f"http://{listen}/"]


def test_draws_the_first_address_on_a_terminal(daemon: Daemon) -> None:
    daemon.start()
    listen = f"127.0.0.1:{daemon.port}"
    text = on_a_terminal(listen)
    assert text.splitlines()[3] == f"    http://{listen}/"
    assert "█▀▀▀▀▀█" in text
    assert "█" not in status(listen).stdout, "not into a file or a pipe"


def test_needs_no_opencv(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError\n")
    daemon.start()
    listen = f"127.0.0.1:{daemon.port}"
    text = on_a_terminal(listen, {"PYTHONPATH": str(tmp_path)})
    assert text.splitlines()[3:] == [f"    http://{listen}/"]


def test_says_that_no_daemon_is_running() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        done = status(f"127.0.0.1:{port}")
        as_json = status(f"127.0.0.1:{port}", "--json")
    assert done.returncode == as_json.returncode == 3
    expected = f"doorbelld is not running: nothing answers at port {port} "
    assert done.stdout.startswith(expected)
    assert done.stderr == ""
    assert json.loads(as_json.stdout) is None


@pytest.mark.parametrize("body", [b"hello", b"[]", b'{"a": 1}', b"\xff"])
def test_recognizes_another_server(body: bytes) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        done = status(f"127.0.0.1:{server.server_port}")
        thread.join()
    assert done.returncode == 3
    name = Path("/proc/self/comm").read_text(encoding="utf-8").strip()
    assert done.stdout == (
        f"doorbelld is not running: port {server.server_port} is in use by {name}"
        f" (pid {os.getpid()}); stop that program, or choose another port, such as listen = :8080\n"
    )
    assert done.stderr == ""


def test_names_the_program_that_has_the_port_as_far_as_it_can() -> None:
    with socket.create_server(("127.0.0.1", 8080)) as other:  # It never answers.
        other.listen()
        listen, *options = f"127.0.0.1:{other.getsockname()[1]}", "--json"
        assert status(listen, *options).stdout == "null\n"
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-m"]
            done = subprocess.run(
                [*command, "doorbelld", f"--set=server.listen={listen}", "status"],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
                timeout=GUARD,
            )
            assert done.returncode == 3
            assert " is in use by another program; stop that program" in done.stdout
            assert done.stdout.endswith("such as listen = :8081\n")
