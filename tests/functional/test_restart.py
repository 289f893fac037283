"""Restarts behind a socket that stays open, as systemd's does: no client is turned away."""

from __future__ import annotations

import signal
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import GUARD, ROOT, Daemon
from tests.support.service_manager import socket_unit

RESTARTS = 5
PATIENT = """
from doorbelld.server.accept import AcceptLoop
import doorbelld.server.accept
doorbelld.server.accept._DRAIN = 3
stop = AcceptLoop.stop
AcceptLoop.stop = lambda self, timeout: stop(self, 30)
"""
"""A sitecustomize module: accepted clients have enough time to send their request."""

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


def start(daemon: Daemon, listener: socket.socket) -> None:
    prefix = socket_unit([listener])
    daemon.port = 0
    daemon.start(prefix=prefix, pass_fds=[listener.fileno()], wait=False)


def test_restarts_turn_no_client_away(daemon: Daemon, listener: socket.socket) -> None:
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    done = threading.Event()
    problems: list[str] = []
    answers: list[bytes] = []

    def ask() -> None:
        while not done.is_set():
            try:
                with urllib.request.urlopen(url, timeout=GUARD) as answer:
                    answers.append(answer.read())
            except OSError as error:
                problems.append(str(error))

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
    for _ in range(RESTARTS):
        start(daemon, listener)
        enough = len(answers) + 50
        while len(answers) < enough and not problems:
            done.wait(0.01)
        daemon.stop()
    start(daemon, listener)
    done.set()
    for client in clients:
        client.join()
    assert problems == []
    assert len(set(answers)) == 1


def test_client_that_was_accepted_before_the_end_is_answered(
    daemon: Daemon, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(PATIENT)
    daemon.start(environ={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    with daemon.connect() as begun, daemon.connect() as silent:
        begun.sendall(HEAD)
        daemon.request("/")  # After this both have been accepted.
        daemon.send(signal.SIGTERM)
        daemon.wait_for_log("stopping")
        begun.sendall(b"\r\n")
        assert begun.recv(100).startswith(b"HTTP/1.1 200 ")
        assert silent.recv(100) == b""
    assert daemon.wait() == 0
