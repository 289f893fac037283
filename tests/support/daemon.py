"""Daemon: doorbelld as a child process, started as a user starts it, on a free port."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
GUARD = 30.0
"""Seconds after which a test stops waiting and fails."""

_LONGEST_PAUSE = 0.05

T = TypeVar("T")


def eventually(look: Callable[[], T | None], what: str, guard: float = GUARD) -> T:
    """Call ``look`` again and again; return its first true value.

    The longer it takes, the longer are the pauses: a look may cost a request, and tests that wait
    must leave the machine to those that run beside them.
    """
    give_up_at = time.monotonic() + guard
    pause = 0.005
    while True:
        is_last = (
            time.monotonic() > give_up_at
        )  # There is one more look, even if the machine stood still since the one before.
        found = look()
        if found:
            return found
        assert not is_last, f"never: {what}"
        time.sleep(pause)
        pause = min(_LONGEST_PAUSE, 1.3 * pause)


def while_doing(during: Callable[[], object], look: Callable[[], T]) -> Callable[[], T]:
    """Return ``look`` for :func:`eventually`, which calls ``during`` ten times a second."""
    due = 0.0

    def look_and_do() -> T:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + 0.1
            during()
        return look()

    return look_and_do


class Daemon:
    """A doorbelld of the test's own. Its log is kept in a file and must contain no traceback."""

    scheme = "http"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command = [sys.executable, "-m", "doorbelld"]
        self.port = 0
        self.settings: Mapping[str, object] = {}
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        settings: Mapping[str, object] = {},
        *,
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] = {},
        prefix: Sequence[str] = (),
        wait: bool = True,
        **popen: Any,
    ) -> Daemon:
        """Start it with ``--set`` for each setting that is not None, and wait until it listens.

        ``prefix`` is a command that finally executes the daemon in its place.
        """
        self.settings = settings
        port = self.port or free_port()
        values = {"camera.source": "pattern", "server.listen": f"127.0.0.1:{port}", **settings}
        pairs = [f"--set={key}={value}" for key, value in values.items() if value is not None]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*prefix, *self.command, *pairs, *arguments],
                cwd=ROOT,
                env={**os.environ, **environ},
                stdin=subprocess.DEVNULL,
                stderr=log,
                **popen,
            )
        if wait:
            self.port = int(self.wait_for_log(r"open https?://\S+:(\d+)/")[1])
        return self

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None, "the daemon was not started"
        return self._process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def log(self) -> str:
        """Return all it has logged so far."""
        return self._log.read_text(errors="replace")

    def wait_for_log(self, pattern: str) -> re.Match[str]:
        """Wait until a text that matches ``pattern`` has been logged."""

        def look() -> re.Match[str] | None:
            has_ended = (
                self.process.poll() is not None
            )  # checked first: it may log something before it ends
            found = re.search(pattern, self.log())
            if not found and has_ended:
                raise AssertionError(f"ended without logging {pattern!r}:\n{self.log()}")
            return found

        return eventually(look, f"{pattern!r} in the log")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; return the exit code."""
        return self.process.wait(GUARD)

    def stop(self) -> int:
        """Stop it as systemd would; return the exit code."""
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
        return self.wait()

    def __enter__(self) -> Daemon:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is None:
            return
        try:
            self.stop()
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
        assert "Traceback" not in self.log(), self.log()

    # Requests.

    def connect(
        self, timeout: float = GUARD, source: str = "127.0.0.1", buffer: int = 0
    ) -> socket.socket:
        """Return a new connection from an address, with a small receive ``buffer`` if given."""
        sock = socket.socket()
        try:
            if buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            sock.settimeout(timeout)
            sock.bind((source, 0))
            sock.connect(("127.0.0.1", self.port))
        except OSError:
            sock.close()
            raise
        return sock

    def request(
        self, path: str, method: str = "GET", headers: Mapping[str, str] = {}
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Return the answer to a request on a connection of its own, with its body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.sock = self.connect()
        try:
            connection.request(method, path, headers=dict(headers))
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def status(self, query: str = "") -> dict[str, Any]:
        """Return what /status says."""
        answer, body = self.request("/status" + query)
        assert answer.status == 200
        found: dict[str, Any] = json.loads(body)
        return found

    def wait_for_state(self, state: str) -> dict[str, Any]:
        """Wait until the camera is ``streaming`` or ``offline``; return its status."""

        def look() -> dict[str, Any] | None:
            camera: dict[str, Any] = self.status()["camera"]
            return camera if camera["state"] == state else None

        return eventually(look, f"the camera {state}")

    def wait_for_viewers(self, count: int) -> list[dict[str, Any]]:
        """Wait until ``count`` are watching, neither more nor less; return their rows."""

        def look() -> dict[str, Any] | None:
            status = self.status()
            return status if status["watching"] == len(status["viewers"]) == count else None

        rows: list[dict[str, Any]] = eventually(look, f"{count} watching")["viewers"]
        return rows

    def wait_for_counts(self, *expected: tuple[str, int, int], query: str = "") -> None:
        """Wait until these are the viewers' (key, sent, dropped), in any order.

        A frame is counted just after it was sent, so a viewer may have read it before that.
        """
        found: list[tuple[str, int, int]] = []

        def look() -> bool:
            rows = self.status(query)["viewers"]
            found[:] = [(row["key"], row["sent"], row["dropped"]) for row in rows]
            return sorted(found) == sorted(expected)

        try:
            eventually(look, f"{expected}")
        except AssertionError:
            raise AssertionError(f"not {sorted(expected)} but {sorted(found)}") from None
