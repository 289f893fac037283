"""Behind the real nginx, HAProxy and Caddy, configured exactly as docs/proxies.md says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import contextmanager
from http.client import HTTPConnection
from io import BufferedReader
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from doorbelld.access.policy import Access
from tests.support.daemon import ROOT, Daemon, eventually
from tests.support.ports import free_port
from tests.support.proxy_manual import block, moved
from tests.support.proxy_servers import caddy, haproxy, nginx, wait_until_it_listens
from tests.support.stream import Stream
from tests.support.stream_parser import StreamParser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "door.example.org"
FRAMES = 20
STRANGER = "8.8.8.8"


def of_nginx(port: int) -> str:
    return moved(block("nginx"), ("listen 80;", f"listen 127.0.0.1:{port};"))


def of_haproxy(port: int) -> str:
    return moved(block("haproxy"), ("bind :80", f"bind 127.0.0.1:{port}"))


def of_caddy(port: int) -> str:
    # Without http:// it would ask for a certificate of a name that is not ours.
    return moved(block("caddy"), (f"{NAME} {{", f"http://{NAME}:{port} {{"))


SERVERS = {"nginx": (nginx, of_nginx), "haproxy": (haproxy, of_haproxy), "caddy": (caddy, of_caddy)}


class Behind(Daemon):
    """A daemon behind a proxy, with the host name of the manual."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.proxy_port = 0

    def start_as_the_manual_says(self, *more: str) -> None:
        (self.folder / "doorbelld.conf").write_text(block("ini") + "\n".join(more))
        arguments = ["--config", str(self.folder / "doorbelld.conf")]
        self.start({"camera.resolution": "160x120"}, arguments=arguments)

    @contextmanager
    def behind(self, server: str) -> Iterator[None]:
        """Run this proxy in front, and send requests through it."""
        run, written = SERVERS[server]
        port = free_port()
        text = moved(written(port), ("127.0.0.1:5000", f"127.0.0.1:{self.port}"))
        with run(self.folder, text):
            direct, self.port = self.port, port
            try:
                wait_until_it_listens(self.connect, self.folder)
                yield
            finally:
                self.port = direct

    def ask(
        self, path: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> tuple[int, bytes]:
        """Return status and body of the proxy's answer."""
        connection = HTTPConnection(NAME, self.port)
        connection.sock = self.connect()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, {"Host": f"{NAME}:{self.port}", **named})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


class Viewer(Stream):
    """A viewer behind the proxy, which may send the stream in chunks."""

    def __init__(self, door: Behind) -> None:
        connection = HTTPConnection(NAME, door.port)
        self.socket = connection.sock = door.connect()
        connection.request("GET", "/video_feed", headers={"Host": f"{NAME}:{door.port}"})
        answer = connection.getresponse()
        self.status, self.file = answer.status, BufferedReader(answer)
        self._parser = StreamParser()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Behind]:
    found = Behind(tmp_path)
    with found:
        yield found


@pytest.fixture(params=SERVERS)
def door(daemon: Behind, request: pytest.FixtureRequest) -> Iterator[Behind]:
    """Return a daemon configured as in the manual, behind one of the proxies."""
    daemon.start_as_the_manual_says()
    with daemon.behind(request.param):
        eventually(lambda: daemon.ask("/snapshot.jpg")[0] == 200, "a picture")
        yield daemon


def test_everything_is_answered_and_the_stream_goes_on(door: Behind) -> None:
    assert b"Front door" in door.ask("/")[1]
    assert door.ask("/snapshot.jpg")[1].startswith(b"\xff\xd8")
    with Viewer(door) as stream:
        assert stream.status == 200
        for _ in range(FRAMES):
            stream.part()
        viewers = json.loads(door.ask("/status")[1])["viewers"]
        assert [row["address"] for row in viewers] == ["127.0.0.1"]
        assert viewers[0]["dropped"] < FRAMES


def test_strangers_behind_it_are_strangers(door: Behind) -> None:
    # As if there were another trusted proxy in front of this one.
    for forged in (STRANGER, f"192.168.1.2, {STRANGER}"):
        expected = 403 if "caddy" not in (door.folder / "proxy.log").read_text() else 200
        status, body = door.ask("/status", X_Forwarded_For=forged)
        assert status == expected, "Caddy believes no client"
        assert status == 200 or body == b"this address is not in the networks let in\n"


@pytest.mark.parametrize("server", SERVERS)
def test_form_lets_in_through_it(daemon: Behind, tmp_path: Path, server: str) -> None:
    password = tmp_path / "password"
    command = [
        sys.executable,
        "-m",
        "doorbelld",
        f"--set=access.password_file={password}",
        "passwd",
    ]
    subprocess.run(command, cwd=ROOT, input=b"correct horse", check=True)
    daemon.start_as_the_manual_says(f"password_file = {password}\n")
    with daemon.behind(server):
        form = urlencode({"password": "correct horse"})
        headers = {
            "Origin": f"http://{NAME}:{daemon.port}",
            "Content_Type": "application/x-www-form-urlencoded",
        }
        assert daemon.ask("/status")[0] == 401
        assert daemon.ask("/login", "POST", form, **headers)[0] == 303


# Traefik is not in Debian.


def test_block_for_traefik_has_the_form_of_its_file_provider() -> None:
    """Every line is a key with its value, two spaces deeper than its parent key."""
    lines = block("yaml").splitlines()
    depths = [(len(line) - len(line.lstrip())) // 2 for line in lines]
    assert all(re.fullmatch(r"(?:  )*(?:- )?[a-zA-Z]+:(?: \S+)?", line) for line in lines)
    assert all(later <= earlier + 1 for earlier, later in zip(depths, depths[1:]))
    keys = {line.strip().lstrip("- ").partition(":")[0] for line in lines}
    assert keys == {
        *("http", "routers", "door", "rule", "service", "services", "doorbelld", "loadBalancer"),
        *("passHostHeader", "responseForwarding", "flushInterval", "servers", "url"),
    }
    assert "url: http://127.0.0.1:5000" in block("yaml")


def test_what_traefik_sends_is_answered(daemon: Behind) -> None:
    daemon.start_as_the_manual_says()
    headers = {
        "X_Forwarded_For": "192.168.1.2",
        "X_Forwarded_Host": NAME,
        "X_Forwarded_Port": "80",
        "X_Forwarded_Proto": "http",
        "X_Forwarded_Server": "traefik",
        "X_Real_Ip": "192.168.1.2",
    }
    assert daemon.ask("/status", **headers)[0] == 200
    assert daemon.ask("/status", **{**headers, "X_Forwarded_For": STRANGER})[0] == 403


def test_once_it_is_trusted_the_machine_itself_has_to_use_another_address(
    daemon: Behind,
) -> None:
    daemon.start_as_the_manual_says()
    status, body = daemon.ask("/status", Host="127.0.0.1")
    assert (status, b"make it send X-Forwarded-For" in body) == (403, True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "doorbelld", "status"),
            *("--config", str(daemon.folder / "doorbelld.conf")),
            f"--set=server.listen=127.0.0.1:{daemon.port}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Front door: " in done.stdout, done


def test_manual_speaks_of_settings_that_there_are() -> None:
    keys = set(re.findall(r"^(\w+) = ", block("ini"), re.MULTILINE))
    assert keys <= set(Access.__init__.__annotations__)
