"""HomeAssistant: the real one as a child process, and a client of its WebSocket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.support.daemon import GUARD, ROOT, eventually
from tests.support.ports import free_port

PYTHON = ROOT / ".cache" / "homeassistant" / "bin" / "python"
"""Where tools/homeassistant has installed it."""

_CONFIGURATION = """
http:
  server_host: 127.0.0.1
  server_port: {port}
api:
mobile_app:
automation: !include automations.yaml
"""
_CLIENT = "http://127.0.0.1/"
_STARTING = 120.0
"""Seconds: it compiles itself when it starts for the first time."""


class HomeAssistant:
    """A Home Assistant with one user, which is the test."""

    def __init__(self, folder: Path, automations: str) -> None:
        self.folder = folder
        self.folder.mkdir()
        self.port = free_port()
        configuration = _CONFIGURATION.format(port=self.port)
        (folder / "configuration.yaml").write_text(configuration, encoding="utf-8")
        (folder / "automations.yaml").write_text(automations, encoding="utf-8")
        self._log = folder / "output"
        self._process: subprocess.Popen[bytes] | None = None
        self._token = ""

    def start(self) -> None:
        """Start it, and wait until it is ready; the first time with a user of ours."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [PYTHON, "-m", "homeassistant", "--config", self.folder, "--skip-pip"],
                env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        eventually(self._listens, "Home Assistant listens", _STARTING)
        if not self._token:
            self._token = self._new_user()
        eventually(
            lambda: self.get("/api/config")["state"] == "RUNNING", "it has started", _STARTING
        )

    def stop(self) -> None:
        """Stop it as its service would be stopped."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(_STARTING)

    def __enter__(self) -> HomeAssistant:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            if self._process and self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    def log(self) -> str:
        """Return all that it has written."""
        return self._log.read_text(errors="replace")

    # Requests.

    def get(self, path: str) -> Any:
        """Return the JSON at a path."""
        return json.loads(self.bytes_of(path))

    def post(self, path: str, content: Mapping[str, Any]) -> Any:
        """Post JSON; return the answer's."""
        return json.loads(self._request(path, json.dumps(content).encode()) or "null")

    def bytes_of(self, path: str) -> bytes:
        """Return what is at a path."""
        return self._request(path, None)

    def without_login(self, path: str) -> bytes:
        """Return what is at a path for a client that shows no token."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=GUARD) as answer:
            found: bytes = answer.read()
            return found

    def state(self, entity: str) -> dict[str, Any]:
        """Return the state of an entity, with its attributes."""
        found: dict[str, Any] = self.get(f"/api/states/{entity}")
        return found

    def wait_for(self, entity: str, look: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the state of an entity is such that ``look`` is true; return it."""

        def found() -> dict[str, Any] | None:
            try:
                state = self.state(entity)
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
                return None
            return state if look(state) else None

        return eventually(found, f"{entity} is as expected")

    def call(self, service: str, entity: str) -> None:
        """Call a service, such as ``switch/turn_on``, for an entity."""
        self.post(f"/api/services/{service}", {"entity_id": entity})

    def set_up_mqtt(self, port: int) -> None:
        """Add the integration as a user does, in its dialogue."""
        flow = self.post("/api/config/config_entries/flow", {"handler": "mqtt"})
        done = self.post(
            f"/api/config/config_entries/flow/{flow['flow_id']}",
            {"broker": "127.0.0.1", "port": port},
        )
        assert done["type"] == "create_entry", done

    @contextmanager
    def listen(self) -> Iterator[Client]:
        """Yield a client of its WebSocket."""
        url = f"ws://127.0.0.1:{self.port}/api/websocket"
        with connect(url, max_size=None, open_timeout=GUARD, proxy=None) as connection:
            yield Client(connection, self._token)

    def _request(self, path: str, body: bytes | None, kind: str = "application/json") -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body)
        request.add_header("Content-Type", kind)
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        with urllib.request.urlopen(request, timeout=GUARD) as answer:
            found: bytes = answer.read()
            return found

    def _listens(self) -> bool:
        assert self._process
        assert self._process.poll() is None, self.log()
        try:
            self.bytes_of("/api/onboarding")
        except urllib.error.HTTPError as error:
            return error.code in (401, 404)  # There is a user already.
        except OSError:
            return False
        return True

    def _new_user(self) -> str:
        """Do the first steps of its welcome, and return a token."""
        user = {"name": "We", "username": "we", "password": "secret", "language": "en"}
        code = self.post("/api/onboarding/users", {"client_id": _CLIENT, **user})["auth_code"]
        form = {"grant_type": "authorization_code", "code": code, "client_id": _CLIENT}
        answer = self._request(
            "/auth/token",
            urllib.parse.urlencode(form).encode(),
            "application/x-www-form-urlencoded",
        )
        return str(json.loads(answer)["access_token"])


class Client:
    """A client of its WebSocket: it asks, and hears of every change."""

    def __init__(self, connection: ClientConnection, token: str) -> None:
        self._connection = connection
        self._number = 0
        self.events: list[dict[str, Any]] = []
        """What has happened since, oldest first, with ``heard`` on time.monotonic()'s clock."""

        self._receive()
        self._send({"type": "auth", "access_token": token})
        assert self._receive()["type"] == "auth_ok"
        self.ask("subscribe_events", event_type="state_changed")

    def ask(self, kind: str, **content: Any) -> Any:
        """Return the result of a command."""
        self._number += 1
        self._send({"id": self._number, "type": kind, **content})
        while True:
            found = self._receive()
            if found["type"] == "result" and found["id"] == self._number:
                assert found["success"], found
                return found["result"]

    def changes(self, entity: str) -> list[dict[str, Any]]:
        """Return the changes of state of an entity that are known by now."""
        self.ask("get_config")  # What happened before this has been received when it is answered.
        return [each for each in self.events if each["data"].get("entity_id") == entity]

    def wait_for_change(
        self, entity: str, look: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        """Wait for a change of state after which ``look`` is true of the new state."""
        known = 0
        while True:
            for event in self.events[known:]:
                data = event["data"]
                if (
                    data.get("entity_id") == entity
                    and data["new_state"]
                    and look(data["new_state"])
                ):
                    return event
            known = len(self.events)
            self._receive()

    def _send(self, content: Mapping[str, Any]) -> None:
        self._connection.send(json.dumps(content))

    def _receive(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._connection.recv(timeout=GUARD))
        if found["type"] == "event":
            self.events.append({**found["event"], "heard": time.monotonic()})
        return found
