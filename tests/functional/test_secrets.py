"""No secret is in anything that comes out of the daemon and its commands, whatever happens."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from base64 import b64encode
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.support import mosquitto
from tests.support.daemon import GUARD, ROOT, Daemon, eventually
from tests.support.fault_injector import FaultInjector
from tests.support.passwords import basic, set_password
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARKERS = {
    "ntfy token": "tk-MARKERntfyTOKEN",
    "webhook key": "MARKERwebhookKEY",
    "mqtt password": "MARKERmqttPASSWORD",
    "page password": "MARKERpagePASSWORD",
    "camera password": "MARKERcameraPASSWORD",
    "camera path": "MARKERcameraPATH",
    "ntfy path": "MARKERntfyPATH",
    "webhook path": "MARKERwebhookPATH",
    "ring token": "MARKERringTOKENxxxxxxxxxxxxxxxxx",
}


SECRETS = ("ntfy token", "webhook key", "mqtt password")


class Receiver(ThreadingHTTPServer):
    """A server of messages that is as unkind as a test wants: it sends back what it got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.status = 200
        self.got: list[str] = []
        """The head of each request."""
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Echo(BaseHTTPRequestHandler):
    """Answers with the status of the server, and everything that it was sent."""

    server: Receiver

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        head = f"{self.requestline}\n{self.headers}"
        self.server.got.append(head)
        status = self.server.status
        if status == 0:  # It closes the connection instead.
            self.close_connection = True
            return
        secrets = head.replace("\r", "").replace("\n", " ")
        echo = head.encode() + body[:2000]
        self.send_response(status, secrets[:4000])
        self.send_header("X-Echo", secrets[:4000])
        self.send_header("Location", f"{self.server.url}{self.path}?again={secrets.split()[-1]}")
        self.send_header("Content-Length", str(len(echo)))
        self.end_headers()
        self.wfile.write(echo)

    do_PUT = do_POST = _answer  # noqa: N815  # the names of http.server

    def log_message(self, *_: object) -> None:
        """Do not write to the tests' output."""


