"""Mosquitto: the real broker as a child process, and its client that shows every message."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.support.daemon import GUARD, eventually
from tests.support.ports import free_port

PASSWORD = "mosquitto-MARKER"


class Message(NamedTuple):
    """A message as a client gets it."""

    topic: str
    payload: bytes
    retained: bool


class Mosquitto:
    """A broker at a free port of this machine that starts, is killed, frozen and started again."""

    def __init__(self, folder: Path, lines: Sequence[str] = ("allow_anonymous true",)) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.configure(lines)

    def configure(self, lines: Sequence[str]) -> None:
        """Write what it reads when it starts."""
        # It would give up root's rights, and not read the folder then.
        text = [f"listener {self.port} 127.0.0.1", "user root", *lines]
        (self._folder / "mosquitto.conf").write_text("\n".join(text) + "\n")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with (self._folder / "mosquitto.log").open("ab") as log:
            command = ["/usr/sbin/mosquitto", "-c", str(self._folder / "mosquitto.conf"), "-v"]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(self._listens, "mosquitto listens")

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return (self._folder / "mosquitto.log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once; what it had in memory is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def publish(self, topic: str, payload: str, *options: str) -> None:
        """Publish a message."""
        command = ["mosquitto_pub", "-p", str(self.port), "-t", topic, *options]
        text = ["-m", payload] if payload else ["-n"]
        subprocess.run([*command, *text], check=True, timeout=GUARD)

    @contextmanager
    def listener(self, *options: str, topics: Sequence[str] = ("#",)) -> Iterator[Listener]:
        """Run a client that reads these topics."""
        listener = Listener(self, self._folder / f"listener-{os.urandom(4).hex()}", topics, options)
        try:
            yield listener
        finally:
            listener.stop()


class Listener:
    """mosquitto_sub, and what it got. It does not connect again by itself."""

    def __init__(
        self, broker: Mosquitto, path: Path, topics: Sequence[str], options: Sequence[str]
    ) -> None:
        self._path = path
        named = [word for topic in topics for word in ("-t", topic)]
        name = path.name  # Others may subscribe at the same time.
        command = ["mosquitto_sub", "-i", name, "-p", str(broker.port), "-q", "1", "-F", "%r %t %x"]
        with path.open("wb") as output:
            self._process = subprocess.Popen([*command, *named, *options], stdout=output)
        eventually(lambda: f"Sending SUBACK to {name}" in broker.log, "it listens")

    @property
    def messages(self) -> list[Message]:
        """All messages so far, in order."""
        whole = self._path.read_text().rpartition("\n")[0]
        found = [line.split(" ") for line in whole.splitlines()]
        return [Message(topic, bytes.fromhex(text), flag == "1") for flag, topic, text in found]

    def of(self, topic: str) -> list[bytes]:
        """Return the payloads on one topic."""
        return [each.payload for each in self.messages if each.topic == topic]

    def wait_for(self, topic: str, payload: bytes) -> None:
        """Wait until this is the newest message on a topic."""
        eventually(lambda: self.of(topic)[-1:] == [payload], f"{payload[:60]!r} on {topic}")

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def hash_passwords(path: Path) -> None:
    """Turn a file with lines of a user and a password into one for ``password_file``."""
    subprocess.run(["mosquitto_passwd", "-U", str(path)], check=True, timeout=GUARD)


@contextmanager
def running(folder: Path, *lines: str) -> Iterator[Mosquitto]:
    """Run a broker, by default one that lets everybody in."""
    broker = Mosquitto(folder, lines or ("allow_anonymous true",))
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()
