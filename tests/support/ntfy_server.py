"""NtfyServer: Debian 13's ntfy server as a child process, with its users and subscribers."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tests.support.daemon import GUARD, ROOT, eventually
from tests.support.ports import free_port

TOPIC = "door"
_FOLDER = ROOT / ".cache" / "ntfy"


class Subscriber:
    """Reads a topic as an app does, from the moment it was made."""

    def __init__(self, port: int, topic: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=GUARD)
        self._connection.request("GET", f"/{topic}/json")
        self._answer = self._connection.getresponse()
        assert self.next()["event"] == "open"

    def next(self) -> dict[str, Any]:
        """Wait for the next line and return it."""
        line: dict[str, Any] = json.loads(self._answer.readline())
        return line

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self._answer.close()
        self._connection.close()


class NtfyServer:
    """A server with a folder and a port of its own; ``settings`` are those of its server.yml."""

    def __init__(self, folder: Path, **settings: object) -> None:
        folder.mkdir()
        self._folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = {
            "listen-http": f"127.0.0.1:{self.port}",
            "cache-file": folder / "cache.db",
            "base-url": self.url,
            "attachment-cache-dir": folder / "attachments",
            **settings,
        }
        lines = (f"{key.replace('_', '-')}: {value}\n" for key, value in self._settings.items())
        (folder / "server.yml").write_text("".join(lines))

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def topic_url(self) -> str:
        """The address of the topic of the door."""
        return f"{self.url}/{TOPIC}"

    def start(self) -> NtfyServer:
        """Start it, and wait until it answers."""
        subprocess.run([ROOT / "tools" / "ntfy"], check=True, timeout=300)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_command("serve"), "--config", str(self._folder / "server.yml")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        eventually(self._is_up, "ntfy answers")
        return self

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(GUARD)
            self._process = None

    def run(self, *command: str, password: str = "") -> str:
        """Run one of its commands, such as ``user add``; return what it prints."""
        done = subprocess.run(
            [*_command(command[0]), f"--config={self._folder}/server.yml", *command[1:]],
            capture_output=True,
            text=True,
            check=True,
            timeout=GUARD,
            env={**os.environ, "NTFY_PASSWORD": password},
        )
        return done.stdout + done.stderr

    def subscribe(self, topic: str = TOPIC) -> Subscriber:
        """Return a subscriber that gets every message from now on."""
        return Subscriber(self.port, topic)

    def messages(self, topic: str = TOPIC) -> list[dict[str, Any]]:
        """Return all messages that it keeps, the oldest first."""
        text = self.get(f"/{topic}/json?poll=1&since=all").decode()
        return [json.loads(line) for line in text.splitlines()]

    def attachment(self, message: dict[str, Any]) -> bytes:
        """Return the picture of a message, as the app loads it."""
        path = urlsplit(message["attachment"]["url"]).path
        # Subscribers get the message a moment before the server finds it again by itself.
        return eventually(lambda: self._get(path), "the picture is there")

    def get(self, path: str) -> bytes:
        """Return what it answers."""
        found = self._get(path)
        assert found is not None, path
        return found

    def _get(self, path: str) -> bytes | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=GUARD)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            if answer.status != 200:
                return None  # A refusal has the length of the picture, and ends before.
            return answer.read()
        finally:
            connection.close()

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            return b"true" in (self._get("/v1/health") or b"")
        except OSError:
            return False

    def __enter__(self) -> NtfyServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


def _command(*arguments: str) -> Iterator[str]:
    """Yield a command of ntfy, with the loader and the libraries of its own Debian."""
    (loader,) = _FOLDER.glob("usr/lib/*/ld-linux*.so.*")
    yield from (str(loader), "--library-path", str(loader.parent))
    yield from (str(_FOLDER / "usr/bin/ntfy"), *arguments)