class House:
    """A doorbell with every secret that there is, its servers, and all that has come out of it."""

    def __init__(self, daemon: Daemon, folder: Path, receiver: Receiver) -> None:
        self.daemon, self.receiver = daemon, receiver
        self.said: list[str] = []
        self._folder = folder
        self.files = {name: folder / name.replace(" ", "_") for name in MARKERS}
        for name in SECRETS:
            self.write(name, f"{MARKERS[name]}\n")
        set_password(self.files["page password"], MARKERS["page password"])
        self.state = folder / "state"
        self.state.mkdir()
        (self.state / "ring_token").write_text(MARKERS["ring token"])
        (self.state / "ring_token").chmod(0o600)
        self.config = folder / "doorbelld.conf"

    def write(self, name: str, text: str, mode: int = 0o600) -> None:
        """Write the file of a secret."""
        self.files[name].write_text(text)
        self.files[name].chmod(mode)

    def configure(self, port: int, broker: int) -> None:
        """Write the configuration; nothing of it is on the command line, which ps shows."""
        files, login = self.files, f"door:{MARKERS['camera password']}"
        self.config.write_text(f"""
[camera]
source = http://{login}@127.0.0.1:1/{MARKERS["camera path"]}?x={MARKERS["camera path"]}
[server]
listen = 127.0.0.1:{port}
[access]
password_file = {files["page password"]}
[bell]
again = 0
[notify]
ntfy = {self.receiver.url}/{MARKERS["ntfy path"]}
webhook = {self.receiver.url}/api/{MARKERS["webhook path"]}?t={MARKERS["webhook path"]}
token_file = {files["ntfy token"]}
key_file = {files["webhook key"]}
[mqtt]
broker = 127.0.0.1:{broker}
user = door
password_file = {files["mqtt password"]}
""")

    def command(self, *words: str) -> str:
        """Run a command of doorbelld; return and keep what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "doorbelld", *words, "--config", str(self.config)],
            cwd=ROOT,
            env={**os.environ, "STATE_DIRECTORY": str(self.state)},
            capture_output=True,
            text=True,
            check=False,
            timeout=GUARD,
        )
        self.said.append(f"{words}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def ask(self, path: str, method: str = "GET", *, login: bool = True) -> bytes:
        """Return what the daemon answers; keep it with its head."""
        headers = basic(MARKERS["page password"]) if login else {}
        answer, body = self.daemon.request(path, method, headers)
        shown = str(answer.headers) + body.decode("latin-1")
        # A cookie is for the client that has shown the password.
        self.said.append(f"{path.partition('?')[0]}\n{shown}")
        return body

    def states(self) -> dict[str, Any]:
        """Return how the targets are."""
        found: dict[str, Any] = json.loads(self.ask("/status"))["notify"]
        return found

    def look_everywhere(self) -> str:
        """Ask for all that shows how everything is; return what a test of the messages says."""
        for path in ("/status", "/metrics", "/visits.json", "/healthz", "/", "/live/report"):
            self.ask(path)
        for command in ("status", "notify", "visits", "--check"):
            self.command(command)
        ps = subprocess.run(
            ["ps", "-ww", "-e", "-o", "args"], capture_output=True, text=True, check=True
        )
        self.said.append(ps.stdout)
        return self.command("notify", "--test")

    def found(self, more: dict[str, str]) -> list[str]:
        """Return where which secret has come out: it should be nowhere."""
        outputs = [*self.said, self.daemon.log()]
        return [
            f"{name}: ...{text[max(0, text.find(form) - 200) : text.find(form) + 60]}"
            for name, secret in {**MARKERS, **more}.items()
            for form in forms(secret)
            for text in outputs
            if form in text
        ]


def forms(secret: str) -> Iterator[str]:
    """Yield how a secret might be written; base64 of it depends on what stands before it."""
    yield from {secret, quote(secret, safe=""), repr(secret)[1:-1], secret[5:]}
    for before in ("", "x", "xx"):
        encoded = b64encode(f"{before}{secret}".encode()).decode()
        yield encoded[4:-4]


@pytest.fixture
def house(daemon: Daemon, tmp_path: Path) -> Iterator[House]:
    with ExitStack() as stack:
        house = House(daemon, tmp_path, stack.enter_context(Receiver()))
        yield house


def start(house: House, broker: int, environ: dict[str, str] | None = None) -> None:
    port = free_port()
    house.daemon.port = port
    house.configure(port, broker)
    house.daemon.start(
        {"camera.source": None, "server.listen": None},
        arguments=["-v", "--config", str(house.config)],
        environ={"STATE_DIRECTORY": str(house.state), **(environ or {})},
    )


def ring(house: House) -> int:
    """Ring as a device does, with the token in the URL."""
    body = house.ask(f"/ring?token={MARKERS['ring token']}", "POST", login=False)
    return int(json.loads(body)["visit"])


def answer_token(house: House) -> str:
    """Return the token in the newest message to ntfy that answers its visit."""
    heads = [head for head in house.receiver.got if head.startswith("PUT ")]
    return str(re.findall(r"answered\?token=([\w.-]+)", "\n".join(heads))[-1])


def are(house: House, *states: str) -> bool:
    return all(each["state"] in states for each in house.states().values())


def test_no_secret_comes_out_of_what_works_and_what_fails(house: House, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text(f"door:{MARKERS['mqtt password']}\n")
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, timeout=GUARD)
    with mosquitto.running(tmp_path, f"password_file {passwords}") as broker:
        start(house, broker.port)
        eventually(lambda: len(house.states()) == 3 and are(house, "ok"), "all targets work")
        visit = ring(house)
        eventually(
            lambda: all(each["delivered"] for each in house.states().values()), "all have the ring"
        )
        token = answer_token(house)
        house.ask(f"/visits/{visit}/answered?token={token}", "POST", login=False)
        tried = house.look_everywhere()
        assert re.sub(r"mqtt: .* has acknowledged .*", "mqtt: delivered.", tried) == (
            "mqtt: delivered.\nntfy: delivered.\nwebhook: delivered.\n"
        )
        for status in (302, 500, 0):
            house.receiver.status = status
            house.receiver.got.clear()
            ring(house)
            eventually(lambda: len(house.receiver.got) >= 2, "both got it")
            house.ask("/status")
        house.receiver.status = 401
        passwords.write_text("")
        broker.kill()
        broker.start()  # It does not know the account any more.
        eventually(lambda: house.states()["mqtt"]["state"] == "failed", "the broker refuses it")
        tried = house.look_everywhere()
        assert tried.count("answers with the status 401") == 2
        for name in SECRETS:
            house.write(name, f"{MARKERS[name]}\n", mode=0o644)
        ring(house)
        eventually(lambda: chmods(house) >= 2, "the files are not used")
        for name in SECRETS:
            house.write(name, f"{MARKERS[name]}\nX: {MARKERS[name]}\n")
        ring(house)
        assert house.command("--check").count("more than one line of text") == len(SECRETS)
        house.ask("/status")
    assert house.found({"answer token": token}) == []
    # The test itself notices one that comes out.
    house.said.append(f"Authorization: Bearer {MARKERS['ntfy token']}")
    assert len(house.found({})) > 0


def chmods(house: House) -> int:
    return house.ask("/status").count(b"sudo chmod 600")


@pytest.mark.parametrize(
    "target",
    [
        "doorbelld.notify.push:Push.send",
        "doorbelld.notify.mqtt:Mqtt.tell",
        "doorbelld.system.secretfile:read_given",
    ],
)
def test_no_secret_comes_out_of_a_crash(house: House, tmp_path: Path, target: str) -> None:
    """The text of an error may hold what was sent, and so may each line of a traceback."""
    everything = " ".join(MARKERS.values())
    fault = f"raise ValueError({everything!r}, arguments)"
    injector = FaultInjector(tmp_path, target, fault)
    with mosquitto.running(tmp_path) as broker:
        start(house, broker.port, injector.environ)
        eventually(lambda: len(house.states()) == 3 and are(house, "ok"), "all targets work")
        injector.fail_always()
        ring(house)
        house.command("notify", "--test")
        house.ask("/status")
        injector.stop()
    assert house.found({}) == []
